//! The certificates of a timestamp authority, checked at start: Mayfly does not sign times that clients would refuse.

use std::{ops::RangeInclusive, time::Duration};

use const_oid::{
    AssociatedOid,
    db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_TIME_STAMPING},
};
use der::{Decode, asn1::ObjectIdentifier, referenced::OwnedToRef};
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage},
};

use crate::{
    clock::Timestamp,
    issuer::chain::{ChainError, blocks, check_links, common_validity, extension},
    key::SignatureAlgorithm,
    pem_block,
};

/// The authority's certificates, from the one whose key signs to the root.
#[derive(Clone, Debug)]
pub struct TimestampChain {
    certificates: Vec<Certificate>,
    signer: Certificate,
    der: Vec<Vec<u8>>,
    validity: RangeInclusive<Duration>,
}

impl TimestampChain {
    /// Parses and checks a PEM file: the authority's own certificate first, the root last.
    ///
    /// # Errors
    /// The first thing wrong, with the certificate's position.
    pub fn from_pem(pem: &[u8], now: Timestamp) -> Result<Self, TimestampChainError> {
        Self::from_der(blocks(pem)?, now)
    }

    /// As [`TimestampChain::from_pem`], from DER.
    ///
    /// # Errors
    /// The first thing wrong, with the certificate's position.
    pub fn from_der(der: Vec<Vec<u8>>, now: Timestamp) -> Result<Self, TimestampChainError> {
        Self::checked(der, Some(now))
    }

    /// From PEM, of an authority that need not be valid now: what it signed while it was still counts, and one may be announced before
    /// its time.
    ///
    /// # Errors
    /// The first thing wrong, with the certificate's position.
    pub fn of_any_time(pem: &[u8]) -> Result<Self, TimestampChainError> {
        Self::checked(blocks(pem)?, None)
    }

    fn checked(der: Vec<Vec<u8>>, now: Option<Timestamp>) -> Result<Self, TimestampChainError> {
        let parse = |(at, der): (usize, &Vec<u8>)| {
            Certificate::from_der(der).map_err(|source| ChainError::Malformed { at, source })
        };
        let certificates = der.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        let [signer, _, ..] = certificates.as_slice() else {
            return Err(TimestampChainError::TooShort);
        };
        check_links(&certificates, 1, now)?;
        check_signer(signer)?;
        check_usages_chain(&certificates)?;
        Ok(Self {
            signer: signer.clone(),
            validity: common_validity(&certificates),
            certificates,
            der,
        })
    }

    /// DER, the authority's own certificate first, the root last.
    #[must_use]
    pub fn der(&self) -> &[Vec<u8>] {
        &self.der
    }

    /// PEM, the authority's own certificate first, the root last.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let block = |der: &Vec<u8>| pem_block::encode("CERTIFICATE", der);
        self.der.iter().map(block).collect()
    }

    /// The certificate whose key signs.
    #[must_use]
    pub fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// DER of that.
    pub(super) fn signer_der(&self) -> &[u8] {
        self.der.first().map_or(&[], Vec::as_slice)
    }

    /// What verifiers who know the root need.
    pub(super) fn below_the_root(&self) -> &[Certificate] {
        match self.certificates.as_slice() {
            [below @ .., _] => below,
            [] => &[],
        }
    }

    /// When every certificate of the chain is valid, since the Unix epoch.
    #[must_use]
    pub fn validity(&self) -> &RangeInclusive<Duration> {
        &self.validity
    }
}

/// RFC 3161 2.3: the certificate is for timestamping and nothing else, and says so critically.
fn check_signer(signer: &Certificate) -> Result<(), TimestampChainError> {
    let tbs = signer.tbs_certificate();
    if SignatureAlgorithm::of(&tbs.subject_public_key_info().owned_to_ref()).is_none() {
        return Err(TimestampChainError::KeyKind);
    }
    if extension::<BasicConstraints>(signer, 0)?.is_some_and(|constraints| constraints.ca) {
        return Err(TimestampChainError::Authority);
    }
    let is_critical = tbs
        .extensions()
        .into_iter()
        .flatten()
        .any(|extension| extension.extn_id == ExtendedKeyUsage::OID && extension.critical);
    let usages = extension::<ExtendedKeyUsage>(signer, 0)?;
    if !is_critical || usages.is_none_or(|ExtendedKeyUsage(usages)| usages != [ID_KP_TIME_STAMPING]) {
        return Err(TimestampChainError::NotForTimestamping);
    }
    let usage = extension::<KeyUsage>(signer, 0)?;
    match usage.is_none_or(|usage| usage.digital_signature() && !usage.key_cert_sign()) {
        true => Ok(()),
        false => Err(TimestampChainError::KeyUsage),
    }
}

/// Clients that check how usages chain refuse a certificate whose CA is for other purposes.
fn check_usages_chain(certificates: &[Certificate]) -> Result<(), TimestampChainError> {
    for (at, certificate) in certificates.iter().enumerate().skip(1) {
        let usages = extension::<ExtendedKeyUsage>(certificate, at)?;
        let allows = |usage: &ObjectIdentifier| [ID_KP_TIME_STAMPING, ANY_EXTENDED_KEY_USAGE].contains(usage);
        if usages.is_some_and(|ExtendedKeyUsage(usages)| !usages.iter().any(allows)) {
            return Err(TimestampChainError::UsagesDoNotChain { at });
        }
    }
    Ok(())
}

/// Why a chain cannot be used. `at` counts from 0, the certificate whose key signs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampChainError {
    /// What is wrong with any chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Fewer than two.
    #[error(
        "the chain needs at least two certificates: the timestamp authority's own, then its issuers up to the root"
    )]
    TooShort,
    /// The key of the first certificate.
    #[error("the timestamp authority's key must be ECDSA on P-256 or P-384, or RSA")]
    KeyKind,
    /// basicConstraints of the first certificate.
    #[error(
        "the first certificate of the chain is a CA: the timestamp authority needs one of its own, which is not"
    )]
    Authority,
    /// extKeyUsage of the first certificate.
    #[error(
        "the timestamp authority's certificate must have extKeyUsage timeStamping, critical, and nothing else there"
    )]
    NotForTimestamping,
    /// keyUsage of the first certificate.
    #[error("the keyUsage of the timestamp authority's certificate must be digitalSignature")]
    KeyUsage,
    /// extKeyUsage of a CA.
    #[error("certificate {at} of the chain is a CA for other purposes (extKeyUsage) than timeStamping")]
    UsagesDoNotChain {
        /// Its position.
        at: usize,
    },
}

#[cfg(test)]
mod tests;
