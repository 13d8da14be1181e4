//! `type: spiffe`: the SPIFFE ID in `sub`, if it is of the configured trust domain.

use spiffe::{SpiffeId, SpiffeIdError, TrustDomain};

use super::{IdentityError, Names, SubjectName};
use crate::extension::ExtensionValues;

/// SPIFFE IDs of one trust domain.
#[derive(Clone, Debug)]
pub struct SpiffeRule {
    trust_domain: TrustDomain,
}

/// Not a trust domain (SPIFFE ID and SVID, section 2.1).
#[derive(Debug, thiserror::Error)]
#[error("is not a SPIFFE trust domain: {0}")]
pub struct TrustDomainError(SpiffeIdError);

impl SpiffeRule {
    /// The rule for a trust domain, as `example.org` or `spiffe://example.org`.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(trust_domain: &str) -> Result<Self, TrustDomainError> {
        let trust_domain = TrustDomain::new(trust_domain).map_err(TrustDomainError)?;
        Ok(Self { trust_domain })
    }

    pub(super) fn trust_domain(&self) -> &str {
        self.trust_domain.as_str()
    }

    pub(super) fn apply(&self, issuer: &str, subject: &str) -> Result<Names, IdentityError> {
        // The parser takes capital letters and makes them small: a reader who compares bytes would see another name.
        let id = SpiffeId::new(subject).ok().filter(|id| id.to_string() == subject);
        let id = id.ok_or(IdentityError::SubjectInvalid("is not a SPIFFE ID"))?;
        if !id.is_member_of(&self.trust_domain) {
            return Err(IdentityError::SubjectInvalid(
                "is a SPIFFE ID of another trust domain than this issuer vouches for",
            ));
        }
        let name = SubjectName::Uri(subject.to_owned());
        Ok(Names::new(name, ExtensionValues::new(issuer, subject)))
    }
}
