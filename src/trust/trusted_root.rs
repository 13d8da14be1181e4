//! `trusted_root.json`: whose certificates and whose SCTs count.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use der::{Decode, Tag, Tagged, asn1::ObjectIdentifier};
use serde::Serialize;
use x509_cert::{Certificate, name::Name};

use super::{ValidFor, to_json};
use crate::{clock::Timestamp, log::path_of, profile::LIFETIME};

/// The specification says v0.2, but sigstore-go and sigstore-python accept this one only.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

const COMMON_NAME: ObjectIdentifier = const_oid::db::rfc4519::CN;
const ORGANIZATION: ObjectIdentifier = const_oid::db::rfc4519::O;

/// Why no trusted root can be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No certificates.
    #[error("the certificate chain is empty: it must run from the leaf's issuer to the root")]
    EmptyChain,
    /// A certificate of the chain is not X.509.
    #[error("certificate {0} of the chain is not valid DER")]
    Certificate(usize, #[source] der::Error),
    /// A time beyond RFC 3339.
    #[error("a start time lies beyond the year 9999")]
    Time,
}

/// A CT log with an ECDSA P-256 key, as verifiers know it.
#[derive(Clone, Debug)]
pub struct CtLog<'a> {
    /// Where it is read, without a trailing slash.
    pub base_url: String,
    /// DER SubjectPublicKeyInfo; the log's id is its SHA-256 (RFC 6962 section 3.2).
    pub public_key: &'a [u8],
    /// No SCT is older than this.
    pub start: Timestamp,
    /// No SCT is younger than this; nothing if that is not known.
    pub end: Option<Timestamp>,
}

impl<'a> CtLog<'a> {
    /// A shard of the log of the CA at `ca_url`, or its whole log. Certificates that end in a window were logged no earlier than
    /// a certificate lives before it, and not after its end; without a window, no earlier than `since`.
    #[must_use]
    pub fn of(log: &'a ct_log::Log, ca_url: &str, since: Timestamp) -> Self {
        let timestamp = |time: SystemTime| {
            Timestamp::from_unix(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
        };
        let window = log.window();
        Self {
            base_url: format!("{ca_url}{}", path_of(log.origin().as_str())),
            public_key: log.public_key().spki_der(),
            start: window.map_or(since, |window| timestamp(window.start()).minus(LIFETIME)),
            end: window.map(|window| timestamp(window.end())),
        }
    }
}

/// The trusted root of a CA, its logs, and its timestamp authorities.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRoot {
    media_type: &'static str,
    tlogs: [(); 0],
    certificate_authorities: Vec<CertificateAuthority>,
    ctlogs: Vec<Log>,
    timestamp_authorities: Vec<CertificateAuthority>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateAuthority {
    subject: DistinguishedName,
    uri: String,
    cert_chain: Chain,
    valid_for: ValidFor,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DistinguishedName {
    organization: String,
    common_name: String,
}

#[derive(Clone, Debug, Serialize)]
struct Chain {
    certificates: Vec<RawCertificate>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RawCertificate {
    raw_bytes: String,
}

/// Without `checkpointKeyId`: sigstore-js would look SCTs up by it, and find none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    base_url: String,
    hash_algorithm: &'static str,
    public_key: PublicKey,
    log_id: LogId,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicKey {
    raw_bytes: String,
    key_details: &'static str,
    valid_for: ValidFor,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

impl TrustedRoot {
    /// For the CA at `ca_url`, which has had and will have these chains: each DER, the leaf's issuer first and the root last. Each
    /// counts from its issuer's notBefore on. `logs` are all whose SCTs count: shards that are over, and those that are yet to begin, too.
    ///
    /// # Errors
    /// An empty chain, a certificate that does not parse, or a time that cannot be written.
    pub fn new<'a>(
        ca_url: &str,
        chains: impl IntoIterator<Item = &'a [Vec<u8>]>,
        logs: &[CtLog<'_>],
    ) -> Result<Self, TrustError> {
        let authorities = chains.into_iter();
        let authorities = authorities.map(|chain| CertificateAuthority::new(ca_url, chain));
        Ok(Self {
            media_type: MEDIA_TYPE,
            tlogs: [],
            certificate_authorities: authorities.collect::<Result<_, _>>()?,
            ctlogs: logs.iter().map(Log::new).collect::<Result<_, _>>()?,
            timestamp_authorities: Vec::new(),
        })
    }

    /// With the timestamp authority at `url`, of this chain: DER, its own certificate first and the root last. It counts from that
    /// certificate's notBefore on.
    ///
    /// # Errors
    /// As [`TrustedRoot::new`].
    pub fn with_timestamp_authority(mut self, url: &str, chain: &[Vec<u8>]) -> Result<Self, TrustError> {
        self.timestamp_authorities
            .push(CertificateAuthority::new(url, chain)?);
        Ok(self)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl CertificateAuthority {
    fn new(url: &str, chain: &[Vec<u8>]) -> Result<Self, TrustError> {
        let parse = |(at, der): (usize, &Vec<u8>)| {
            Certificate::from_der(der).map_err(|error| TrustError::Certificate(at, error))
        };
        let certificates = chain
            .iter()
            .enumerate()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        let issuer = certificates
            .first()
            .ok_or(TrustError::EmptyChain)?
            .tbs_certificate();
        let not_before = Timestamp::from_unix(issuer.validity().not_before.to_unix_duration());
        Ok(Self {
            subject: DistinguishedName {
                organization: attribute(issuer.subject(), ORGANIZATION),
                common_name: attribute(issuer.subject(), COMMON_NAME),
            },
            uri: url.to_owned(),
            cert_chain: Chain {
                certificates: chain
                    .iter()
                    .map(|der| RawCertificate {
                        raw_bytes: STANDARD.encode(der),
                    })
                    .collect(),
            },
            valid_for: ValidFor::since(not_before).ok_or(TrustError::Time)?,
        })
    }
}

impl Log {
    fn new(log: &CtLog<'_>) -> Result<Self, TrustError> {
        Ok(Self {
            base_url: log.base_url.clone(),
            hash_algorithm: "SHA2_256",
            public_key: PublicKey {
                raw_bytes: STANDARD.encode(log.public_key),
                key_details: "PKIX_ECDSA_P256_SHA_256",
                valid_for: ValidFor::between(log.start, log.end).ok_or(TrustError::Time)?,
            },
            log_id: LogId {
                key_id: STANDARD.encode(digest(&SHA256, log.public_key)),
            },
        })
    }
}

/// The first value of an attribute in one of the usual string types; empty if there is none. Clients only show it.
fn attribute(name: &Name, oid: ObjectIdentifier) -> String {
    name.iter()
        .find(|attribute| attribute.oid == oid)
        .filter(|attribute| {
            matches!(
                attribute.value.tag(),
                Tag::Utf8String | Tag::PrintableString | Tag::Ia5String
            )
        })
        .map(|attribute| String::from_utf8_lossy(attribute.value.value()).into_owned())
        .unwrap_or_default()
}
