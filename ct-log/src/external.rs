//! SCTs of logs that are run by others: any log of RFC 6962 or C2SP static-ct-api.
//!
//! A log's answer is worth nothing before [`ExternalSct::verify`] has held it against the entry that was submitted and the key
//! that the operator pinned.

mod key;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

pub use self::key::{ExternalKeyError, ExternalLogKey};
use crate::leaf::{Entry, EntryTooLarge, LeafIndex, LogId, UnixMillis};
use crate::wire::{Malformed, Reader, put_bytes16};

const V1: u8 = 0;

/// `hash sha256` (RFC 5246 section 7.4.1.4.1).
const SHA256: u8 = 4;

/// Most bytes of extensions that are taken into a certificate; `leaf_index` has 8, older logs have none.
const MAX_EXTENSIONS: usize = 256;

/// Most bytes of a signature: RSA with 8192 bits.
const MAX_SIGNATURE: usize = 1024;

/// What a log promises to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSpec {
    /// RFC 6962: the extensions may be empty or anything.
    Rfc6962,
    /// C2SP static-ct-api: the extensions hold the entry's index.
    StaticCtApi,
}

/// Why an answer is not an SCT for the entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalSctError {
    /// Not the JSON object of RFC 6962 section 4.1.
    #[error("the answer is not the JSON object of an SCT")]
    Json(#[source] serde_json::Error),
    /// Not base64, or another structure than RFC 6962 section 3.2 describes.
    #[error("the answer's {0} is malformed")]
    Malformed(&'static str),
    /// Only version 1, which is written 0, exists.
    #[error("the SCT has version {0}, not 0 (v1)")]
    Version(u8),
    /// Another log's, or this log's with another key than the pinned one.
    #[error("the SCT is of log {0}, not of the log whose key is pinned")]
    OtherLog(LogId),
    /// Not what the log's specification demands.
    #[error("the SCT's extensions are not exactly one leaf_index, as static-ct-api demands")]
    Extensions,
    /// Another algorithm than the pinned key's.
    #[error("the SCT is signed with another algorithm than the pinned key's")]
    Algorithm,
    /// The signature does not cover this entry.
    #[error("the SCT's signature is not valid for the entry that was submitted")]
    Signature,
    /// The entry cannot be encoded.
    #[error(transparent)]
    Entry(#[from] EntryTooLarge),
}

/// The answer of `add-chain` and `add-pre-chain` (RFC 6962 section 4.1).
#[derive(Deserialize)]
struct AddChainResponse {
    sct_version: u8,
    id: String,
    timestamp: u64,
    extensions: String,
    signature: String,
}

/// A signed certificate timestamp of any log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSct {
    log_id: LogId,
    timestamp: UnixMillis,
    extensions: Vec<u8>,
    /// Hash and signature algorithm.
    algorithm: [u8; 2],
    signature: Vec<u8>,
}

impl ExternalSct {
    /// Reads the answer of `add-chain` or `add-pre-chain`. Members that RFC 6962 does not know are ignored.
    ///
    /// # Errors
    /// Not an SCT of version 1 in that form.
    pub fn from_json(body: &[u8]) -> Result<ExternalSct, ExternalSctError> {
        let answer: AddChainResponse = serde_json::from_slice(body).map_err(ExternalSctError::Json)?;
        if answer.sct_version != V1 {
            return Err(ExternalSctError::Version(answer.sct_version));
        }
        let log_id = decode(&answer.id, "id")?;
        let log_id = log_id.try_into().map_err(|_| ExternalSctError::Malformed("id"))?;
        let extensions = decode(&answer.extensions, "extensions")?;
        if extensions.len() > MAX_EXTENSIONS {
            return Err(ExternalSctError::Malformed("extensions"));
        }
        let (algorithm, signature) = digitally_signed(&decode(&answer.signature, "signature")?)
            .map_err(|Malformed| ExternalSctError::Malformed("signature"))?;
        Ok(ExternalSct {
            log_id: LogId::new(log_id),
            timestamp: UnixMillis::new(answer.timestamp),
            extensions,
            algorithm,
            signature,
        })
    }

    /// Checks that the log with this key signed this SCT for this entry, and that it has the extensions of `spec`.
    ///
    /// # Errors
    /// Another log, another entry, or extensions that `spec` does not allow.
    pub fn verify(&self, entry: &Entry, key: &ExternalLogKey, spec: LogSpec) -> Result<(), ExternalSctError> {
        if key.log_id() != self.log_id {
            return Err(ExternalSctError::OtherLog(self.log_id));
        }
        if spec == LogSpec::StaticCtApi && self.leaf_index().is_none() {
            return Err(ExternalSctError::Extensions);
        }
        if self.algorithm != [SHA256, key.signature_algorithm()] {
            return Err(ExternalSctError::Algorithm);
        }
        let signed = entry.signed_bytes(self.timestamp, &self.extensions)?;
        key.verify(&signed, &self.signature)
            .map_err(|_| ExternalSctError::Signature)
    }

    /// The TLS encoding (RFC 6962 section 3.2), as certificates carry it.
    pub fn to_tls(&self) -> Vec<u8> {
        let mut out = vec![V1];
        out.extend_from_slice(self.log_id.as_bytes());
        out.extend_from_slice(&self.timestamp.get().to_be_bytes());
        let extensions = put_bytes16(&mut out, &self.extensions);
        out.extend_from_slice(&self.algorithm);
        let signature = put_bytes16(&mut out, &self.signature);
        debug_assert!(extensions.is_ok() && signature.is_ok(), "both were bounded");
        out
    }

    /// The log that says it signed it.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// When the log took the entry.
    pub fn timestamp(&self) -> UnixMillis {
        self.timestamp
    }

    /// The position in the log, if the extensions are one `leaf_index` and nothing else.
    pub fn leaf_index(&self) -> Option<LeafIndex> {
        LeafIndex::from_extensions(&self.extensions)
    }
}

fn decode(base64: &str, member: &'static str) -> Result<Vec<u8>, ExternalSctError> {
    STANDARD
        .decode(base64)
        .map_err(|_| ExternalSctError::Malformed(member))
}

/// `DigitallySigned` (RFC 5246 section 4.7): the algorithms and the signature.
fn digitally_signed(bytes: &[u8]) -> Result<([u8; 2], Vec<u8>), Malformed> {
    let mut reader = Reader::new(bytes);
    let algorithm = reader.array()?;
    let signature = reader.bytes16()?.to_vec();
    reader.finish()?;
    if signature.len() > MAX_SIGNATURE {
        return Err(Malformed);
    }
    Ok((algorithm, signature))
}
