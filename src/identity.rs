//! `VerifiedToken` -> `Identity`, by rules that are data.
//!
//! A [`Rule`] is compiled when the issuer file is loaded; at request time it only reads claims. Where claims give
//! Fulcio an identity, they give the same bytes here; claims that could mislead a reader of the certificate
//! (control characters, direction overrides, URIs with odd characters) are refused, never altered.

mod chainguard;
mod ci_provider;
mod claims;
mod email;
mod error;
mod kubernetes;
mod rule;
mod spiffe;
mod subject_domain;
mod uri;
mod username;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{extension::ExtensionValues, token::VerifiedToken, trusted_issuer::ChallengeClaim};

pub use ci_provider::{CiProvider, LEGACY_TYPES, Template, TemplateError};
pub use claims::{ClaimPath, MAX_VALUE_BYTES};
pub use email::{EmailRule, Verification};
pub use error::IdentityError;
pub use rule::{Names, Rule};
pub use spiffe::{SpiffeRule, TrustDomainError};
pub use subject_domain::SubjectDomainError;
pub use uri::UriRule;
pub use username::UsernameRule;

/// The one subject alternative name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectName {
    /// rfc822Name (RFC 5280 section 4.2.1.6), ASCII.
    Email(String),
    /// uniformResourceIdentifier (RFC 5280 section 4.2.1.6), ASCII.
    Uri(String),
    /// otherName 1.3.6.1.4.1.57264.1.7, a UTF8String `name!domain`.
    Username(String),
}

/// Who a verified token says the caller is, as the certificate will name it. Only [`identify`] makes one.
#[derive(Debug)]
pub struct Identity {
    token: VerifiedToken,
    names: Names,
    challenges: Vec<String>,
}

impl Identity {
    /// The token that says so.
    #[must_use]
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// The one subject alternative name.
    #[must_use]
    pub fn name(&self) -> &SubjectName {
        self.names.subject()
    }

    /// The values of the 1.3.6.1.4.1.57264.1 extensions.
    #[must_use]
    pub fn extensions(&self) -> &ExtensionValues {
        self.names.extensions()
    }

    /// The values over which a proof of possession is accepted, the configured one first
    /// (the issuer's challenge claim; then `email` or `sub`, whichever else the verified token has).
    #[must_use]
    pub fn challenges(&self) -> &[String] {
        &self.challenges
    }
}

/// Turns a verified token into the identity that its issuer's rule gives.
///
/// # Errors
/// A claim that the rule needs is absent, of the wrong type, or not acceptable in a certificate.
pub fn identify(token: VerifiedToken) -> Result<Identity, IdentityError> {
    let entry = token.issuer();
    let names = entry.rule().apply(token.iss(), token.subject(), token.claims())?;
    let challenges = challenges(entry.challenge(), token.subject(), token.claims());
    Ok(Identity {
        token,
        names,
        challenges,
    })
}

/// Several clients sign `email` whenever the token has one, whatever the issuer's type: both values prove possession
/// just as well, because both were signed by the issuer. An absent or empty claim is no challenge.
fn challenges(configured: ChallengeClaim, subject: &str, claims: &Map<String, Value>) -> Vec<String> {
    let email = claims.get("email").and_then(Value::as_str).unwrap_or_default();
    let mut values = match configured {
        ChallengeClaim::Email => vec![email, subject],
        ChallengeClaim::Subject => vec![subject, email],
    };
    values.dedup();
    values.retain(|value| !value.is_empty());
    values.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(configured: ChallengeClaim, claims: &Value) -> Vec<String> {
        challenges(configured, "subject", claims.as_object().unwrap())
    }

    #[test]
    fn the_configured_challenge_comes_first() {
        let claims = json!({"email": "a@example.com"});
        assert_eq!(
            values(ChallengeClaim::Email, &claims),
            ["a@example.com", "subject"]
        );
        assert_eq!(
            values(ChallengeClaim::Subject, &claims),
            ["subject", "a@example.com"]
        );
    }

    #[test]
    fn only_strings_that_the_token_has_are_challenges() {
        for claims in [
            json!({}),
            json!({"email": ""}),
            json!({"email": 7}),
            json!({"email": "subject"}),
        ] {
            assert_eq!(values(ChallengeClaim::Email, &claims), ["subject"], "{claims}");
            assert_eq!(values(ChallengeClaim::Subject, &claims), ["subject"], "{claims}");
        }
    }
}
