//! What a rule of the issuer file makes of claims.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{CiProvider, EmailRule, IdentityError, SubjectName, UriRule, UsernameRule, claims::text_problem};
use crate::{extension::ExtensionValues, trusted_issuer::ChallengeClaim};

/// A compiled rule of the issuer file: how claims become a name and extension values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// `type: email`: the address in `email`.
    Email(EmailRule),
    /// `type: uri`: the URI in `sub`.
    Uri(UriRule),
    /// `type: username`: `sub` and the subject domain.
    Username(UsernameRule),
    /// `type: ci-provider`: a URI and extensions by templates.
    CiProvider(Arc<CiProvider>),
}

/// The name and the extension values that a rule makes of claims. Only [`super::identify`], which has a verified
/// token, makes an identity of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    subject: SubjectName,
    extensions: ExtensionValues,
}

impl Names {
    pub(super) fn new(subject: SubjectName, extensions: ExtensionValues) -> Self {
        Self { subject, extensions }
    }

    /// The one subject alternative name.
    #[must_use]
    pub fn subject(&self) -> &SubjectName {
        &self.subject
    }

    /// The values of the 1.3.6.1.4.1.57264.1 extensions.
    #[must_use]
    pub fn extensions(&self) -> &ExtensionValues {
        &self.extensions
    }
}

impl Rule {
    /// The plain email rule: `email` where `email_verified` is true.
    #[must_use]
    pub fn email() -> Self {
        Self::Email(EmailRule::verified())
    }

    /// The `type` in the issuer file.
    #[must_use]
    pub fn issuer_type(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Uri(_) => "uri",
            Self::Username(_) => "username",
            Self::CiProvider(_) => "ci-provider",
        }
    }

    /// The `subject-domain` in the issuer file, for the types that have one.
    #[must_use]
    pub fn subject_domain(&self) -> Option<&str> {
        match self {
            Self::Uri(rule) => Some(rule.subject_domain()),
            Self::Username(rule) => Some(rule.subject_domain()),
            Self::Email(_) | Self::CiProvider(_) => None,
        }
    }

    /// Whether the issuer's verdict on email addresses is not asked for (`skip-email-verification`).
    #[must_use]
    pub fn skips_email_verification(&self) -> bool {
        matches!(self, Self::Email(rule) if rule.skips_verification())
    }

    /// The claim that applicants sign unless the issuer file names another.
    #[must_use]
    pub fn default_challenge(&self) -> ChallengeClaim {
        match self {
            Self::Email(_) => ChallengeClaim::Email,
            Self::Uri(_) | Self::Username(_) | Self::CiProvider(_) => ChallengeClaim::Subject,
        }
    }

    /// What the claims of a token of `issuer` about `subject` (its `sub`) give.
    ///
    /// # Errors
    /// A claim that the rule needs is absent, of the wrong type, or not acceptable in a certificate.
    pub fn apply(
        &self,
        issuer: &str,
        subject: &str,
        claims: &Map<String, Value>,
    ) -> Result<Names, IdentityError> {
        if subject.is_empty() {
            return Err(IdentityError::SubjectInvalid("is empty"));
        }
        if let Some(problem) = text_problem(subject) {
            return Err(IdentityError::SubjectInvalid(problem));
        }
        match self {
            Self::Email(rule) => rule.apply(issuer, subject, claims),
            Self::Uri(rule) => rule.apply(issuer, subject),
            Self::Username(rule) => rule.apply(issuer, subject),
            Self::CiProvider(provider) => provider.apply(issuer, subject, claims),
        }
    }
}
