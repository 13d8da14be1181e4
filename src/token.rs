//! `RawToken` -> `VerifiedToken`.
//!
//! The order matters. Envelope and syntax first, without any key. Then `iss`, only to find the configured issuer whose
//! keys check the signature; nothing is ever fetched from a host that no configured issuer names. Then what can be refused
//! without keys: times, audience, and the claims that every token must have. Only a token that would be accepted if its
//! issuer signed it costs a fetch, a place in a queue, or a place among the new issuers of a pattern. The signature comes
//! last: an unsigned claim can have a token refused, which is its sender's own affair, and grants nothing.

mod address;
mod algorithm;
mod cache;
mod claims;
mod envelope;
mod error;
mod fetch;
mod json;
mod keys;
mod newcomers;
mod pattern;
mod payload;
mod providers;
mod service_account;
mod signature;
mod verified_issuers;
mod waiting;

use std::{fmt, path::PathBuf, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use ct_log::acceptor::ClientAddress;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

pub use self::{
    address::{FetchPolicy, LoopbackHttp, UrlError},
    cache::{COOL_DOWN, DEFAULT_LIFETIME, KeyState, LIFETIME_BOUNDS, MAX_STALENESS},
    claims::CLOCK_SKEW_SECONDS,
    envelope::MAX_TOKEN_BYTES,
    error::{Quoted, TokenError},
    fetch::FetchError,
    newcomers::{NEW_ISSUERS_PER_CLIENT, NEW_ISSUERS_PER_SECOND},
    pattern::MAX_ISSUERS_PER_PATTERN,
    providers::IssuerStatus,
    service_account::ServiceAccount,
    waiting::{MAX_WAITING, MAX_WAITING_PER_CLIENT},
};
use self::{
    claims::UnverifiedIssuer,
    envelope::Jws,
    payload::Payload,
    providers::{Provider, Providers},
};
use crate::{
    clock::Timestamp,
    trusted_issuer::{TrustedIssuer, TrustedIssuers},
};

/// An OIDC ID token as the caller sent it: a bearer secret, so its `Debug` is elided.
#[derive(Debug)]
pub struct RawToken {
    compact: SecretString,
    client: Option<ClientAddress>,
}

impl RawToken {
    /// Takes the compact serialisation (RFC 7515 section 3.1) as sent; nothing is checked yet.
    #[must_use]
    pub fn new(compact: String) -> Self {
        Self {
            compact: SecretString::from(compact),
            client: None,
        }
    }

    /// Sent by this client, whose share it counts against; `None` if that is not known, as behind a proxy.
    #[must_use]
    pub fn sent_by(self, client: Option<ClientAddress>) -> Self {
        Self { client, ..self }
    }

    fn parse(&self) -> Result<Jws<'_>, TokenError> {
        Jws::parse(self.compact.expose_secret())
    }
}

/// The claims that a token makes, believed by nobody: for showing an operator what they would lead
/// to with these issuers. Envelope and payload are held to the rules of [`TokenVerifier::verify`],
/// signature and times to none.
///
/// # Errors
/// The token is not one.
pub fn unverified_claims(
    token: &RawToken,
    issuers: &TrustedIssuers,
) -> Result<Map<String, Value>, TokenError> {
    let payload = token.parse()?.into_payload();
    let claims = payload.claims();
    let iss = claims.get("iss").and_then(Value::as_str);
    let entries = iss.and_then(|iss| issuers.find(iss));
    let audiences = claims::audiences(claims).unwrap_or_default();
    if let Some(entry) = entries.and_then(|entries| TrustedIssuer::for_audiences(entries, &audiences)) {
        payload.check(entry)?;
    }
    Ok(payload.into_claims())
}

/// SHA-256 of what a token's issuer signed: header, dot, payload. The same for a token whose signature was rewritten into
/// another valid one, as anybody can do with ECDSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a signing input (RFC 7515 section 5.1).
    #[must_use]
    pub fn of(signing_input: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (byte, digested) in hash.iter_mut().zip(digest(&SHA256, signing_input).as_ref()) {
            *byte = *digested;
        }
        Self(hash)
    }
}

/// Hexadecimal, lower case.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A token whose issuer, signature, audience and times hold. Only [`TokenVerifier::verify`] makes one.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: Arc<TrustedIssuer>,
    iss: String,
    subject: String,
    claims: Map<String, Value>,
    expires: u64,
    hash: TokenHash,
}

impl VerifiedToken {
    /// The entry of the issuer file that `(iss, aud)` chose.
    #[must_use]
    pub fn issuer(&self) -> &Arc<TrustedIssuer> {
        &self.issuer
    }

    /// `iss`, as signed: the entry's name, or a value that matches it.
    #[must_use]
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// `exp`: the second, since 1970, from which on the token is refused.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// By which the token is known when it is sent again.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        self.hash
    }

    /// `sub`, as signed.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Every claim that has one reading, as signed. No other is read by the entry's rules.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// Verifies tokens of the trusted issuers.
#[derive(Debug)]
pub struct TokenVerifier {
    issuers: TrustedIssuers,
    providers: Providers,
    policy: FetchPolicy,
}

