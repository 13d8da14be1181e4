//! What an operator decides about a log.

use std::path::{Path, PathBuf};

use crate::checkpoint::Origin;

/// Entries that may wait for the sequencer: at one write of 4 ms and 1,024 entries each, 8 ms of work.
const QUEUE_ENTRIES: usize = 2048;

/// Free space below which a log takes no entries, in bytes: far more than what it has under way.
const MIN_FREE_BYTES: u64 = 256 * 1024 * 1024;

/// Where a log lives and how much it may take.
#[derive(Debug, Clone)]
pub struct LogSettings {
    pub(crate) directory: PathBuf,
    pub(crate) origin: Origin,
    pub(crate) queue_entries: usize,
    pub(crate) min_free_bytes: u64,
}

impl LogSettings {
    /// A log in that directory, which it has for itself, with a queue of 2,048 entries and 256 MiB kept free on the disk.
    pub fn new(directory: impl Into<PathBuf>, origin: Origin) -> LogSettings {
        let directory = directory.into();
        LogSettings {
            directory,
            origin,
            queue_entries: QUEUE_ENTRIES,
            min_free_bytes: MIN_FREE_BYTES,
        }
    }

    /// Where the log lives.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Free space below which the log takes no entries, in bytes. Reads go on.
    #[must_use]
    pub fn min_free_bytes(self, min_free_bytes: u64) -> LogSettings {
        LogSettings {
            min_free_bytes,
            ..self
        }
    }

    /// Entries that may wait for the sequencer.
    #[cfg(test)]
    pub(crate) fn queue_entries(self, queue_entries: usize) -> LogSettings {
        LogSettings {
            queue_entries,
            ..self
        }
    }
}
