//! Why a token is refused: one variant for each stable reason.

use std::{fmt, sync::Arc, time::Duration};

use super::{cache::COOL_DOWN, fetch::FetchError};
use crate::{clock::whole_seconds, trusted_issuer::NearMiss};

/// How many characters of a foreign value an error message repeats.
const MAX_QUOTED_CHARS: usize = 100;

/// Why a token is refused. The text is safe to show the caller and says what to do; `source` is for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The request carries no token.
    #[error(
        "the request carries no identity token: send an OIDC ID token in credentials.oidcIdentityToken or as \"Authorization: Bearer\""
    )]
    Missing,
    /// Not one compact JWS with JSON objects as header and payload (RFC 7515 section 3.1, RFC 7519 section 3).
    #[error("the identity token is malformed: {0}; send the ID token exactly as its issuer gave it")]
    Malformed(&'static str),
    /// The header's `alg` is outside the allow-list, or is not the algorithm of the issuer's key.
    #[error(
        "the identity token is signed with algorithm {algorithm}, which is not allowed here: the issuer must sign with a key that it publishes, by one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519"
    )]
    AlgorithmNotAllowed {
        /// The header's `alg`.
        algorithm: Quoted,
    },
    /// The issuer's discovery document names the algorithms of its tokens, and this is none of them.
    #[error(
        "the identity token is signed with algorithm {algorithm}, but its issuer {issuer} says that it signs with {named} (id_token_signing_alg_values_supported of its discovery document): ask the issuer for a token by one of these, or its operator to name the algorithm"
    )]
    AlgorithmNotNamed {
        /// The header's `alg`.
        algorithm: Quoted,
        /// The token's `iss`.
        issuer: Quoted,
        /// The names of algorithms that are known here.
        named: String,
    },
    /// The discovery document at the token's `iss` is of another issuer (OpenID Connect Discovery 1.0 section 4.3).
    #[error(
        "the identity token's issuer {issuer} publishes the discovery document of another issuer: use a token whose iss is exactly the issuer of that document"
    )]
    IssuerMismatch {
        /// The token's `iss`.
        issuer: Quoted,
    },
    /// No entry of the issuer file has this `iss`.
    #[error(
        "the identity token's issuer {issuer} is not trusted here: use a token of a configured issuer (GET /api/v2/configuration lists them), or have the operator add this one{}",
        near_text(near.as_ref())
    )]
    IssuerNotTrusted {
        /// The token's `iss`, unverified.
        issuer: Quoted,
        /// The configured issuer that was probably meant.
        near: Option<NearMiss>,
    },
    /// The issuer publishes no key that could have signed the token.
    #[error(
        "the identity token's key {key} is not among the usable keys that its issuer {issuer} publishes: ask the issuer for a new token"
    )]
    UnknownKey {
        /// The configured issuer.
        issuer: Quoted,
        /// The header's `kid`, or its `alg` when it has no `kid`.
        key: Quoted,
    },
    /// The key is not known here, and whether the issuer has begun to use it since its keys were last fetched can't be said
    /// yet.
    #[error(
        "the identity token's key is not among those that its issuer {issuer} published a moment ago: try again in {} s, when they may be fetched again",
        whole_seconds(*retry_after)
    )]
    KeyNotYetKnown {
        /// The configured issuer.
        issuer: Quoted,
        /// When the keys may be fetched again.
        retry_after: Duration,
    },
    /// The signature is not by the issuer's key.
    #[error(
        "the identity token's signature is invalid: it was altered, or its issuer did not sign it; ask the issuer for a new token"
    )]
    SignatureInvalid,
    /// `exp` has passed (RFC 7519 section 4.1.4).
    #[error("the identity token expired {seconds_ago} s ago: ask the issuer for a new token")]
    Expired {
        /// Whole seconds since `exp`.
        seconds_ago: u64,
    },
    /// `nbf` is in the future by more than the permitted clock skew.
    #[error(
        "the identity token is not yet valid (nbf is {seconds_ahead} s ahead of this server's clock): compare the issuer's clock with this server's"
    )]
    NotYetValid {
        /// Whole seconds until that instant.
        seconds_ahead: u64,
    },
    /// `aud` names none of the audiences configured for the issuer.
    #[error(
        "the identity token is for audience {given}, but this server takes tokens for {expected} from its issuer: ask the issuer for a token with that audience"
    )]
    AudienceMismatch {
        /// The configured audiences.
        expected: Quoted,
        /// The token's `aud`.
        given: Quoted,
    },
    /// A claim that every token must carry is absent.
    #[error(
        "the identity token has no {0} claim: use an OIDC ID token, which must carry iss, sub, aud and exp"
    )]
    ClaimMissing(&'static str),
    /// A claim has the wrong type or an impossible value.
    #[error("the identity token's {claim} claim is invalid: it must be {requirement}")]
    ClaimInvalid {
        /// The claim.
        claim: &'static str,
        /// What it must be.
        requirement: &'static str,
    },
    /// A claim that is read here can be read in more than one way, or not at all.
    #[error(
        "the identity token's claim {claim} does not have one reading: {problem}; have its issuer send the claim once, as JSON in UTF-8"
    )]
    ClaimAmbiguous {
        /// The claim.
        claim: Quoted,
        /// What is wrong with it; nothing of its value.
        problem: String,
    },
    /// The issuer's keys could not be fetched, so that nothing can be said about the token; trying again may help.
    #[error(
        "the keys of the identity token's issuer {issuer} cannot be fetched at the moment: try again in ten seconds; the cause is in this server's log"
    )]
    IssuerUnavailable {
        /// The configured issuer.
        issuer: Quoted,
        /// What went wrong between us and the issuer.
        source: Arc<FetchError>,
    },
}

