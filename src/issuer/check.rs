//! The run-time tripwires round the CA's signature: re-parse before signing, compare after logging.
//! A failure here is a bug of ours or a fault of the machine; it ends the attempt.

use std::time::Duration;

use const_oid::{
    AssociatedOid,
    db::{
        rfc5280::{ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CODE_SIGNING},
        rfc6962::{CT_PRECERT_POISON, CT_PRECERT_SCTS},
    },
};
use der::{
    Decode, Encode,
    asn1::{AnyRef, ObjectIdentifier},
};
use tls_codec::SerializeBytes;
use x509_cert::{
    TbsCertificate,
    certificate::Version,
    ext::{
        Extension,
        pkix::{ExtendedKeyUsage, KeyUsage, SignedCertificateTimestampList, SubjectAltName},
    },
};

use super::{CertificateChain, tbs};
use crate::{key::SignatureAlgorithm, profile::LIFETIME};

/// The order of the extensions that every leaf begins with; Fulcio's own follow, poison or SCT list end.
const LEADING: [(ObjectIdentifier, bool); 5] = [
    (KeyUsage::OID, true),
    (ExtendedKeyUsage::OID, false),
    (ID_CE_SUBJECT_KEY_IDENTIFIER, false),
    (ID_CE_AUTHORITY_KEY_IDENTIFIER, false),
    (SubjectAltName::OID, true),
];

/// The arc of Fulcio's OID directory; certificates carry no other extensions of ours.
const FULCIO_ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

/// A precertificate that obeys the profile, as its TBSCertificate (DER) without the poison: what the SCT signs
/// (RFC 6962 3.2), and all but the SCT list of the certificate to come.
#[derive(Debug)]
pub(super) struct CheckedPrecertificate(Vec<u8>);

impl CheckedPrecertificate {
    pub(super) fn bare_tbs(&self) -> &[u8] {
        let Self(bare_tbs) = self;
        bare_tbs
    }
}

/// Parses a precertificate's TBSCertificate (DER) back and checks every rule of the profile on it.
pub(super) fn precertificate(
    tbs: &[u8],
    chain: &CertificateChain,
    algorithm: SignatureAlgorithm,
) -> Result<CheckedPrecertificate, CheckError> {
    let (_, bare_tbs) = tbs::split_last(tbs)?;
    let tbs = TbsCertificate::from_der(tbs)?;
    check_fields(&tbs, chain, algorithm)?;
    check_validity(&tbs, chain)?;
    let extensions = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
    let (leading, rest) = extensions
        .split_at_checked(LEADING.len())
        .ok_or(CheckError::Rule("extensions are missing"))?;
    let (poison, ours) = rest
        .split_last()
        .ok_or(CheckError::Rule("the poison is missing"))?;
    rule(
        leading.iter().map(|e| (e.extn_id, e.critical)).eq(LEADING),
        "extensions or criticality",
    )?;
    rule(
        ours.iter()
            .all(|e| !e.critical && e.extn_id.parent() == Some(FULCIO_ARC)),
        "foreign extensions",
    )?;
    rule(strictly_rising(ours), "extensions repeated or out of order")?;
    rule(
        poison.extn_id == CT_PRECERT_POISON && poison.critical,
        "the poison is not last and critical",
    )?;
    check_usages(leading)?;
    Ok(CheckedPrecertificate(bare_tbs))
}

fn check_fields(
    tbs: &TbsCertificate,
    chain: &CertificateChain,
    algorithm: SignatureAlgorithm,
) -> Result<(), CheckError> {
    let serial = tbs.serial_number().as_bytes();
    rule(tbs.version() == Version::V3, "version")?;
    rule(
        serial.len() == 20 && serial.first().is_some_and(|first| (0x40..0x80).contains(first)),
        "serial number",
    )?;
    rule(*tbs.signature() == algorithm.identifier(), "signature algorithm")?;
    rule(
        tbs.issuer() == chain.issuing().tbs_certificate().subject(),
        "issuer",
    )?;
    rule(tbs.subject().is_empty(), "the subject is not empty")?;
    rule(
        tbs.issuer_unique_id().is_none() && tbs.subject_unique_id().is_none(),
        "unique identifiers",
    )
}

