//! What a log keeps on disk, and the order in which it gets there.
//!
//! ```text
//! log.json            who this log is: version, log id, origin, when it was created
//! lock                held while the log is open
//! wal/<number>        write-ahead log segments: the commit point of every entry
//! tile/...            full tiles only; partial tiles are cut from the tail in memory
//! issuer/<sha256>     issuer certificates, each stored before an entry names it (C8)
//! checkpoint          the last published signed note
//! tmp/                files that are not finished; emptied at start
//! ```

mod files;
mod identity;
mod memory;
mod read_only;
mod record;
mod recovery;
mod replay;
mod store;
mod tail;
mod wal;

#[cfg(test)]
pub(crate) use files::OpenFile;
pub(crate) use files::{Directory, Files, LockError, LockFile, is_full};
pub(crate) use memory::Memory;
pub(crate) use read_only::StoredLog;
pub(crate) use record::RecordBuffer;
#[cfg(test)]
pub(crate) use record::{BLOCK, Chain, Header, Kind, Record};
pub use recovery::OpenError;
pub(crate) use recovery::{CLOCK_TOLERANCE_MS, Recovered, Recovery, create, io_error};
pub(crate) use store::Store;
pub(crate) use tail::{FullTile, Tail, read_stored_tile};
pub use wal::Sequenced;
pub(crate) use wal::{
    CommitError, Committed, Segment, SegmentRetired, Wal, WalStart, prepare_segment, remove_segment,
};

use std::io;

use crate::leaf::UnixMillis;
use crate::tree::Hash;

/// The state of the tree after an entry was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// Of the last entry; of the birth of the log if there is none.
    pub(crate) timestamp: UnixMillis,
}

/// A file of the log that could not be read or stored.
#[derive(Debug, thiserror::Error)]
#[error("the log's storage failed: could not {doing}")]
pub struct StorageError {
    pub(crate) doing: &'static str,
    #[source]
    pub(crate) source: io::Error,
}
