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

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

pub use self::{
    address::{FetchPolicy, LoopbackHttp, UrlError},
    cache::{COOL_DOWN, DEFAULT_LIFETIME, KeyState, LIFETIME_BOUNDS, MAX_STALENESS, MAX_WAITING},
    claims::CLOCK_SKEW_SECONDS,
    envelope::MAX_TOKEN_BYTES,
    error::{Quoted, TokenError},
    fetch::FetchError,
};
use self::{cache::IssuerKeys, claims::UnverifiedIssuer, envelope::Jws, fetch::Fetcher, keys::Mismatch};
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

/// A token whose issuer, signature, audience and times hold. Only [`TokenVerifier::verify`] makes one.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: Arc<TrustedIssuer>,
    subject: String,
    claims: Map<String, Value>,
}

impl VerifiedToken {
    /// The entry of the issuer file that `(iss, aud)` chose.
    #[must_use]
    pub fn issuer(&self) -> &Arc<TrustedIssuer> {
        &self.issuer
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
    issuers: HashMap<String, IssuerEntries>,
}

/// All that is configured for one `iss`.
#[derive(Debug)]
struct IssuerEntries {
    /// One for each audience, in the file's order.
    entries: Vec<Arc<TrustedIssuer>>,
    keys: Arc<IssuerKeys>,
}

impl TokenVerifier {
    /// Nothing is fetched until [`Self::warm_up`] or the first token.
    ///
    /// # Errors
    /// An issuer's URL is one that `policy` would never fetch from, or the HTTP client cannot be made.
    pub fn new(issuers: &TrustedIssuers, policy: FetchPolicy) -> Result<Self, TokenVerifierError> {
        let fetcher = Arc::new(Fetcher::new(policy).map_err(TokenVerifierError::HttpClient)?);
        let mut by_url: HashMap<String, IssuerEntries> = HashMap::new();
        for entry in issuers.iter() {
            let issuer = match by_url.entry(entry.url().to_owned()) {
                Entry::Occupied(occupied) => occupied.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(IssuerEntries::new(entry.url(), &fetcher)?),
            };
            issuer.entries.push(Arc::clone(entry));
        }
        Ok(Self { issuers: by_url })
    }

    /// Starts fetching every issuer's keys, and from then on refreshes them before they expire, all in the background.
    /// Call it once, inside the runtime that serves.
    pub fn warm_up(&self) {
        for issuer in self.issuers.values() {
            issuer.keys.keep_fresh();
        }
    }

    /// For each configured `iss`, whether its tokens can be verified now; asks nobody. In no particular order.
    pub fn readiness(&self) -> impl Iterator<Item = (&str, KeyState)> {
        self.issuers
            .iter()
            .map(|(url, issuer)| (url.as_str(), issuer.keys.state()))
    }

    /// Verifies one token at the time `now`.
    ///
    /// # Errors
    /// The first check that fails, in the order that the module describes.
    pub async fn verify(&self, token: RawToken, now: Timestamp) -> Result<VerifiedToken, TokenError> {
        let jws = Jws::parse(token.0.expose_secret())?;
        let issuer = UnverifiedIssuer::peek(jws.payload())?.find(&self.issuers)?;
        issuer.verify_signature(&jws).await?;
        issuer.verify_claims(jws.into_payload(), now)
    }
}

impl IssuerEntries {
    fn new(url: &str, fetcher: &Arc<Fetcher>) -> Result<Self, TokenVerifierError> {
        let issuer = fetcher
            .issuer(url)
            .map_err(|problem| TokenVerifierError::Issuer {
                url: url.to_owned(),
                problem,
            })?;
        Ok(Self {
            entries: Vec::new(),
            keys: Arc::new(IssuerKeys::new(issuer, Arc::clone(fetcher))),
        })
    }

    /// A signature that the named key did not make costs nothing more. A key that is not known may be one that the
    /// issuer has just begun to use, so it is worth asking for newer keys, as often as the cool-down lets.
    async fn verify_signature(&self, jws: &Jws<'_>) -> Result<(), TokenError> {
        let cached = self
            .keys
            .current()
            .await
            .map_err(|source| self.unavailable(source))?;
        let mismatch = match cached.keys().verify(jws) {
            Ok(()) => return Ok(()),
            Err(mismatch) if !may_be_rotation(mismatch, jws) => return Err(self.refusal(mismatch, jws)),
            Err(mismatch) => mismatch,
        };
        let newer = self
            .keys
            .newer_than(&cached)
            .await
            .map_err(|source| self.unavailable(source))?;
        newer
            .map_or(Err(mismatch), |newer| newer.keys().verify(jws))
            .map_err(|mismatch| self.refusal(mismatch, jws))
    }

    /// Of several entries whose audience the token names, the first in the file counts.
    fn verify_claims(&self, claims: Map<String, Value>, now: Timestamp) -> Result<VerifiedToken, TokenError> {
        claims::check_times(&claims, now)?;
        let audiences = claims::audiences(&claims)?;
        let entry = self
            .entries
            .iter()
            .find(|entry| audiences.contains(&entry.audience()));
        let Some(entry) = entry else {
            return Err(TokenError::AudienceMismatch {
                expected: Quoted::list(self.entries.iter().map(|entry| entry.audience())),
                given: Quoted::list(audiences),
            });
        };
        let subject = claims::subject(&claims)?.to_owned();
        Ok(VerifiedToken {
            issuer: Arc::clone(entry),
            subject,
            claims,
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
        Quoted::new(self.entries.first().map_or("", |entry| entry.url()))
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
    #[error("issuer-url {url:?} cannot be used: {problem}")]
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
