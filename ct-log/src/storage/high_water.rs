//! How far a log was, as the one who wrote it remembers on a disk of its own: the tree that it acknowledged, published, or took over
//! from others. A storage that comes back with less, or with something else there, has lost entries; to go on would be a fork.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::leaf::{LogId, UnixMillis};
use crate::public_files;
use crate::threads;
use crate::tree::Hash;

use super::Head;
use super::recovery::{OpenError, corrupt, io_error};

/// The file.
#[derive(Debug)]
pub(crate) struct HighWater {
    path: PathBuf,
    log_id: LogId,
    /// What it says, as far as this process knows.
    last: Mutex<Option<Head>>,
}

/// Its contents.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// Hexadecimal.
    log_id: String,
    size: u64,
    /// Hexadecimal.
    root: String,
    /// The newest time that was given out, milliseconds since 1970.
    timestamp: u64,
}

impl HighWater {
    /// That of a replica, in its own directory.
    #[cfg(any(feature = "postgres", feature = "s3"))]
    pub(crate) fn in_directory(directory: &Path, log_id: LogId) -> HighWater {
        HighWater::new(directory.join("high-water.json"), log_id)
    }

    pub(crate) fn new(path: PathBuf, log_id: LogId) -> HighWater {
        let last = Mutex::new(None);
        HighWater { path, log_id, last }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing if there was never one.
    pub(crate) fn read(&self) -> Result<Option<Head>, OpenError> {
        let json = match fs::read(&self.path) {
            Ok(json) => json,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read the high-water mark")(error)),
        };
        let damaged = |what: &str| corrupt(format!("{}: {what}", self.path.display()));
        let mark: Mark = serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
        if mark.log_id != self.log_id.to_string() {
            return Err(damaged("it is of another log"));
        }
        let mut root = [0; 32];
        hex::decode_to_slice(&mark.root, &mut root).map_err(|_| damaged("the root is not a hash"))?;
        let head = Head {
            size: mark.size,
            root: Hash::new(root),
            timestamp: UnixMillis::new(mark.timestamp),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
        Ok(Some(head))
    }

    /// Remembers a tree that is durable in the storage, unless more is remembered already. Durable on return.
    pub(crate) fn raise(&self, head: &Head) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match *last {
            None => *head,
            Some(last) => {
                let further = if head.size > last.size { head } else { &last };
                Head {
                    timestamp: head.timestamp.max(last.timestamp),
                    ..*further
                }
            }
        };
        if *last != Some(next) {
            self.write(&next)?;
            *last = Some(next);
        }
        Ok(())
    }

    fn write(&self, head: &Head) -> io::Result<()> {
        threads::check_alive()?;
        let mark = Mark {
            log_id: self.log_id.to_string(),
            size: head.size,
            root: hex::encode(head.root.as_bytes()),
            timestamp: head.timestamp.get(),
        };
        // Not in the place of the extension: a mark of the same name writes its own.
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".new");
        let mut file = public_files::create(temporary.as_ref())?;
        file.write_all(&serde_json::to_vec(&mark)?)?;
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        let directory = self
            .path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}
