//! The promise of a log, checked for the precertificate at hand.

use std::sync::Arc;

use ct_log::{ExternalSct, LeafIndex, LogId, Sct, UnixMillis};

/// The name of the log in this process, among the names of the configured ones.
pub const EMBEDDED: &str = "embedded";

/// An SCT that is one for this precertificate: made by the log in this process, or verified with the key that is pinned
/// for the log that sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSct {
    log: Arc<str>,
    log_id: LogId,
    timestamp: UnixMillis,
    leaf_index: Option<LeafIndex>,
    tls: Vec<u8>,
}

impl VerifiedSct {
    /// Not verified again: the log made it in this process, of this entry.
    pub(super) fn embedded(sct: &Sct) -> Self {
        Self {
            log: EMBEDDED.into(),
            log_id: sct.log_id(),
            timestamp: sct.timestamp(),
            leaf_index: Some(sct.leaf_index()),
            tls: sct.to_tls(),
        }
    }

    /// To be called with an SCT that was verified.
    pub(super) fn external(log: Arc<str>, sct: &ExternalSct) -> Self {
        Self {
            log,
            log_id: sct.log_id(),
            timestamp: sct.timestamp(),
            leaf_index: sct.leaf_index(),
            tls: sct.to_tls(),
        }
    }

    /// The log's name in the configuration; [`EMBEDDED`] for the one in this process.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }

    /// SHA-256 of the log's public key.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// When the log took the entry.
    #[must_use]
    pub fn timestamp(&self) -> UnixMillis {
        self.timestamp
    }

    /// The entry's position, which logs of C2SP static-ct-api put into their SCTs.
    #[must_use]
    pub fn leaf_index(&self) -> Option<LeafIndex> {
        self.leaf_index
    }

    /// The TLS encoding (RFC 6962 3.2).
    #[must_use]
    pub fn tls(&self) -> &[u8] {
        &self.tls
    }
}
