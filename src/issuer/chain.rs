//! The CA's certificates, checked at start: Mayfly does not start on a chain that clients would
//! refuse. What clients accept and a new CA should not have, because Fulcio runs on it, is a
//! warning.

use std::{ops::RangeInclusive, time::Duration};

use const_oid::db::rfc5280::ID_KP_CODE_SIGNING;
use der::{Decode, Encode, asn1::ObjectIdentifier, referenced::OwnedToRef};
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier},
};

use crate::{
    clock::Timestamp,
    key::{self, SignatureAlgorithm},
    pem_block,
};

/// The CA's certificates from the one that signs leaves to the root.
#[derive(Debug)]
pub struct CertificateChain {
    issuing: Certificate,
    validity: RangeInclusive<Duration>,
    der: Vec<Vec<u8>>,
    pem: Vec<String>,
    warnings: Vec<&'static str>,
}

const ROOT_SIGNS: &str = "the root signs the certificates itself: its key has to be online, and clients have to be given a new \
                          root when it changes. An intermediate between them avoids both";

const NO_PATH_LENGTH: &str =
    "the intermediate has no basicConstraints pathlen:0: whoever gets its key can make another CA with it";

const OTHER_USAGES: &str = "the extKeyUsage of the certificate that signs is not codeSigning alone: whoever gets its key can make \
                            certificates for the other usages with it";

impl CertificateChain {
    /// Parses and checks a PEM file: the issuing certificate first, the root last.
    ///
    /// # Errors
    /// The first thing wrong, with the certificate's position.
    pub fn from_pem(pem: &[u8], now: Timestamp) -> Result<Self, ChainError> {
        Self::from_der(blocks(pem)?, now)
    }

    /// As [`CertificateChain::from_pem`], whenever it may be valid: for verifying, not for signing.
    ///
    /// # Errors
    /// The first thing wrong, with the certificate's position.
    pub fn of_any_time(pem: &[u8]) -> Result<Self, ChainError> {
        Self::checked(blocks(pem)?, None)
    }

    /// As [`CertificateChain::from_pem`], from DER.
    ///
    /// # Errors
    /// The first thing wrong, with the certificate's position.
    pub fn from_der(der: Vec<Vec<u8>>, now: Timestamp) -> Result<Self, ChainError> {
        Self::checked(der, Some(now))
    }

