//! The registered claims (RFC 7519 section 4.1), strictly typed.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{Quoted, TokenError};
use crate::{clock::Timestamp, identity::MAX_VALUE_BYTES, trusted_issuer::NearMiss};

/// How far `nbf` may lie in the future, in seconds: that of go-oidc, the verifier that Fulcio uses.
/// RFC 7519 section 4.1.5 allows "some small leeway". For `exp` there is none, as there: a token is
/// refused from that second on (section 4.1.4).
pub const CLOCK_SKEW_SECONDS: u64 = 300;

type Claims = Map<String, Value>;

/// `iss` before the signature is checked: good for finding the issuer whose keys check it, and for nothing else.
#[derive(Debug)]
pub(super) struct UnverifiedIssuer<'a>(&'a str);

impl<'a> UnverifiedIssuer<'a> {
    /// # Errors
    /// `ClaimMissing` or `ClaimInvalid`.
    pub(super) fn peek(payload: &'a Claims) -> Result<Self, TokenError> {
        let issuer = text(payload, "iss")?;
        if issuer.len() > MAX_VALUE_BYTES {
            return Err(TokenError::ClaimInvalid {
                claim: "iss",
                requirement: "at most 2048 bytes long",
            });
        }
        Ok(Self(issuer))
    }

    /// The value, for looking up who is trusted.
    pub(super) fn as_str(&self) -> &'a str {
        self.0
    }

    /// The refusal of an issuer that no entry names, though one may name it nearly.
    pub(super) fn not_trusted(&self, near: Option<NearMiss>) -> TokenError {
        TokenError::IssuerNotTrusted {
            issuer: Quoted::new(self.0),
            near,
        }
    }
}

/// `sub`.
///
/// # Errors
/// `ClaimMissing` or `ClaimInvalid`.
pub(super) fn subject(claims: &Claims) -> Result<&str, TokenError> {
    text(claims, "sub")
}

/// `aud`: one string, or a non-empty array of strings (RFC 7519 section 4.1.3).
///
/// # Errors
/// `ClaimMissing` or `ClaimInvalid`.
pub(super) fn audiences(claims: &Claims) -> Result<Vec<&str>, TokenError> {
    let audiences = match claims.get("aud") {
        None => return Err(TokenError::ClaimMissing("aud")),
        Some(Value::String(audience)) => Some(vec![audience.as_str()]),
        Some(Value::Array(audiences)) if !audiences.is_empty() => {
            audiences.iter().map(Value::as_str).collect()
        }
        Some(_) => None,
    };
    audiences.ok_or(TokenError::ClaimInvalid {
        claim: "aud",
        requirement: "a string or a non-empty array of strings",
    })
}

/// Checks `exp` and, where there are any, `iat` and `nbf`; gives `exp`.
///
/// When a token was issued does not make it invalid: as in go-oidc, `iat` is not compared with the
/// clock, and may be absent, as in JWT-SVIDs.
///
/// # Errors
/// `Expired`, `NotYetValid`, `ClaimMissing` or `ClaimInvalid`.
pub(super) fn check_times(claims: &Claims, now: Timestamp) -> Result<u64, TokenError> {
    let now = now.unix_seconds();
    let expires = numeric_date(claims, "exp")?.ok_or(TokenError::ClaimMissing("exp"))?;
    numeric_date(claims, "iat")?;
    let not_before = match claims.get("nbf") {
        Some(Value::Null) => None,
        _ => numeric_date(claims, "nbf")?,
    };
    if now >= expires {
        return Err(TokenError::Expired {
            seconds_ago: now.saturating_sub(expires),
        });
    }
    let seconds_ahead = not_before.unwrap_or_default().saturating_sub(now);
    if seconds_ahead > CLOCK_SKEW_SECONDS {
        return Err(TokenError::NotYetValid { seconds_ahead });
    }
    Ok(expires)
}

/// A NumericDate (RFC 7519 section 2) without its fraction, so that a token never lives longer than
/// its `exp` says. What is only almost a number must never read as "absent" (CVE-2026-25537).
fn numeric_date(claims: &Claims, claim: &'static str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let seconds = value.as_u64().or_else(|| {
        let whole = Duration::try_from_secs_f64(value.as_f64()?.floor()).ok()?;
        Some(whole.as_secs())
    });
    seconds.map(Some).ok_or(TokenError::ClaimInvalid {
        claim,
        requirement: "a number of seconds since 1970, not negative, not in quotes",
    })
}

fn text<'a>(claims: &'a Claims, claim: &'static str) -> Result<&'a str, TokenError> {
    match claims.get(claim) {
        None => Err(TokenError::ClaimMissing(claim)),
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(_) => Err(TokenError::ClaimInvalid {
            claim,
            requirement: "a string that is not empty",
        }),
    }
}
