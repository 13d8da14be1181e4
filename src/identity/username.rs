//! `type: username`: `sub` and the subject domain, as `name!domain`.

use super::{
    IdentityError, Names, SubjectName,
    email::{is_domain, resembles_address},
    subject_domain::{SubjectDomainError, issuer_host, same_site},
};
use crate::extension::ExtensionValues;

/// Names of one domain.
#[derive(Clone, Debug)]
pub struct UsernameRule {
    domain: String,
}

impl UsernameRule {
    /// The rule for `domain`, a host name without a scheme, of an issuer whose host has the same last two labels.
    ///
    /// # Errors
    /// `domain` is not a host name, or belongs to somebody else.
    pub fn new(domain: &str, issuer_url: &str) -> Result<Self, SubjectDomainError> {
        if domain.contains("://") {
            return Err(SubjectDomainError::SchemeNotAllowed);
        }
        let issuer = issuer_host(issuer_url)?;
        if domain != issuer && !is_domain(domain) {
            return Err(SubjectDomainError::NotHostName);
        }
        if !same_site(domain, &issuer) {
            return Err(SubjectDomainError::OtherDomain);
        }
        Ok(Self {
            domain: domain.to_owned(),
        })
    }

    pub(super) fn subject_domain(&self) -> &str {
        &self.domain
    }

    pub(super) fn apply(&self, issuer: &str, subject: &str) -> Result<Names, IdentityError> {
        if subject.contains('!') {
            return Err(IdentityError::SubjectInvalid(
                "contains `!`, which separates a username from its domain: use another username",
            ));
        }
        if resembles_address(subject) {
            return Err(IdentityError::SubjectInvalid(
                "is an email address, but this issuer vouches for usernames: use a plain username",
            ));
        }
        let name = SubjectName::Username(format!("{subject}!{}", self.domain));
        Ok(Names::new(name, ExtensionValues::new(issuer, subject)))
    }
}
