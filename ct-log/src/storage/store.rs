//! Whole files: written once and never changed, or replaced as a whole.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use crate::checkpoint::Checkpoint;
use crate::threads::Mutex;

use super::files::{Files, OpenFile};
use super::{CHECKPOINT, Objects, Replaced};

/// Most directory names that are remembered; one directory holds the tiles of 256,000 entries.
const MAX_DURABLE: usize = 1024;

/// Directories that every log has.
const DIRECTORIES: [&str; 4] = ["tmp", "wal", "tile", "issuer"];

/// Writes whole files by way of `tmp/`, so that no name ever shows a file that is not complete and durable.
pub(crate) struct Store {
    files: Arc<dyn Files>,
    temporaries: AtomicU64,
    /// Directories whose own names are known to be durable.
    durable: Mutex<BTreeSet<String>>,
}

impl Store {
    pub(crate) fn new(files: Arc<dyn Files>) -> Store {
        Store {
            files,
            temporaries: AtomicU64::new(0),
            durable: Mutex::new(BTreeSet::new()),
        }
    }

    pub(crate) fn files(&self) -> &dyn Files {
        &*self.files
    }

    /// Creates the directories of a log, those that are missing.
    pub(crate) fn make_directories(&self) -> io::Result<()> {
        for directory in DIRECTORIES {
            self.files.make_directory(directory)?;
        }
        self.files.sync_directory(".")
    }

    /// The same for a static copy of a log: what its readers can ask for.
    #[cfg(feature = "tools")]
    pub(crate) fn make_copy_directories(&self) -> io::Result<()> {
        for directory in ["tmp", "tile", "issuer"] {
            self.files.make_directory(directory)?;
        }
        self.files.sync_directory(".")
    }

    /// Removes what an earlier process left unfinished.
    pub(crate) fn clear_temporaries(&self) -> io::Result<()> {
        for name in self.files.names("tmp")? {
            self.files.remove(&format!("tmp/{name}"))?;
        }
        Ok(())
    }

    /// The contents of the files that an earlier process left unfinished. New ones get other names.
    pub(crate) fn temporaries(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut contents = Vec::new();
        for name in self.files.names("tmp")? {
            let number: u64 = name.parse().unwrap_or(0);
            self.temporaries
                .fetch_max(number.saturating_add(1), Ordering::Relaxed);
            contents.push(self.files.read(&format!("tmp/{name}"))?);
        }
        Ok(contents)
    }

    /// Writes a file to `tmp/` and makes its contents durable.
    pub(crate) fn write_temporary(&self, bytes: &[u8]) -> io::Result<(String, Box<dyn OpenFile>)> {
        self.write_temporary_of(u64::try_from(bytes.len()).unwrap_or(u64::MAX), bytes)
    }

    /// The same with zeros after the bytes, up to `length`.
    pub(crate) fn write_temporary_of(
        &self,
        length: u64,
        bytes: &[u8],
    ) -> io::Result<(String, Box<dyn OpenFile>)> {
        let path = self.temporary_path();
        let allocated = if length > u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
            length
        } else {
            0
        };
        let written = self.files.create(&path, allocated).and_then(|file| {
            file.write_at(bytes, 0)?;
            file.sync()?;
            Ok(file)
        });
        if written.is_err() {
            // Without space every unfinished file counts; what remains is removed at the next start.
            let _ = self.files.remove(&path);
        }
        written.map(|file| (path, file))
    }

    fn temporary_path(&self) -> String {
        format!("tmp/{}", self.temporaries.fetch_add(1, Ordering::Relaxed))
    }

    fn link_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if let Some(existing) = self.read(path)? {
            return if existing == bytes {
                Ok(())
            } else {
                Err(differs(path))
            };
        }
        let (temporary, _) = self.write_temporary(bytes)?;
        self.files.link(&temporary, path)?;
        self.files.remove(&temporary)
    }

    /// Creates the directories above a file, each durable before the next, and returns the innermost.
    fn make_parents<'a>(&self, path: &'a str) -> io::Result<&'a str> {
        let mut parent = ".";
        for (end, _) in path.match_indices('/') {
            let Some(directory) = path.get(..end) else {
                continue;
            };
            if !DIRECTORIES.contains(&directory) {
                self.make_durable(directory, parent)?;
            }
            parent = directory;
        }
        Ok(parent)
    }

    fn make_durable(&self, directory: &str, parent: &str) -> io::Result<()> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.contains(directory) {
            return Ok(());
        }
        self.files.make_directory(directory)?;
        self.files.sync_directory(parent)?;
        if durable.len() >= MAX_DURABLE {
            durable.clear();
        }
        durable.insert(directory.to_owned());
        Ok(())
    }
}

impl Objects for Store {
    /// Also read back.
    fn put_immutable(&self, new: &[(String, &[u8])]) -> io::Result<()> {
        let mut parents = BTreeSet::new();
        for (path, bytes) in new {
            let parent = self.make_parents(path)?;
            self.link_new(path, bytes)?;
            parents.insert(parent);
        }
        for parent in parents {
            self.files.sync_directory(parent)?;
        }
        for (path, bytes) in new {
            if self.files.read(path)? != *bytes {
                return Err(differs(path));
            }
        }
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match self.files.read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The lock leaves no other writer. A reader sees one checkpoint or the other, complete.
    fn replace_checkpoint(&self, _checkpoint: &Checkpoint, note: &str) -> io::Result<Replaced> {
        let (temporary, _) = self.write_temporary(note.as_bytes())?;
        // Readers see it before its name is durable. If the power fails then, recovery finds it under
        // this one (C4), which stays until that.
        self.files.sync_directory("tmp")?;
        let second = self.temporary_path();
        self.files.link(&temporary, &second)?;
        self.files.rename(&second, CHECKPOINT)?;
        self.files.sync_directory(".")?;
        self.files.remove(&temporary)?;
        Ok(Replaced::Yes)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.files.free_bytes()
    }
}

fn differs(path: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("{path} exists with other contents"),
    )
}
