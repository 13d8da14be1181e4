//! Signed certificate timestamps (RFC 6962 section 3.2) with the `leaf_index` extension of static-ct-api.
//!
//! ```text
//! 00 (v1) | log_id[32] | uint64 timestamp | 00 08, extensions[8] | 04 03 (SHA-256, ECDSA) | uint16 length, signature
//! ```

use crate::key::{KeyError, LogKey, LogPublicKey};
use crate::leaf::{Entry, EntryTooLarge, LeafIndex, LogId, Position, UnixMillis};
use crate::release::Releasable;
use crate::wire::{Malformed, Reader, put_bytes16};

const V1: u8 = 0;

/// `hash sha256`, `signature ecdsa` (RFC 5246 section 7.4.1.4.1).
pub(crate) const SHA256_ECDSA: [u8; 2] = [4, 3];

/// An SCT that cannot be read, or does not belong to the entry and key at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SctError {
    /// Not a v1 SCT with exactly one `leaf_index` extension and an ECDSA signature.
    #[error("malformed signed certificate timestamp")]
    Malformed,
    /// Made by another log.
    #[error("the signed certificate timestamp is from another log")]
    OtherLog,
    /// The signature does not cover this entry.
    #[error("the signature of the signed certificate timestamp is not valid for this entry")]
    Signature,
    /// An entry that no log of ours could hold.
    #[error(transparent)]
    Entry(#[from] EntryTooLarge),
}

impl From<Malformed> for SctError {
    fn from(_: Malformed) -> SctError {
        SctError::Malformed
    }
}

/// The log could not sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Entry(#[from] EntryTooLarge),
}

/// A signed certificate timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sct {
    log_id: LogId,
    position: Position,
    /// ECDSA, DER.
    signature: Vec<u8>,
}

impl Sct {
    /// Signs for an entry that is durable, and whatever else its SCT waits for: only the rule of the log makes a [`Releasable`] (C3).
    pub(crate) async fn sign(entry: &Entry, releasable: &Releasable, key: &LogKey) -> Result<Sct, SignError> {
        let position = releasable.position();
        let signature = key.sign(&entry.merkle_tree_leaf(position)?).await?;
        Ok(Sct {
            log_id: key.public().log_id(),
            position,
            signature,
        })
    }

    /// One that was signed before, by its parts. To be verified.
    pub(crate) fn given(log_id: LogId, position: Position, signature: Vec<u8>) -> Sct {
        Sct {
            log_id,
            position,
            signature,
        }
    }

    /// The ECDSA signature, DER.
    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Reads the TLS encoding.
    ///
    /// # Errors
    /// Anything but a v1 SCT with exactly one `leaf_index` extension and an ECDSA signature with SHA-256.
    pub fn from_tls(bytes: &[u8]) -> Result<Sct, SctError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != V1 {
            return Err(SctError::Malformed);
        }
        let log_id = LogId::new(reader.array()?);
        let timestamp = UnixMillis::new(reader.u64()?);
        let index = LeafIndex::from_extensions(reader.bytes16()?).ok_or(SctError::Malformed)?;
        if reader.array()? != SHA256_ECDSA {
            return Err(SctError::Malformed);
        }
        let signature = reader.bytes16()?.to_vec();
        reader.finish()?;
        Ok(Sct {
            log_id,
            position: Position { index, timestamp },
            signature,
        })
    }

    /// The TLS encoding.
    pub fn to_tls(&self) -> Vec<u8> {
        let mut out = vec![V1];
        out.extend_from_slice(self.log_id.as_bytes());
        out.extend_from_slice(&self.position.timestamp.get().to_be_bytes());
        let extensions = put_bytes16(&mut out, &self.extensions());
        out.extend_from_slice(&SHA256_ECDSA);
        let signature = put_bytes16(&mut out, &self.signature);
        debug_assert!(
            extensions.is_ok() && signature.is_ok(),
            "both are far below 64 KiB"
        );
        out
    }

    /// Checks that the log with this key signed this SCT for this entry.
    ///
    /// # Errors
    /// Another log, or a signature over something else.
    pub fn verify(&self, entry: &Entry, key: &LogPublicKey) -> Result<(), SctError> {
        if key.log_id() != self.log_id {
            return Err(SctError::OtherLog);
        }
        let signed = entry.merkle_tree_leaf(self.position)?;
        key.verify(&signed, &self.signature)
            .map_err(|_| SctError::Signature)
    }

    /// The log that signed it.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// When the log took the entry.
    pub fn timestamp(&self) -> UnixMillis {
        self.position.timestamp
    }

    /// Where the entry is in the log.
    pub fn leaf_index(&self) -> LeafIndex {
        self.position.index
    }

    /// The `CtExtensions` bytes, without their length.
    pub fn extensions(&self) -> [u8; 8] {
        self.position.index.extensions()
    }

    /// The `DigitallySigned` structure: algorithms, length, signature (the `signature` member of `add-chain` answers).
    pub fn digitally_signed(&self) -> Vec<u8> {
        let mut out = SHA256_ECDSA.to_vec();
        let signature = put_bytes16(&mut out, &self.signature);
        debug_assert!(signature.is_ok(), "an ECDSA signature is far below 64 KiB");
        out
    }
}
