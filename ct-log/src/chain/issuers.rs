//! The issuers of an entry that is logged already, for the audit.

use super::certificate::Certificate;
use super::entry;
use super::error::ChainError;
use crate::leaf::Entry;

/// A chain of issuers, each signed by the next, up to a self-signed root.
#[derive(Debug)]
pub(crate) struct IssuerCertificates(Vec<Certificate>);

impl IssuerCertificates {
    /// Checks a chain (DER): the issuer of the entry first, the root last. Positions in errors count the
    /// entry's own certificate as zero.
    pub(crate) fn new(chain: &[Vec<u8>]) -> Result<Self, ChainError> {
        let parse = |(position, der): (usize, &Vec<u8>)| Certificate::parse(position + 1, der);
        let chain = chain
            .iter()
            .enumerate()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        for (position, (subject, issuer)) in chain.iter().zip(chain.iter().skip(1)).enumerate() {
            subject.check_issued_by(issuer, position + 1)?;
        }
        match chain.last() {
            Some(root) if root.is_self_signed() => Ok(Self(chain)),
            _ => Err(ChainError::NoPathToRoot),
        }
    }

    /// The entry that a log must have made of this certificate or precertificate (DER).
    pub(crate) fn expected_entry(&self, certificate: &[u8]) -> Result<Entry, ChainError> {
        let leaf = Certificate::parse(0, certificate)?;
        let issuer = self.0.first().ok_or(ChainError::NoPathToRoot)?;
        leaf.check_issued_by(issuer, 0)?;
        entry(&leaf, issuer)
    }
}
