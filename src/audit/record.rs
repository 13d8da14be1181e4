//! The lines of the audit record.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use ct_log::LeafIndex;
use der::DateTime;
use serde::Serialize;

use super::AuditError;
use crate::{
    admission::Refused,
    clock::Timestamp,
    identity::{Identity, SubjectName},
    issuer::IssuedCertificate,
    log::{EMBEDDED, VerifiedSct},
    profile::Draft,
    proof::ProofKind,
};

/// One line. A `precertificate` record holds everything that decides what was signed; a `certificate`
/// record adds the SCTs, the one thing in which the certificate differs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Record<'a> {
    /// Made before the precertificate is signed; durable before or with the `certificate` record.
    Precertificate {
        time: String,
        serial: String,
        not_before: String,
        not_after: String,
        name: &'a SubjectName,
        /// Fulcio's extensions by their name in the issuer file, with the token's issuer and subject.
        extensions: BTreeMap<&'static str, &'a str>,
        /// DER SubjectPublicKeyInfo, base64.
        public_key: String,
        proof: &'static str,
    },
    /// A valid token that the operator's rules did not admit.
    Refusal {
        time: String,
        /// As in the answer.
        reason: &'static str,
        /// The condition of the issuer file that does not hold.
        #[serde(skip_serializing_if = "Option::is_none")]
        condition: Option<&'a str>,
        /// What the caller was told.
        message: String,
        name: &'a SubjectName,
        extensions: BTreeMap<&'static str, &'a str>,
        /// SHA-256 of the token without its signature, hexadecimal: the same token gives the same value.
        token: String,
        /// How many refusals before this one are not on record.
        #[serde(skip_serializing_if = "is_zero")]
        left_out: u64,
    },
    /// Written before the certificate is handed over.
    Certificate {
        time: String,
        serial: String,
        /// The embedded log's SCT, if the certificate carries one.
        #[serde(flatten)]
        embedded: Option<SctRecord>,
        /// The SCTs of other logs that it carries.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        external: Vec<ExternalSctRecord<'a>>,
        /// SHA-256 of the DER certificate, hexadecimal.
        sha256: String,
        /// SHA-256 of the DER SubjectPublicKeyInfo of the CA that signed, hexadecimal; as in the log's entry.
        issuer_key_hash: String,
    },
    /// What a log promised that is told of certificates and whose SCTs they do not carry.
    InformationalSct {
        time: String,
        serial: &'a str,
        #[serde(flatten)]
        sct: ExternalSctRecord<'a>,
    },
}

/// An SCT as in the certificate.
#[derive(Serialize)]
pub(super) struct SctRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_index: Option<u64>,
    /// RFC 6962 3.2, TLS encoding, base64.
    sct: String,
}

/// An SCT of another log.
#[derive(Serialize)]
pub(super) struct ExternalSctRecord<'a> {
    /// Its name in the configuration.
    log: &'a str,
    /// SHA-256 of its key, hexadecimal.
    log_id: String,
    #[serde(flatten)]
    sct: SctRecord,
}

impl From<&VerifiedSct> for SctRecord {
    fn from(sct: &VerifiedSct) -> Self {
        Self {
            leaf_index: sct.leaf_index().map(LeafIndex::get),
            sct: STANDARD.encode(sct.tls()),
        }
    }
}

impl<'a> From<&'a VerifiedSct> for ExternalSctRecord<'a> {
    fn from(sct: &'a VerifiedSct) -> Self {
        Self {
            log: sct.log(),
            log_id: sct.log_id().to_string(),
            sct: sct.into(),
        }
    }
}

fn extensions(identity: &Identity) -> BTreeMap<&'static str, &str> {
    let values = identity.extensions().iter();
    values
        .map(|(extension, value)| (extension.name(), value))
        .collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> Record<'a> {
    pub(super) fn intent(draft: &'a Draft, now: Timestamp) -> Result<Self, AuditError> {
        let (identity, key) = (draft.applicant().identity(), draft.applicant().key());
        Ok(Self::Precertificate {
            time: rfc3339(now)?,
            serial: hex::encode(draft.serial().as_bytes()),
            not_before: draft.validity().not_before.to_string(),
            not_after: draft.validity().not_after.to_string(),
            name: identity.name(),
            extensions: extensions(identity),
            public_key: STANDARD.encode(key.spki_der()),
            proof: match key.kind() {
                ProofKind::Challenge => "challenge",
                ProofKind::CertificateSigningRequest => "certificate-signing-request",
            },
        })
    }

    pub(super) fn refused(refused: &'a Refused, left_out: u64, now: Timestamp) -> Result<Self, AuditError> {
        let Refused { identity, error } = refused;
        Ok(Self::Refusal {
            time: rfc3339(now)?,
            reason: error.reason(),
            condition: error.condition_name(),
            message: error.to_string(),
            name: identity.name(),
            extensions: extensions(identity),
            token: identity.token().hash().to_string(),
            left_out,
        })
    }

    pub(super) fn issued(issued: &'a IssuedCertificate, now: Timestamp) -> Result<Self, AuditError> {
        let logged = issued.logged();
        let (embedded, external): (Vec<_>, Vec<_>) =
            logged.scts().iter().partition(|sct| sct.log() == EMBEDDED);
        Ok(Self::Certificate {
            time: rfc3339(now)?,
            serial: hex::encode(logged.precertificate().draft().serial().as_bytes()),
            embedded: embedded.first().copied().map(SctRecord::from),
            external: external.into_iter().map(ExternalSctRecord::from).collect(),
            sha256: hex::encode(digest(&SHA256, issued.der())),
            issuer_key_hash: hex::encode(logged.precertificate().issuer_key_hash()),
        })
    }

    pub(super) fn informational(
        serial: &'a str,
        sct: &'a VerifiedSct,
        now: Timestamp,
    ) -> Result<Self, AuditError> {
        Ok(Self::InformationalSct {
            time: rfc3339(now)?,
            serial,
            sct: sct.into(),
        })
    }
}

fn rfc3339(time: Timestamp) -> Result<String, AuditError> {
    Ok(DateTime::from_unix_duration(time.since_epoch())?.to_string())
}