fn check_validity(tbs: &TbsCertificate, chain: &CertificateChain) -> Result<(), CheckError> {
    let leaf = tbs.validity();
    let from = leaf.not_before.to_unix_duration();
    let until = leaf.not_after.to_unix_duration();
    let lifetime = until.checked_sub(from).unwrap_or(Duration::MAX);
    rule(!lifetime.is_zero() && lifetime <= LIFETIME, "lifetime")?;
    rule(
        chain.validity().contains(&from),
        "older than a certificate of the chain",
    )?;
    rule(
        chain.validity().contains(&until),
        "outlives a certificate of the chain",
    )
}

fn check_usages(leading: &[Extension]) -> Result<(), CheckError> {
    let [key_usage, extended, _, _, names] = leading else {
        return Err(CheckError::Rule("extensions are missing"));
    };
    let KeyUsage(usages) = KeyUsage::from_der(key_usage.extn_value.as_bytes())?;
    let ExtendedKeyUsage(purposes) = ExtendedKeyUsage::from_der(extended.extn_value.as_bytes())?;
    let SubjectAltName(names) = SubjectAltName::from_der(names.extn_value.as_bytes())?;
    rule(
        usages == x509_cert::ext::pkix::KeyUsages::DigitalSignature,
        "key usage",
    )?;
    rule(purposes == [ID_KP_CODE_SIGNING], "extended key usage")?;
    rule(names.len() == 1, "not exactly one subject alternative name")
}

fn strictly_rising(extensions: &[Extension]) -> bool {
    let arcs = |e: &Extension| e.extn_id.arcs().last();
    extensions
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if arcs(a) < arcs(b)))
}

/// The TBSCertificate (DER) of a certificate that may be signed: that of a checked precertificate, with its SCTs.
#[derive(Debug)]
pub(super) struct CheckedCertificate<'a>(&'a [u8]);

/// RFC 6962 3.2: the certificate is the precertificate, byte for byte, but for poison and SCT list, and the list holds
/// exactly `scts` (TLS encoding). The types of the arguments keep them from being swapped.
pub(super) fn correspond<'a>(
    precertificate: &CheckedPrecertificate,
    tbs: &'a [u8],
    scts: &[&[u8]],
) -> Result<CheckedCertificate<'a>, CheckError> {
    let (last, rest) = tbs::split_last(tbs)?;
    rule(
        rest == precertificate.bare_tbs(),
        "the certificate differs from its precertificate",
    )?;
    rule(
        last.extn_id == CT_PRECERT_SCTS && !last.critical,
        "the SCT list is not last",
    )?;
    let listed = listed_scts(&last)?;
    rule(
        !scts.is_empty() && listed == scts,
        "the SCT list is not that of the logs",
    )?;
    Ok(CheckedCertificate(tbs))
}

/// The SCTs in an SCT list extension, each in its TLS encoding.
fn listed_scts(extension: &Extension) -> Result<Vec<Vec<u8>>, CheckError> {
    const MALFORMED: CheckError = CheckError::Rule("the SCT list is malformed");
    let list = SignedCertificateTimestampList::from_der(extension.extn_value.as_bytes())?;
    let scts = list.parse_timestamps().map_err(|_| MALFORMED)?;
    scts.iter()
        .map(|sct| sct.parse_timestamp().map_err(|_| MALFORMED))
        .map(|sct| sct?.tls_serialize().map_err(|_| MALFORMED))
        .collect()
}

/// What was signed is what was checked.
pub(super) fn signed(checked: &CheckedCertificate<'_>, certificate: &[u8]) -> Result<(), CheckError> {
    let CheckedCertificate(tbs) = checked;
    let parts = Vec::<AnyRef<'_>>::from_der(certificate)?;
    let first = parts
        .first()
        .ok_or(CheckError::Rule("the certificate is empty"))?;
    rule(first.to_der()? == *tbs, "another certificate was signed")
}

fn rule(holds: bool, what: &'static str) -> Result<(), CheckError> {
    if holds {
        Ok(())
    } else {
        Err(CheckError::Rule(what))
    }
}

/// A certificate that was about to be signed breaks the profile.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It does not parse.
    #[error("a certificate that was built does not parse")]
    Malformed(#[from] der::Error),
    /// It breaks a rule.
    #[error("a certificate that was built breaks the profile: {0}")]
    Rule(&'static str),
}

#[cfg(test)]
mod tests;
