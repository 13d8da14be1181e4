//! The birth of a log: its key and its directory are made together, once. A new log under an old key would be a fork.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::key_file::{self, PrivateKeyError};
use crate::key::KeyError;
use crate::{Log, LogKey, LogSettings, OpenError};

/// Why the log did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum BirthError {
    #[error("the log's key {} cannot be used", path.display())]
    Key { path: PathBuf, source: PrivateKeyError },
    #[error(
        "{} is not empty, but the log's key {} is missing: restore the key, or give a new log an empty directory",
        directory.display(), key.display()
    )]
    KeyMissing { directory: PathBuf, key: PathBuf },
    #[error("the log's directory cannot be read")]
    Directory(#[source] io::Error),
    #[error(
        "the key {} is there, but no log is in {}: if it was lost, the command restore can rebuild it from a copy; a new log needs a new key",
        key.display(), directory.display()
    )]
    DirectoryMissing { directory: PathBuf, key: PathBuf },
    #[error(transparent)]
    NewKey(#[from] KeyError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Opens the log of `settings` with the key in that file; makes both if neither is there.
pub(super) fn open_or_create(settings: LogSettings, key: &Path) -> Result<Log, BirthError> {
    let exists = key.try_exists().map_err(|source| in_file(key, source.into()))?;
    if exists {
        let (directory, path) = (settings.directory().to_owned(), key.to_owned());
        let opened = Log::open(settings, read_key(key)?);
        return opened.map_err(|error| match error {
            OpenError::Missing { .. } => BirthError::DirectoryMissing { directory, key: path },
            error => error.into(),
        });
    }
    if !is_empty(settings.directory()).map_err(BirthError::Directory)? {
        let (directory, key) = (settings.directory().to_owned(), key.to_owned());
        return Err(BirthError::KeyMissing { directory, key });
    }
    let new = LogKey::generate()?;
    key_file::write_private(key, &new.to_pkcs8_der()?).map_err(|source| in_file(key, source))?;
    Ok(Log::create(settings, new)?)
}

/// The private key in that file.
pub(super) fn read_key(path: &Path) -> Result<LogKey, BirthError> {
    let der = key_file::read_private(path).map_err(|source| in_file(path, source))?;
    Ok(LogKey::from_pkcs8_der(&der)?)
}

fn in_file(path: &Path, source: PrivateKeyError) -> BirthError {
    let path = path.to_owned();
    BirthError::Key { path, source }
}

/// Also if it is not there.
pub(super) fn is_empty(directory: &Path) -> io::Result<bool> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
