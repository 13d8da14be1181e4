//! What a rule of the issuer file makes of claims.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    CiProvider, EmailRule, IdentityError, SpiffeRule, SubjectName, UriRule, UsernameRule, chainguard,
    claims::text_problem, kubernetes,
};
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
    /// `type: spiffe`: the SPIFFE ID in `sub`.
    Spiffe(SpiffeRule),
    /// `type: kubernetes`: a URI of the service account.
    Kubernetes,
    /// `type: chainguard-identity`: the issuer's URL and `sub`.
    Chainguard,
    /// `type: ci-provider` and the older types of single providers: a URI and extensions by templates.
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
            Self::Spiffe(_) => "spiffe",
            Self::Kubernetes => "kubernetes",
            Self::Chainguard => "chainguard-identity",
            Self::CiProvider(provider) => provider.issuer_type(),
        }
    }

    /// Whether it names pipelines or workloads rather than people.
    #[must_use]
    pub fn names_workloads(&self) -> bool {
        matches!(self, Self::CiProvider(_) | Self::Kubernetes | Self::Spiffe(_))
    }

    /// The `subject-domain` in the issuer file, for the types that have one.
    #[must_use]
    pub fn subject_domain(&self) -> Option<&str> {
        match self {
            Self::Uri(rule) => Some(rule.subject_domain()),
            Self::Username(rule) => Some(rule.subject_domain()),
            _ => None,
        }
    }

    /// The `spiffe-trust-domain` in the issuer file, for the type that has one.
    #[must_use]
    pub fn spiffe_trust_domain(&self) -> Option<&str> {
        match self {
            Self::Spiffe(rule) => Some(rule.trust_domain()),
            _ => None,
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
            _ => ChallengeClaim::Subject,
        }
    }

    /// Whether [`Self::apply`] may look at this claim, beside `sub`.
    #[must_use]
    pub(crate) fn reads(&self, claim: &str) -> bool {
        match self {
            Self::Email(rule) => rule.reads(claim),
            Self::Uri(_) | Self::Username(_) | Self::Spiffe(_) => false,
            Self::Kubernetes => claim == kubernetes::CLAIM,
            Self::Chainguard => chainguard::CLAIMS.contains(&claim),
            Self::CiProvider(provider) => provider.reads(claim),
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
            Self::Spiffe(rule) => rule.apply(issuer, subject),
            Self::Kubernetes => kubernetes::apply(issuer, subject, claims),
            Self::Chainguard => chainguard::apply(issuer, subject, claims),
            Self::CiProvider(provider) => provider.apply(issuer, subject, claims),
        }
    }
}
