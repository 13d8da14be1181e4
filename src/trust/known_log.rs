//! A log as verifiers know it: its key, and when its SCTs can be from.

use std::time::{Duration, SystemTime};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::RsaParameters,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ct_log::Window;
use der::Decode;
use serde::Serialize;
use spki::SubjectPublicKeyInfoRef;

use super::{PublicUrl, TrustError, TrustStatement, ValidFor};
use crate::{
    clock::Timestamp,
    key::SignatureAlgorithm,
    log::{ExternalLogSettings, path_of},
};

/// How long before its window a log may give SCTs: a certificate is logged before it ends, and lives for minutes.
const BEFORE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A log of this instance: the whole log, or one of its shards.
#[derive(Clone, Debug)]
pub struct OwnLog {
    /// Its name.
    pub origin: String,
    /// DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// The notAfter of its certificates.
    pub window: Option<Window>,
}

impl From<&ct_log::Log> for OwnLog {
    fn from(log: &ct_log::Log) -> Self {
        Self {
            origin: log.origin().to_string(),
            public_key: log.public_key().spki_der().to_vec(),
            window: log.window().copied(),
        }
    }
}

/// Any log whose SCTs count.
#[derive(Clone, Debug)]
pub(super) struct CtLog {
    /// Where it is read, without a trailing slash.
    base_url: String,
    /// DER SubjectPublicKeyInfo; the log's id is its SHA-256 (RFC 6962 section 3.2).
    pub(super) public_key: Vec<u8>,
    /// No SCT is older than this.
    start: Timestamp,
    /// No SCT is younger than this; nothing if that is not known.
    end: Option<Timestamp>,
    /// What the operator said of it.
    until: Option<Timestamp>,
}

impl CtLog {
    /// A log of the instance. Without a window, its SCTs are no older than its CAs, which began at `since`.
    pub(super) fn own(log: OwnLog, statement: &TrustStatement, since: Timestamp) -> Self {
        let timestamp = |time: SystemTime| {
            Timestamp::from_unix(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
        };
        let window = log.window;
        Self {
            base_url: base_url(statement.url.as_ref(), &log.origin) + path_of(&log.origin),
            start: window.map_or(since, |window| timestamp(window.start()).minus(BEFORE_WINDOW)),
            end: window.map(|window| timestamp(window.end())),
            until: statement.logs_until.get(&log.origin).copied(),
            public_key: log.public_key,
        }
    }

    /// A log elsewhere, likewise.
    pub(super) fn external(log: &ExternalLogSettings, since: Timestamp) -> Self {
        let (from, until) = (log.not_after.start, log.not_after.end);
        Self {
            base_url: log.url.as_str().trim_end_matches('/').to_owned(),
            public_key: log.key.spki_der().to_vec(),
            start: match from {
                Duration::ZERO => since,
                from => Timestamp::from_unix(from).minus(BEFORE_WINDOW),
            },
            end: Some(until)
                .filter(|until| *until < Duration::MAX)
                .map(Timestamp::from_unix),
            until: None,
        }
    }

    /// Whether the operator would believe SCTs of `now`. A log whose window is over counts as believed: certificates
    /// with its SCTs are still verified.
    pub(super) fn is_believed(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until >= now)
    }

    pub(super) fn entry(&self) -> Result<Entry, TrustError> {
        let end = self.end.into_iter().chain(self.until).min();
        Ok(Entry {
            base_url: self.base_url.clone(),
            hash_algorithm: "SHA2_256",
            public_key: PublicKey {
                raw_bytes: STANDARD.encode(&self.public_key),
                key_details: key_details(&self.public_key),
                valid_for: ValidFor::new(self.start, end)?,
            },
            log_id: LogId {
                key_id: STANDARD.encode(digest(&SHA256, &self.public_key)),
            },
        })
    }
}

/// Where clients reach the CA whose log is called `origin`: where the operator says, or the host of that name.
pub(super) fn base_url(url: Option<&PublicUrl>, origin: &str) -> String {
    let host = origin.split_once('/').map_or(origin, |(host, _)| host);
    url.map_or_else(|| format!("https://{host}"), ToString::to_string)
}

/// `PublicKeyDetails` of sigstore's protocol buffers. SCTs are signed over SHA-256 with every kind of key; P-384 has
/// no name there for that, and RSA none for other sizes.
fn key_details(spki: &[u8]) -> &'static str {
    let Ok(key) = SubjectPublicKeyInfoRef::from_der(spki) else {
        return "PUBLIC_KEY_DETAILS_UNSPECIFIED";
    };
    let modulus =
        || RsaParameters::public_modulus_len(key.subject_public_key.raw_bytes()).unwrap_or_default();
    match SignatureAlgorithm::of(&key) {
        Some(SignatureAlgorithm::EcdsaP256Sha256) => "PKIX_ECDSA_P256_SHA_256",
        Some(SignatureAlgorithm::EcdsaP384Sha384) => "PKIX_ECDSA_P384_SHA_384",
        Some(SignatureAlgorithm::RsaPkcs1Sha256) => match modulus() {
            ..=2048 => "PKIX_RSA_PKCS1V15_2048_SHA256",
            2049..=3072 => "PKIX_RSA_PKCS1V15_3072_SHA256",
            _ => "PKIX_RSA_PKCS1V15_4096_SHA256",
        },
        None => "PUBLIC_KEY_DETAILS_UNSPECIFIED",
    }
}

/// In the trusted root. Without `checkpointKeyId`: sigstore-js would look SCTs up by it, and find none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
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
