//! Files that a command keeps: replaced as a whole, or written once.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::public_files;

/// A state file that one process has for itself.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    /// Released when dropped.
    _lock: File,
}

impl StateFile {
    /// Takes it; it need not exist.
    pub(super) fn open(path: &Path) -> io::Result<StateFile> {
        let file = lock(&beside(path, ".lock"))?;
        Ok(StateFile {
            path: path.to_owned(),
            _lock: file,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds; nothing if it is not there.
    pub(super) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces what it holds: durable on return, and never half of it.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        replace(&self.path, bytes)
    }
}

/// Takes a lock, which is released when the file is dropped.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let file = public_files::open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!("{} is locked by another process", path.display());
            Err(io::Error::other(text))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Replaces a file as a whole, durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path, ".new");
    let mut file = public_files::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder_of(path)
}

/// Makes the name of a file durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    match absolute.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
