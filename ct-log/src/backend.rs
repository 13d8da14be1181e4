//! Where a log is made and opened: in a directory of its own, or in a place that several writers share. A writer of a shared place
//! has a directory too, for what it remembers by itself.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::key::LogKey;
use crate::settings::LogSettings;
use crate::storage::{self, Directory, Disk, Files, LockError, LockFile, OpenError, Storage, Store};
#[cfg(feature = "s3")]
use crate::storage::{S3, S3Settings};

/// What holds the entries.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// The log's directory.
    Directory,
    /// A bucket.
    #[cfg(feature = "s3")]
    S3(S3Settings),
}

/// Makes an empty log.
pub(crate) fn create(settings: &LogSettings, key: &LogKey) -> Result<Box<dyn Storage>, OpenError> {
    make_directory(&settings.directory)?;
    let (directory, lock) = lock_directory(&settings.directory)?;
    match &settings.backend {
        Backend::Directory => {
            let disk = create_on_disk(settings, key, (directory, lock))?;
            Ok(Box::new(disk))
        }
        #[cfg(feature = "s3")]
        Backend::S3(s3) => {
            let s3 = S3::connect(s3.clone(), &settings.directory, Some(lock))?;
            s3.create(&settings.origin, key, SystemClock.now())?;
            Ok(Box::new(s3))
        }
    }
}

/// Finds the log that was made.
pub(crate) fn open(settings: &LogSettings) -> Result<Box<dyn Storage>, OpenError> {
    match &settings.backend {
        Backend::Directory => {
            let (directory, lock) = lock_directory(&settings.directory)?;
            Ok(Box::new(Disk {
                files: Arc::new(directory),
                lock: Some(lock),
            }))
        }
        #[cfg(feature = "s3")]
        Backend::S3(s3) => {
            // A writer on a new machine begins with nothing to remember.
            make_directory(&settings.directory)?;
            let (_, lock) = lock_directory(&settings.directory)?;
            let s3 = S3::connect(s3.clone(), &settings.directory, Some(lock))?;
            Ok(Box::new(s3))
        }
    }
}

fn create_on_disk(
    settings: &LogSettings,
    key: &LogKey,
    (directory, lock): (Directory, LockFile),
) -> Result<Disk, OpenError> {
    let names = directory
        .names(".")
        .map_err(storage::io_error("list the directory"))?;
    if names.iter().any(|name| name != "lock") {
        return Err(OpenError::Exists {
            directory: settings.directory.clone(),
        });
    }
    let files: Arc<dyn Files> = Arc::new(directory);
    let store = Store::new(Arc::clone(&files));
    storage::create(&store, &settings.origin, key, SystemClock.now())?;
    sync_parent(&settings.directory).map_err(storage::io_error("create the directory"))?;
    Ok(Disk {
        files,
        lock: Some(lock),
    })
}

fn make_directory(directory: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(directory).map_err(storage::io_error("create the directory"))
}

fn lock_directory(path: &Path) -> Result<(Directory, LockFile), OpenError> {
    let directory = Directory::new(path);
    let lock = directory.lock().map_err(|error| match error {
        LockError::Held => OpenError::Locked {
            directory: path.to_owned(),
        },
        LockError::Missing => OpenError::Missing {
            directory: path.to_owned(),
        },
        LockError::Io(error) => storage::io_error("lock the directory")(error),
    })?;
    Ok((directory, lock))
}

fn sync_parent(directory: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(directory)?;
    match absolute.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