    fn checked(der: Vec<Vec<u8>>, now: Option<Timestamp>) -> Result<Self, ChainError> {
        let certificates = der
            .iter()
            .enumerate()
            .map(|(at, der)| {
                Certificate::from_der(der).map_err(|source| ChainError::Malformed { at, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let warnings = check(&certificates, now)?;
        let validity = common_validity(&certificates);
        let issuing = certificates.into_iter().next().ok_or(ChainError::TooShort)?;
        let pem = der
            .iter()
            .map(|der| pem_block::encode("CERTIFICATE", der))
            .collect();
        Ok(Self {
            issuing,
            validity,
            der,
            pem,
            warnings,
        })
    }

    /// What works, as it does in Fulcio, and a new CA should not have.
    #[must_use]
    pub fn warnings(&self) -> &[&'static str] {
        &self.warnings
    }

    /// DER, leaf's issuer first, root last.
    #[must_use]
    pub fn der(&self) -> &[Vec<u8>] {
        &self.der
    }

    /// One PEM block per certificate, leaf's issuer first, root last.
    #[must_use]
    pub fn pem(&self) -> &[String] {
        &self.pem
    }

    /// The certificate whose key signs leaves.
    #[must_use]
    pub fn issuing(&self) -> &Certificate {
        &self.issuing
    }

    /// When every certificate of the chain is valid, since the Unix epoch: a leaf beyond it verifies nowhere.
    #[must_use]
    pub fn validity(&self) -> &RangeInclusive<Duration> {
        &self.validity
    }
}

/// DER.
pub(crate) fn blocks(pem: &[u8]) -> Result<Vec<Vec<u8>>, ChainError> {
    let blocks = pem::parse_many(pem).map_err(|_| ChainError::NotPem)?;
    if blocks.is_empty() || blocks.iter().any(|block| block.tag() != "CERTIFICATE") {
        return Err(ChainError::NotPem);
    }
    Ok(blocks.into_iter().map(pem::Pem::into_contents).collect())
}

/// When all of them are valid, since the Unix epoch.
pub(crate) fn common_validity(certificates: &[Certificate]) -> RangeInclusive<Duration> {
    let each = || {
        certificates
            .iter()
            .map(|certificate| certificate.tbs_certificate().validity())
    };
    let from = each()
        .map(|validity| validity.not_before.to_unix_duration())
        .max();
    let until = each().map(|validity| validity.not_after.to_unix_duration()).min();
    from.unwrap_or(Duration::MAX)..=until.unwrap_or(Duration::ZERO)
}

/// Returns the warnings.
fn check(certificates: &[Certificate], now: Option<Timestamp>) -> Result<Vec<&'static str>, ChainError> {
    let issuing = certificates.first().ok_or(ChainError::TooShort)?;
    check_links(certificates, 0, now)?;
    check_issuing(issuing)?;
    match certificates {
        [_] => check_root_that_signs(issuing),
        _ => check_intermediate(issuing),
    }
}

/// What holds of any chain up to its root: all are valid at `now`, each issued the one before it, and those from `first_authority`
/// on are CAs that may.
pub(crate) fn check_links(
    certificates: &[Certificate],
    first_authority: usize,
    now: Option<Timestamp>,
) -> Result<(), ChainError> {
    let root = certificates.last().ok_or(ChainError::TooShort)?;
    for (at, certificate) in certificates.iter().enumerate() {
        now.map_or(Ok(()), |now| check_time(certificate, at, now))?;
        if at >= first_authority {
            check_authority(certificate, at)?;
        }
    }
    for (at, pair) in certificates.windows(2).enumerate() {
        let [subject, issuer] = pair else { continue };
        check_issued(subject, issuer, at)?;
    }
    check_issued(root, root, certificates.len().saturating_sub(1)).map_err(|_| ChainError::NoRoot)?;
    for (at, certificate) in certificates.iter().enumerate().skip(first_authority) {
        check_path_length(certificate, at, at.saturating_sub(first_authority))?;
    }
    Ok(())
}

fn check_time(certificate: &Certificate, at: usize, now: Timestamp) -> Result<(), ChainError> {
    let validity = certificate.tbs_certificate().validity();
    if now.since_epoch() > validity.not_after.to_unix_duration() {
        return Err(ChainError::Expired {
            at,
            not_after: validity.not_after.to_string(),
        });
    }
    if now.since_epoch() < validity.not_before.to_unix_duration() {
        return Err(ChainError::NotYetValid {
            at,
            not_before: validity.not_before.to_string(),
        });
    }
    Ok(())
}

/// RFC 5280 4.2.1.3 and 4.2.1.9: what makes a certificate an authority's.
fn check_authority(certificate: &Certificate, at: usize) -> Result<(), ChainError> {
    let constraints = extension::<BasicConstraints>(certificate, at)?;
    if !constraints.is_some_and(|constraints| constraints.ca) {
        return Err(ChainError::NotAnAuthority { at });
    }
    let usage = extension::<KeyUsage>(certificate, at)?;
    if !usage.is_some_and(|usage| usage.key_cert_sign()) {
        return Err(ChainError::MayNotSign { at });
    }
    Ok(())
}

/// RFC 5280 4.2.1.9; `below` is how many CAs stand under the certificate.
fn check_path_length(certificate: &Certificate, at: usize, below: usize) -> Result<(), ChainError> {
    let constraints = extension::<BasicConstraints>(certificate, at)?;
    match constraints.and_then(|constraints| constraints.path_len_constraint) {
        Some(length) if usize::from(length) < below => Err(ChainError::TooManyBelow { at }),
        _ => Ok(()),
    }
}

/// Kind of key and subjectKeyIdentifier of the certificate that signs leaves.
fn check_issuing(issuing: &Certificate) -> Result<(), ChainError> {
    let key = issuing.tbs_certificate().subject_public_key_info();
    if SignatureAlgorithm::of(&key.owned_to_ref()).is_none() {
        return Err(ChainError::KeyKind);
    }
    match extension::<SubjectKeyIdentifier>(issuing, 0)? {
        Some(_) => Ok(()),
        None => Err(ChainError::NoKeyIdentifier),
    }
}

/// EKU chaining and `pathlen:0` of an intermediate that signs leaves (Fulcio's certificate
/// specification). Returns the warnings.
fn check_intermediate(issuing: &Certificate) -> Result<Vec<&'static str>, ChainError> {
    let usages = extension::<ExtendedKeyUsage>(issuing, 0)?.ok_or(ChainError::NotForCodeSigning)?;
    let mut warnings = check_usages(&usages)?;
    let constraints = extension::<BasicConstraints>(issuing, 0)?;
    if constraints.and_then(|constraints| constraints.path_len_constraint) != Some(0) {
        warnings.push(NO_PATH_LENGTH);
    }
    Ok(warnings)
}

/// A root need not name its usages. Returns the warnings.
fn check_root_that_signs(root: &Certificate) -> Result<Vec<&'static str>, ChainError> {
    let mut warnings = match extension::<ExtendedKeyUsage>(root, 0)? {
        Some(usages) => check_usages(&usages)?,
        None => Vec::new(),
    };
    warnings.push(ROOT_SIGNS);
    Ok(warnings)
}

fn check_usages(ExtendedKeyUsage(usages): &ExtendedKeyUsage) -> Result<Vec<&'static str>, ChainError> {
    match usages.as_slice() {
        [ID_KP_CODE_SIGNING] => Ok(Vec::new()),
        usages if usages.contains(&ID_KP_CODE_SIGNING) => Ok(vec![OTHER_USAGES]),
        _ => Err(ChainError::NotForCodeSigning),
    }
}

