//! `RawToken` -> `VerifiedToken`.
//!
//! The order matters. Envelope and syntax first, without any key. Then `iss`, only to find the configured issuer whose
//! keys check the signature; nothing is ever fetched from a host that no configured issuer names. Then the signature.
//! Only then does any other claim count, so that an unsigned claim decides nothing.

mod address;
mod cache;
mod claims;
mod envelope;
mod error;
mod fetch;
mod json;
mod keys;
mod providers;
mod service_account;

use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::Instant;

pub use self::{
    address::{FetchPolicy, LoopbackHttp, UrlError},
    cache::{COOL_DOWN, DEFAULT_LIFETIME, KeyState, LIFETIME_BOUNDS, MAX_STALENESS, MAX_WAITING},
    claims::CLOCK_SKEW_SECONDS,
    envelope::MAX_TOKEN_BYTES,
    error::{Quoted, TokenError},
    fetch::FetchError,
    providers::{IssuerStatus, MAX_ISSUERS_PER_PATTERN, NEW_ISSUERS_PER_SECOND},
    service_account::ServiceAccount,
};
use self::{
    cache::NewerKeys,
    claims::UnverifiedIssuer,
    envelope::Jws,
    keys::Mismatch,
    providers::{Provider, Providers},
};
use crate::{
    clock::Timestamp,
    trusted_issuer::{TrustedIssuer, TrustedIssuers},
};

/// An OIDC ID token as the caller sent it: a bearer secret, so its `Debug` is elided.
#[derive(Debug)]
pub struct RawToken(SecretString);

impl RawToken {
    /// Takes the compact serialisation (RFC 7515 section 3.1) as sent; nothing is checked yet.
    #[must_use]
    pub fn new(compact: String) -> Self {
        Self(SecretString::from(compact))
    }
}

/// The claims that a token makes, believed by nobody: for showing an operator what they would lead to. The envelope is
/// held to the rules of [`TokenVerifier::verify`], its signature and times to none.
///
/// # Errors
/// The token is not one.
pub fn unverified_claims(token: &RawToken) -> Result<Map<String, Value>, TokenError> {
    Jws::parse(token.0.expose_secret()).map(Jws::into_payload)
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

    /// Every claim, as signed.
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

    /// Verifies one token at the time `now`.
    ///
    /// # Errors
    /// The first check that fails, in the order that the module describes.
    pub async fn verify(&self, token: RawToken, now: Timestamp) -> Result<VerifiedToken, TokenError> {
        let jws = Jws::parse(token.0.expose_secret())?;
        let issuer = UnverifiedIssuer::peek(jws.payload())?;
        let provider = self.providers.find(&self.issuers, &issuer)?;
        provider.verify_signature(&jws).await?;
        provider.verify_claims(jws, now)
    }
}

impl Provider {
    /// A signature that the named key did not make costs nothing more. A key that is not known may be one that the
    /// issuer has just begun to use, so it is worth asking for newer keys, as often as the cool-down lets.
    async fn verify_signature(&self, jws: &Jws<'_>) -> Result<(), TokenError> {
        let arrived = Instant::now();
        let cached = self
            .keys
            .current()
            .await
            .map_err(|source| self.unavailable(source))?;
        let mismatch = match cached.keys().verify(jws) {
            Ok(()) => return Ok(()),
            Err(mismatch) if !may_be_rotation(mismatch, jws) || cached.are_newer_than(arrived) => {
                return Err(self.refusal(mismatch, jws));
            }
            Err(mismatch) => mismatch,
        };
        let newer = self
            .keys
            .newer_than(&cached)
            .await
            .map_err(|source| self.unavailable(source))?;
        match newer {
            NewerKeys::Fetched(newer) => newer
                .keys()
                .verify(jws)
                .map_err(|mismatch| self.refusal(mismatch, jws)),
            NewerKeys::None => Err(self.refusal(mismatch, jws)),
            NewerKeys::NotAsked(retry_after) => Err(TokenError::KeyNotYetKnown {
                issuer: self.quoted_url(),
                retry_after,
            }),
        }
    }

    /// Of several entries whose audience the token names, the first in the file counts.
    fn verify_claims(&self, jws: Jws<'_>, now: Timestamp) -> Result<VerifiedToken, TokenError> {
        let hash = TokenHash::of(jws.signing_input());
        let claims = jws.into_payload();
        let expires = claims::check_times(&claims, now)?;
        let audiences = claims::audiences(&claims)?;
        let Some(entry) = TrustedIssuer::for_audiences(&self.entries, &audiences) else {
            let wanted: Vec<String> = self.entries.iter().map(|entry| entry.wanted_audience()).collect();
            return Err(TokenError::AudienceMismatch {
                expected: Quoted::list(wanted.iter().map(String::as_str)),
                given: Quoted::list(audiences),
            });
        };
        let subject = claims::subject(&claims)?.to_owned();
        Ok(VerifiedToken {
            issuer: Arc::clone(entry),
            iss: self.iss.clone(),
            subject,
            claims,
            expires,
            hash,
        })
    }

    fn refusal(&self, mismatch: Mismatch, jws: &Jws<'_>) -> TokenError {
        let algorithm = format!("{:?}", jws.algorithm());
        match mismatch {
            Mismatch::Signature => TokenError::SignatureInvalid,
            Mismatch::Algorithm => TokenError::AlgorithmNotAllowed {
                algorithm: Quoted::new(&algorithm),
            },
            Mismatch::UnknownKey => TokenError::UnknownKey {
                issuer: self.quoted_url(),
                key: Quoted::new(jws.key_id().unwrap_or(&algorithm)),
            },
        }
    }

    fn unavailable(&self, source: Arc<FetchError>) -> TokenError {
        TokenError::IssuerUnavailable {
            issuer: self.quoted_url(),
            source,
        }
    }

    fn quoted_url(&self) -> Quoted {
        Quoted::new(&self.iss)
    }
}

fn may_be_rotation(mismatch: Mismatch, jws: &Jws<'_>) -> bool {
    match mismatch {
        Mismatch::UnknownKey => true,
        Mismatch::Signature => jws.key_id().is_none(),
        Mismatch::Algorithm => false,
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
