//! A static copy of a log in a directory: the files that a web server would serve, and nothing else.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Source, SourceError};
use crate::leaf::{Fingerprint, MAX_ENTRY_BYTES};
use crate::tile::Tile;
use crate::{LogPublicKey, issuers, remote};

/// Largest file that is read: a data tile of the largest entries.
const MAX_FILE_BYTES: usize = 256 * MAX_ENTRY_BYTES;

const LOG_INFO: &str = "log.v3.json";

/// Such a directory. Every read goes to the file.
#[derive(Debug, Clone)]
pub struct StaticCopy {
    directory: PathBuf,
}

impl StaticCopy {
    /// The copy in that directory; nothing if there is no checkpoint in it.
    pub fn find(directory: &Path) -> Option<StaticCopy> {
        let directory = directory.to_owned();
        let is_copy = directory.join("checkpoint").is_file();
        is_copy.then_some(StaticCopy { directory })
    }

    /// The key that the copy itself claims, in `log.v3.json`.
    ///
    /// # Errors
    /// It says nothing, or no key.
    pub fn claimed_key(&self) -> Result<LogPublicKey, SourceError> {
        let json = self.log_info()?;
        remote::claimed_key(&json).ok_or_else(|| SourceError::Failed {
            what: LOG_INFO.to_owned(),
            reason: "it names no P-256 key".to_owned(),
        })
    }

    /// `log.v3.json` as it is.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn log_info(&self) -> Result<Vec<u8>, SourceError> {
        self.read(LOG_INFO)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        let failed = |error: &dyn std::fmt::Display| SourceError::Failed {
            what: path.to_owned(),
            reason: error.to_string(),
        };
        let file = match File::open(self.directory.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SourceError::Missing(path.to_owned()));
            }
            Err(error) => return Err(failed(&error)),
        };
        let mut bytes = Vec::new();
        let most = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| failed(&error))?;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(failed(&"it is too large"));
        }
        Ok(bytes)
    }
}

impl Source for StaticCopy {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        let note = self.read("checkpoint")?;
        String::from_utf8(note).map_err(|_| SourceError::Failed {
            what: "checkpoint".to_owned(),
            reason: "it is not text".to_owned(),
        })
    }

    /// A partial tile that was left out because the full one is there is cut from that, as a client would do.
    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        match self.read(&tile.to_string()) {
            Err(SourceError::Missing(path)) if !tile.is_full() => {
                let missing = || SourceError::Missing(path.clone());
                let full = Tile::full(tile.kind(), tile.index()).ok_or_else(missing)?;
                let bytes = self.read(&full.to_string()).map_err(|error| match error {
                    SourceError::Missing(_) => missing(),
                    failed @ SourceError::Failed { .. } => failed,
                })?;
                remote::beginning(tile, &bytes).ok_or_else(missing)
            }
            read => read,
        }
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        self.read(&issuers::path(&fingerprint))
    }
}