fn check_issued(subject: &Certificate, issuer: &Certificate, at: usize) -> Result<(), ChainError> {
    let refused = ChainError::NotIssuedByNext { at };
    let (tbs, signed_by) = (subject.tbs_certificate(), issuer.tbs_certificate());
    let (Ok(message), Some(signature)) = (tbs.to_der(), subject.signature().as_bytes()) else {
        return Err(refused);
    };
    let key = signed_by.subject_public_key_info().owned_to_ref();
    let names_agree = tbs.issuer() == signed_by.subject();
    let Some(algorithm) = key::verification(subject.signature_algorithm().oid, &key) else {
        return Err(refused);
    };
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, key.subject_public_key.raw_bytes());
    if names_agree && key.verify(&message, signature).is_ok() {
        Ok(())
    } else {
        Err(refused)
    }
}

/// The extension of type `T`, if the certificate has it.
pub(crate) fn extension<T>(certificate: &Certificate, at: usize) -> Result<Option<T>, ChainError>
where
    T: for<'a> Decode<'a, Error = der::Error> + const_oid::AssociatedOid,
{
    let oid: ObjectIdentifier = T::OID;
    let mut found = certificate
        .tbs_certificate()
        .extensions()
        .into_iter()
        .flatten()
        .filter(|e| e.extn_id == oid);
    let value = found
        .next()
        .map(|extension| T::from_der(extension.extn_value.as_bytes()));
    value
        .transpose()
        .map_err(|source| ChainError::Malformed { at, source })
}

/// Why a chain cannot be used. `at` counts from 0, the certificate that signs leaves.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Not PEM certificates.
    #[error("the chain file must hold PEM certificates (-----BEGIN CERTIFICATE-----) and nothing else")]
    NotPem,
    /// One certificate does not parse.
    #[error("certificate {at} of the chain is not valid DER X.509")]
    Malformed {
        /// Its position.
        at: usize,
        /// What the parser said.
        #[source]
        source: der::Error,
    },
    /// None.
    #[error("the chain holds no certificate: it needs the one that signs, then its issuers up to the root")]
    TooShort,
    /// The last one is not a root.
    #[error("the last certificate of the chain is not self-signed: append the root")]
    NoRoot,
    /// Out of order, or from different hierarchies.
    #[error(
        "certificate {at} of the chain is not signed by the one after it: order them from the one that signs to the root"
    )]
    NotIssuedByNext {
        /// Its position.
        at: usize,
    },
    /// Past its notAfter.
    #[error("certificate {at} of the chain expired at {not_after}")]
    Expired {
        /// Its position.
        at: usize,
        /// When.
        not_after: String,
    },
    /// Before its notBefore.
    #[error("certificate {at} of the chain is not valid before {not_before}: check this machine's clock")]
    NotYetValid {
        /// Its position.
        at: usize,
        /// When.
        not_before: String,
    },
    /// basicConstraints.
    #[error("certificate {at} of the chain is not a CA (basicConstraints CA:TRUE is missing)")]
    NotAnAuthority {
        /// Its position.
        at: usize,
    },
    /// pathLenConstraint.
    #[error(
        "certificate {at} of the chain does not allow as many CAs under it (pathLenConstraint) as there are"
    )]
    TooManyBelow {
        /// Its position.
        at: usize,
    },
    /// keyUsage.
    #[error("certificate {at} of the chain may not sign certificates (keyUsage keyCertSign is missing)")]
    MayNotSign {
        /// Its position.
        at: usize,
    },
    /// The key of the certificate that signs.
    #[error(
        "the key of the certificate that signs must be ECDSA on P-256 or P-384, or RSA: sigstore-python, for one, rejects the SCTs of \
         certificates that an Ed25519 CA signed"
    )]
    KeyKind,
    /// extKeyUsage of the certificate that signs.
    #[error(
        "the extKeyUsage of the certificate that signs must contain codeSigning: clients check that usages chain"
    )]
    NotForCodeSigning,
    /// subjectKeyIdentifier of the certificate that signs.
    #[error(
        "the certificate that signs has no subjectKeyIdentifier, which clients match with the leaf's authorityKeyIdentifier"
    )]
    NoKeyIdentifier,
}

#[cfg(test)]
mod tests;
