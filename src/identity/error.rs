//! Why a verified token gives no identity.

use crate::extension::FulcioExtension;

/// Why a verified token gives no identity. `Display` is for the caller; it names claims and never repeats their values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The issuer has not verified the address.
    #[error(
        "the token's email address is not verified by its issuer: verify the address there, or ask for a token with email_verified: true"
    )]
    EmailNotVerified,
    /// No `email`, or an empty one.
    #[error("the token has no email claim: request it with the scope `email`")]
    EmailMissing,
    /// Not a plain ASCII address.
    #[error(
        "the token's email claim is not an address that a certificate can carry: use a plain ASCII address such as name@example.com, of at most 254 characters"
    )]
    EmailInvalid,
    /// A claim that the rule needs is not in the token.
    #[error(
        "the token has no claim `{claim}`, which this issuer's certificates need: request a token that has it"
    )]
    ClaimMissing {
        /// The name of the claim, from the issuer file.
        claim: String,
    },
    /// A claim that the rule needs has an unusable value.
    #[error("the token's claim `{claim}` {problem}: request a token with a usable value")]
    ClaimInvalid {
        /// The name of the claim, from the issuer file.
        claim: String,
        /// What is wrong with its value, without the value.
        problem: &'static str,
    },
    /// `sub` is not what this issuer may vouch for.
    #[error("the token's subject (claim `sub`) {0}")]
    SubjectInvalid(&'static str),
    /// The claims do not make an acceptable URI.
    #[error("the token's claims do not make a valid certificate name: the URI {0}")]
    SanInvalid(&'static str),
    /// The claims do not make an acceptable extension value.
    #[error(
        "the token's claims do not make a valid value for the certificate extension `{extension}`: it {problem}"
    )]
    ExtensionInvalid {
        /// The name of the extension.
        extension: &'static str,
        /// What is wrong with the value, without the value.
        problem: &'static str,
    },
    /// A template of the issuer file failed on these claims.
    #[error(
        "the claims of this token do not fit the issuer's template for {target}: ask the operator of this service to check it"
    )]
    TemplateFailed {
        /// What the template makes.
        target: &'static str,
        /// What the template engine says; it may quote claims.
        source: Box<gotmpl::TemplateError>,
    },
}

impl IdentityError {
    /// The stable machine-readable reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::EmailNotVerified => "email_not_verified",
            Self::EmailMissing => "email_missing",
            Self::EmailInvalid => "email_invalid",
            Self::ClaimMissing { .. } => "claim_missing",
            Self::ClaimInvalid { .. } => "claim_invalid",
            Self::SubjectInvalid(_) => "subject_invalid",
            Self::SanInvalid(_) => "san_invalid",
            Self::ExtensionInvalid { .. } => "extension_invalid",
            Self::TemplateFailed { .. } => "template_failed",
        }
    }

    pub(super) fn claim_invalid(claim: &str, problem: &'static str) -> Self {
        Self::ClaimInvalid {
            claim: claim.to_owned(),
            problem,
        }
    }

    pub(super) fn claim_missing(claim: &str) -> Self {
        Self::ClaimMissing {
            claim: claim.to_owned(),
        }
    }

    pub(super) fn extension_invalid(extension: FulcioExtension, problem: &'static str) -> Self {
        Self::ExtensionInvalid {
            extension: extension.name(),
            problem,
        }
    }
}
