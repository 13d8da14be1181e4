//! Where everything is, for scripts: the line that `mayfly dev --json` prints, kept for `mayfly dev token`.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::data_dir::{DataDir, DataDirError, write_public};

/// Why it is not known where everything is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] DataDirError),
    /// It holds something else.
    #[error("{} is damaged: start `mayfly dev` once more, which writes it anew", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// URLs have no trailing slash, paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Origin of the API, the CT log and the identity provider.
    pub api: String,
    /// URL to scrape.
    pub metrics: String,
    /// Issuer with the login page.
    pub issuer: String,
    /// Issuer of GitHub-Actions-shaped tokens.
    pub github_issuer: String,
    /// File for verifiers.
    pub trusted_root: PathBuf,
    /// File for signers.
    pub signing_config: PathBuf,
    /// Directory of everything.
    pub data_dir: PathBuf,
}

impl Ready {
    /// One line of JSON, without its end.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Keeps it in the data directory.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub fn write(&self, data_dir: &DataDir) -> Result<(), ReadyError> {
        let path = data_dir.ready();
        let malformed = |source| ReadyError::Malformed {
            path: path.clone(),
            source,
        };
        let line = self.to_json().map_err(malformed)?;
        Ok(write_public(&path, &format!("{line}\n"))?)
    }

    /// What the last start kept.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub fn read(data_dir: &DataDir) -> Result<Self, ReadyError> {
        let path = data_dir.ready();
        let text = fs::read_to_string(&path).map_err(|source| DataDirError::Io {
            path: path.clone(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| ReadyError::Malformed { path, source })
    }
}
