//! What a replica remembers of a shared log on its own disk: how far the log was, when it last looked. A shared storage that
//! comes back with less, or with something else there, has lost entries that were acknowledged; to go on would be a fork.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::leaf::{LogId, UnixMillis};
use crate::tree::Hash;

use super::Head;
use super::recovery::{OpenError, corrupt, io_error};

/// The file, in the replica's own directory.
#[derive(Debug, Clone)]
pub(super) struct HighWater {
    path: PathBuf,
    log_id: LogId,
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
    /// Milliseconds since 1970.
    timestamp: u64,
}

impl HighWater {
    pub(super) const FILE: &str = "high-water.json";

    pub(super) fn new(directory: &Path, log_id: LogId) -> HighWater {
        HighWater {
            path: directory.join(HighWater::FILE),
            log_id,
        }
    }

    /// Nothing if this replica never saw the log.
    pub(super) fn read(&self) -> Result<Option<Head>, OpenError> {
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
        Ok(Some(Head {
            size: mark.size,
            root: Hash::new(root),
            timestamp: UnixMillis::new(mark.timestamp),
        }))
    }

    /// Durable on return. `head` is durable in the storage already.
    pub(super) fn write(&self, head: &Head) -> io::Result<()> {
        let mark = Mark {
            log_id: self.log_id.to_string(),
            size: head.size,
            root: hex::encode(head.root.as_bytes()),
            timestamp: head.timestamp.get(),
        };
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&mark)?)?;
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }
}