impl TokenError {
    /// The stable, machine-readable reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed(_) | Self::ClaimAmbiguous { .. } => "token_malformed",
            Self::AlgorithmNotAllowed { .. } | Self::AlgorithmNotNamed { .. } => "algorithm_not_allowed",
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::IssuerNotTrusted { .. } => "issuer_not_trusted",
            Self::UnknownKey { .. } => "unknown_key",
            Self::KeyNotYetKnown { .. } => "key_not_yet_known",
            Self::SignatureInvalid => "token_signature_invalid",
            Self::Expired { .. } => "token_expired",
            Self::NotYetValid { .. } => "token_not_yet_valid",
            Self::AudienceMismatch { .. } => "audience_mismatch",
            Self::ClaimMissing(_) => "claim_missing",
            Self::ClaimInvalid { .. } => "claim_invalid",
            Self::IssuerUnavailable { .. } => "issuer_unavailable",
        }
    }

    /// When the same token may be accepted, if the fault is not the caller's (a 503, not a 400).
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::IssuerUnavailable { .. } => Some(COOL_DOWN),
            Self::KeyNotYetKnown { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

fn near_text(near: Option<&NearMiss>) -> String {
    near.map_or_else(String::new, |near| {
        let (name, differences) = (Quoted::new(near.name()), near.differences());
        format!("; {name} is configured, from which it differs in {differences}")
    })
}

/// A value from outside, made fit for a message: ASCII, without control characters, in quotes, cut to a bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    pub(super) fn new(value: &str) -> Self {
        let mut shown: String = value
            .chars()
            .take(MAX_QUOTED_CHARS)
            .flat_map(char::escape_default)
            .collect();
        if value.chars().nth(MAX_QUOTED_CHARS).is_some() {
            shown.push_str("...");
        }
        Self(format!("\"{shown}\""))
    }

    /// Several values; cut like one.
    pub(super) fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut values = values.into_iter();
        let mut shown = String::new();
        for value in values.by_ref().take(MAX_QUOTED_VALUES) {
            if !shown.is_empty() {
                shown.push_str(", ");
            }
            shown.push_str(&Self::new(value).0);
        }
        if values.next().is_some() {
            shown.push_str(", ...");
        }
        Self(shown)
    }
}

/// How many elements of a list an error message repeats.
const MAX_QUOTED_VALUES: usize = 5;

impl fmt::Display for Quoted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_bounded_printable_ascii() {
        let quoted = Quoted::new(&"\u{202e}\n".repeat(10_000)).to_string();
        assert!(quoted.len() < 12 * MAX_QUOTED_CHARS, "{}", quoted.len());
        assert!(quoted.chars().all(|c| c.is_ascii_graphic()), "{quoted}");
        assert_eq!(Quoted::new("plain").to_string(), "\"plain\"");
        assert_eq!(Quoted::list(["a", "b"]).to_string(), "\"a\", \"b\"");
        assert_eq!(
            Quoted::list(["a"; 9]).to_string().matches("\"a\"").count(),
            MAX_QUOTED_VALUES
        );
    }
}
