//! Where a log is made and opened: in a directory of its own, or in a place that several writers share. A writer of a shared place
//! has a directory too, for what it remembers by itself.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::key::LogKey;
use crate::public_files;
use crate::settings::LogSettings;
#[cfg(all(feature = "postgres", feature = "s3"))]
use crate::storage::PostgresAndS3;
use crate::storage::{self, Directory, Disk, Files, LockError, LockFile, Mirror, OpenError, Storage, Store};
#[cfg(feature = "postgres")]
use crate::storage::{Postgres, PostgresSettings};
#[cfg(feature = "s3")]
use crate::storage::{S3, S3Settings};

/// What holds the entries.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// The log's directory.
    Directory,
    /// A database.
    #[cfg(feature = "postgres")]
    Postgres(PostgresSettings),
    /// A bucket.
    #[cfg(feature = "s3")]
    S3(S3Settings),
    /// A database, beside a bucket with the whole files.
    #[cfg(all(feature = "postgres", feature = "s3"))]
    PostgresAndS3(PostgresSettings, S3Settings),
}

/// Refuses a place in which no log can be made.
pub(crate) fn check_vacant(settings: &LogSettings) -> Result<(), OpenError> {
    match &settings.backend {
        // An empty one can be made only with the log.
        Backend::Directory => Ok(()),
        #[cfg(feature = "postgres")]
        Backend::Postgres(postgres) => {
            Postgres::connect(postgres.clone(), &settings.directory, None)?.check_vacant(&settings.origin)
        }
        #[cfg(feature = "s3")]
        Backend::S3(s3) => S3::connect(s3.clone(), &settings.directory, None)?.check_vacant(&settings.origin),
        #[cfg(all(feature = "postgres", feature = "s3"))]
        Backend::PostgresAndS3(postgres, s3) => {
            postgres_and_s3((postgres, s3), settings, None)?.check_vacant(&settings.origin)
        }
    }
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
        #[cfg(feature = "postgres")]
        Backend::Postgres(postgres) => {
            let postgres = Postgres::connect(postgres.clone(), &settings.directory, Some(lock))?;
            postgres.create(&settings.origin, key, SystemClock.now())?;
            Ok(Box::new(postgres))
        }
        #[cfg(feature = "s3")]
        Backend::S3(s3) => {
            let s3 = S3::connect(s3.clone(), &settings.directory, Some(lock))?;
            s3.create(&settings.origin, key, SystemClock.now())?;
            Ok(Box::new(s3))
        }
        #[cfg(all(feature = "postgres", feature = "s3"))]
        Backend::PostgresAndS3(postgres, s3) => {
            let both = postgres_and_s3((postgres, s3), settings, Some(lock))?;
            both.create(&settings.origin, key, SystemClock.now())?;
            Ok(Box::new(both))
        }
    }
}

/// Finds the log that was made.
pub(crate) fn open(settings: &LogSettings) -> Result<Box<dyn Storage>, OpenError> {
    match &settings.backend {
        Backend::Directory => {
            let directory = lock_directory(&settings.directory)?;
            Ok(Box::new(disk(settings, directory)?))
        }
        #[cfg(feature = "postgres")]
        Backend::Postgres(postgres) => {
            let lock = lock_memory(settings)?;
            let postgres = Postgres::connect(postgres.clone(), &settings.directory, Some(lock))?;
            Ok(Box::new(postgres))
        }
        #[cfg(feature = "s3")]
        Backend::S3(s3) => {
            let lock = lock_memory(settings)?;
            let s3 = S3::connect(s3.clone(), &settings.directory, Some(lock))?;
            Ok(Box::new(s3))
        }
        #[cfg(all(feature = "postgres", feature = "s3"))]
        Backend::PostgresAndS3(postgres, s3) => {
            let lock = lock_memory(settings)?;
            Ok(Box::new(postgres_and_s3((postgres, s3), settings, Some(lock))?))
        }
    }
}

/// The directory of a writer of a shared place: one on a new machine begins with nothing to remember.
#[cfg(any(feature = "postgres", feature = "s3"))]
fn lock_memory(settings: &LogSettings) -> Result<LockFile, OpenError> {
    make_directory(&settings.directory)?;
    let (_, lock) = lock_directory(&settings.directory)?;
    Ok(lock)
}

#[cfg(all(feature = "postgres", feature = "s3"))]
fn postgres_and_s3(
    (postgres, s3): (&PostgresSettings, &S3Settings),
    settings: &LogSettings,
    lock: Option<LockFile>,
) -> Result<PostgresAndS3, OpenError> {
    let directory = &settings.directory;
    let postgres = Postgres::connect(postgres.clone(), directory, lock)?;
    let s3 = S3::connect(s3.clone(), directory, None)?;
    Ok(PostgresAndS3::new(postgres, s3))
}

fn create_on_disk(
    settings: &LogSettings,
    key: &LogKey,
    locked: (Directory, LockFile),
) -> Result<Disk, OpenError> {
    let disk = disk(settings, locked)?;
    refuse_files(&*disk.files, &settings.directory)?;
    if let Some(mirror) = &disk.mirror {
        refuse_files(&*mirror.files, &mirror.directory)?;
    }
    let store = Store::new(disk.files());
    storage::create(&store, &settings.origin, key, SystemClock.now())?;
    for directory in [Some(&settings.directory), settings.mirror.as_ref()]
        .into_iter()
        .flatten()
    {
        sync_parent(directory).map_err(storage::io_error("create the directory"))?;
    }
    Ok(disk)
}

/// The log's directory and its mirror, which is created if need be.
fn disk(settings: &LogSettings, (directory, lock): (Directory, LockFile)) -> Result<Disk, OpenError> {
    storage::check_file_system(&settings.directory)?;
    let mirror = settings.mirror.as_deref();
    let mirror = mirror
        .map(|mirror| lock_mirror(mirror, &settings.directory))
        .transpose()?;
    Ok(Disk {
        files: Arc::new(directory),
        mirror,
        lock: Some(lock),
    })
}

fn lock_mirror(mirror: &Path, main: &Path) -> Result<Mirror, OpenError> {
    make_directory(mirror)?;
    storage::check_file_system(mirror)?;
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    if let (Ok(first), Ok(second)) = (device(main), device(mirror))
        && first == second
    {
        let (main, mirror) = (main.display(), mirror.display());
        tracing::warn!(%main, %mirror, "the log and its mirror are on one device: they are lost together");
    }
    let (files, lock) = lock_directory(mirror)?;
    Ok(Mirror {
        files: Arc::new(files),
        directory: mirror.to_owned(),
        lock: Some(lock),
    })
}

/// A log is born into an empty directory.
fn refuse_files(files: &dyn Files, directory: &Path) -> Result<(), OpenError> {
    let names = files
        .names(".")
        .map_err(storage::io_error("list the directory"))?;
    if names.iter().any(|name| name != "lock") {
        let directory = directory.to_owned();
        return Err(OpenError::Exists { directory });
    }
    Ok(())
}

fn make_directory(directory: &Path) -> Result<(), OpenError> {
    public_files::make_folders(directory).map_err(storage::io_error("create the directory"))
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
