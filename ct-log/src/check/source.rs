//! Where an audited log is read from.

use std::future::Future;
use std::path::Path;

use crate::{Fingerprint, Log, LogPublicKey, OpenError, Origin, StorageError, Tile, issuers, storage};

/// Something that was asked for cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The log does not have it.
    #[error("{0} is missing")]
    Missing(String),
    /// It could not be read.
    #[error("{what} cannot be read: {reason}")]
    Failed {
        /// The path below the monitoring prefix.
        what: String,
        /// What the storage or the transport said.
        reason: String,
    },
}

/// A published log: the three kinds of resource of C2SP static-ct-api.
pub trait Source: Sync {
    /// The newest checkpoint, a signed note.
    fn checkpoint(&self) -> impl Future<Output = Result<String, SourceError>> + Send;

    /// A tile of exactly that width.
    fn tile(&self, tile: Tile) -> impl Future<Output = Result<Vec<u8>, SourceError>> + Send;

    /// An issuer certificate, DER.
    fn issuer(&self, fingerprint: Fingerprint) -> impl Future<Output = Result<Vec<u8>, SourceError>> + Send;
}

/// An open log audits itself through the functions that its readers use.
impl Source for Log {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        Ok(Log::checkpoint(self).to_string())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        found(tile.to_string(), self.read_tile(tile).await)
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        found(issuers::path(&fingerprint), self.read_issuer(fingerprint).await)
    }
}

/// A log's directory, read as recovery reads it. Nothing in it is changed and no private key is needed, so
/// the log may be running.
pub struct StoredLog(storage::StoredLog);

impl StoredLog {
    /// Reads the directory's identity, its checkpoint, and the entries that are in no full tile yet.
    ///
    /// # Errors
    /// There is no log, or recovery would refuse it.
    pub fn read(directory: &Path) -> Result<StoredLog, OpenError> {
        storage::StoredLog::read(directory).map(StoredLog)
    }

    /// The name that the directory claims.
    pub fn origin(&self) -> &Origin {
        self.0.origin()
    }

    /// The key that the directory claims. Compare it with the one that the world knows.
    pub fn public_key(&self) -> &LogPublicKey {
        self.0.public_key()
    }
}

impl Source for StoredLog {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        Ok(self.0.checkpoint().to_owned())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        found(tile.to_string(), self.0.read_tile(tile))
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        found(issuers::path(&fingerprint), self.0.read_issuer(fingerprint))
    }
}

fn found(what: String, read: Result<Option<Vec<u8>>, StorageError>) -> Result<Vec<u8>, SourceError> {
    match read {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(SourceError::Missing(what)),
        Err(error) => Err(SourceError::Failed {
            what,
            reason: error.to_string(),
        }),
    }
}
