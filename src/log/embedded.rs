//! The embedded log's start: its key and its directory belong together from birth.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ct_log::{Log, LogKey, LogSettings, OpenError};

use crate::key_file::{self, KeyFileError};

/// Opens the log of `settings` with the key in `key_path`; makes both if neither is there.
///
/// One without the other is refused: whoever lost the log's directory must restore it, since a new log
/// under an old key would be a fork; and nobody else than the old key can go on with an old log.
///
/// # Errors
/// If only one of the two is there, or either cannot be used.
pub fn open_or_create(settings: LogSettings, key_path: &Path) -> Result<Log, EmbeddedLogError> {
    let in_file = |source| EmbeddedLogError::KeyFile {
        path: key_path.to_owned(),
        source,
    };
    // A name that cannot be looked at is not a key that is yet to be made.
    if key_path
        .try_exists()
        .map_err(|error| in_file(KeyFileError::Read(error)))?
    {
        let key = LogKey::from_pkcs8_der(&key_file::read(key_path).map_err(in_file)?)?;
        return Ok(Log::open(settings, key)?);
    }
    if !is_empty(settings.directory()).map_err(EmbeddedLogError::Directory)? {
        return Err(EmbeddedLogError::KeyMissing(key_path.to_owned()));
    }
    let key = LogKey::generate()?;
    key_file::write_new(key_path, &key.to_pkcs8_der()?).map_err(in_file)?;
    Ok(Log::create(settings, key)?)
}

/// Also if it is not there.
fn is_empty(directory: &Path) -> io::Result<bool> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Why the embedded log did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedLogError {
    /// The key's file.
    #[error("the log's key in {} cannot be used", path.display())]
    KeyFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: KeyFileError,
    },
    /// The directory is not empty, the key is not there.
    #[error(
        "its directory is not empty, but its key {} is missing: restore the key, or give a new log an empty directory",
        .0.display()
    )]
    KeyMissing(PathBuf),
    /// The directory cannot be listed.
    #[error("its directory cannot be read")]
    Directory(#[source] io::Error),
    /// The key itself.
    #[error(transparent)]
    Key(#[from] ct_log::key::KeyError),
    /// The directory.
    #[error(transparent)]
    Open(#[from] OpenError),
}
