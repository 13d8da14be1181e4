//! Why an embedded log does not start.

use std::{io, path::PathBuf};

use ct_log::{OpenError, checkpoint::OriginError};

use super::DatabaseError;
use crate::key::{OpenKeyError, file::KeyFileError, passphrase::PassphraseError};

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
    /// The shard's time is over, and its directory is not there.
    #[error("its window is over and its directory is empty: restore the directory, or remove the shard")]
    Over,
    /// The log's name is not one.
    #[error("its origin is not a name for a log")]
    Origin(#[from] OriginError),
    /// The directory cannot be listed.
    #[error("its directory cannot be read")]
    Directory(#[source] io::Error),
    /// The key itself.
    #[error(transparent)]
    Key(#[from] ct_log::key::KeyError),
    /// The key cannot be used.
    #[error(transparent)]
    OpenKey(#[from] OpenKeyError),
    /// The passphrase for the key that is to be made.
    #[error("the passphrase of the log's key is missing")]
    Passphrase(#[from] PassphraseError),
    /// The key is not in a file, and there is no log.
    #[error(
        "its directory is empty, and its key is not in a file, so nobody can tell whether it ever signed for a log: restore \
         the directory, or, if it never did, make the log once with mayfly log create"
    )]
    NotMade,
    /// The key is in a file.
    #[error("its key is in a file: the first start makes both")]
    MadeByStart,
    /// The process is ending.
    #[error("opening it was interrupted")]
    Interrupted,
    /// The directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database.
    #[error("its database cannot be used")]
    Database(#[from] DatabaseError),
    /// The witnesses.
    #[error(transparent)]
    Witnesses(#[from] ct_log::witness::WitnessesError),
}