impl TokenVerifier {
    /// Nothing is fetched until [`Self::warm_up`] or the first token.
    ///
    /// # Errors
    /// An issuer's URL is one that `policy` would never fetch from, or the HTTP client cannot be made.
    pub fn new(issuers: TrustedIssuers, policy: FetchPolicy) -> Result<Self, TokenVerifierError> {
        let providers = Providers::new(&issuers, &policy, None)?;
        Ok(Self {
            issuers,
            providers,
            policy,
        })
    }

    /// A verifier for other issuers, with the same policy. Keys of issuers that stay are not fetched again. Call
    /// [`Self::warm_up`] on it as well.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_issuers(&self, issuers: TrustedIssuers) -> Result<Self, TokenVerifierError> {
        let providers = Providers::new(&issuers, &self.policy, Some(&self.providers))?;
        Ok(Self {
            issuers,
            providers,
            policy: self.policy.clone(),
        })
    }

    /// Starts fetching every new issuer's keys, and from then on refreshes them before they expire, all in the
    /// background. Call it once, inside the runtime that serves.
    pub fn warm_up(&self) {
        self.providers.warm_up();
    }

    /// Asks every configured issuer for its keys now: how many usable ones each has. Patterns name no issuer to ask. In
    /// the order of their names.
    pub async fn fetch_all(&self) -> Vec<(String, Result<usize, Arc<FetchError>>)> {
        self.providers.fetch_all().await
    }

    /// Where keys may be fetched from.
    #[must_use]
    pub fn policy(&self) -> &FetchPolicy {
        &self.policy
    }

    /// Whose tokens these are.
    #[must_use]
    pub fn issuers(&self) -> &TrustedIssuers {
        &self.issuers
    }

    /// For each configured issuer and pattern, whether its tokens can be verified now; asks nobody. In no particular
    /// order.
    pub fn status(&self) -> impl Iterator<Item = IssuerStatus> {
        self.providers.status()
    }

    /// Remembers in the file at `path` the issuers that match a pattern and of which a token was verified: those that it
    /// holds already are no new ones. A file that cannot be used is reported in the log.
    pub fn remember_in(&self, path: PathBuf) {
        self.providers.remember_in(path, &self.issuers);
    }

    /// Writes that file now if something in it is out of date, which otherwise happens within a second or so.
    pub async fn save_verified_issuers(&self) {
        self.providers.save_verified().await;
    }

    /// Verifies one token at the time `now`.
    ///
    /// # Errors
    /// The first check that fails, in the order that the module describes.
    pub async fn verify(&self, token: RawToken, now: Timestamp) -> Result<VerifiedToken, TokenError> {
        let jws = token.parse()?;
        let issuer = UnverifiedIssuer::peek(jws.payload().claims())?;
        let entries = self
            .issuers
            .find(issuer.as_str())
            .ok_or_else(|| issuer.not_trusted(self.issuers.near(issuer.as_str())))?;
        let plausible = Plausible::check(jws.payload(), entries, now)?;
        let provider = self.providers.find(plausible.entry, &issuer, token.client)?;
        provider.verify(&jws, token.client).await?;
        let (iss, subject) = (issuer.as_str().to_owned(), plausible.subject.to_owned());
        let (issuer, expires) = (Arc::clone(plausible.entry), plausible.expires);
        Ok(VerifiedToken {
            issuer,
            iss,
            subject,
            expires,
            hash: TokenHash::of(jws.signing_input()),
            claims: jws.into_payload().into_claims(),
        })
    }
}

/// What a token says that would be accepted if its issuer signed it.
struct Plausible<'a> {
    entry: &'a Arc<TrustedIssuer>,
    subject: &'a str,
    expires: u64,
}

impl<'a> Plausible<'a> {
    /// Of several entries whose audience the token names, the first in the file counts.
    fn check(
        payload: &'a Payload,
        entries: &'a [Arc<TrustedIssuer>],
        now: Timestamp,
    ) -> Result<Self, TokenError> {
        let claims = payload.claims();
        let expires = claims::check_times(claims, now)?;
        let audiences = claims::audiences(claims)?;
        let Some(entry) = TrustedIssuer::for_audiences(entries, &audiences) else {
            let wanted: Vec<String> = entries.iter().map(|entry| entry.wanted_audience()).collect();
            return Err(TokenError::AudienceMismatch {
                expected: Quoted::list(wanted.iter().map(String::as_str)),
                given: Quoted::list(audiences),
            });
        };
        payload.check(entry)?;
        Ok(Self {
            entry,
            subject: claims::subject(claims)?,
            expires,
        })
    }
}

impl Provider {
    async fn verify(self, jws: &Jws<'_>, client: Option<ClientAddress>) -> Result<(), TokenError> {
        let issuer = match self {
            Self::Configured(keys) => return keys.verify(jws, client).await,
            Self::OfPattern(issuer) => issuer,
        };
        let outcome = issuer.keys.verify(jws, client).await;
        match &outcome {
            Ok(()) => issuer.verified(),
            Err(TokenError::IssuerUnavailable { source, .. }) if source.is_our_own() => issuer.excuse(),
            Err(_) => drop(issuer),
        }
        outcome
    }
}

/// Why no verifier can be made of a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenVerifierError {
    /// An `issuer-url` is not one that keys may be fetched from.
    #[error("issuer-url {url:?} cannot be used: it {problem}")]
    Issuer {
        /// As configured.
        url: String,
        /// What is wrong with it.
        problem: UrlError,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client for issuers' keys cannot be made")]
    HttpClient(#[source] reqwest::Error),
}
