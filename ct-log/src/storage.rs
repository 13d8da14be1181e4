//! What a log is kept in: [`Storage`] is the seam. Its implementations differ in where a batch becomes durable and where
//! whole files lie; everything else is the same for all.
//!
//! In a directory:
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

mod disk;
mod file_system;
mod files;
mod high_water;
mod identity;
mod memory;
mod mirror;
mod open_error;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(all(feature = "postgres", feature = "s3"))]
mod postgres_and_s3;
mod read_only;
mod reconcile;
mod record;
mod recovery;
mod replay;
#[cfg(feature = "tools")]
mod restored;
#[cfg(feature = "s3")]
mod s3;
mod segments;
mod sequenced;
#[cfg_attr(
    not(any(test, feature = "postgres", feature = "s3")),
    expect(dead_code, reason = "for storages that several writers share")
)]
mod shared;
#[cfg(test)]
mod shared_memory;
mod store;
mod tail;
mod verified;
mod wal;

pub(crate) use disk::{Disk, Mirror};
pub(crate) use file_system::check as check_file_system;
pub(crate) use files::{Directory, Files, LockError, LockFile, is_full};
#[cfg(test)]
pub(crate) use files::{OpenFile, name_in};
pub(crate) use high_water::HighWater;
pub(crate) use memory::Memory;
pub use open_error::OpenError;
#[cfg(feature = "postgres")]
pub(crate) use postgres::Postgres;
#[cfg(all(test, feature = "postgres"))]
pub(crate) use postgres::{Answer, Connection, Refusal, Server, Value};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresSettings, PostgresSettingsError};
#[cfg(all(test, feature = "postgres", feature = "s3"))]
pub(crate) use postgres_and_s3::DatabaseAndBucket;
#[cfg(all(feature = "postgres", feature = "s3"))]
pub(crate) use postgres_and_s3::PostgresAndS3;
pub(crate) use read_only::{StoredLog, StoredParts, identify};
#[cfg(test)]
pub(crate) use record::{BLOCK, Chain, Kind, Record};
pub(crate) use record::{Batch, Header, RecordBuffer};
pub(crate) use recovery::{CLOCK_TOLERANCE_MS, check_clock, corrupt, create, io_error};
#[cfg(feature = "tools")]
pub(crate) use restored::Restored;
#[cfg(feature = "s3")]
pub(crate) use s3::S3;
#[cfg(all(test, feature = "s3"))]
pub(crate) use s3::client;
#[cfg(feature = "s3")]
pub use s3::{S3Settings, S3SettingsError};
pub(crate) use sequenced::Committed;
pub use sequenced::Sequenced;
#[cfg(test)]
pub(crate) use shared_memory::SharedMemory;
pub(crate) use store::Store;
pub(crate) use tail::{FullTile, Tail};
pub(crate) use verified::Tiles;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, Origin};
use crate::clock::Clock;
use crate::guard::DiskGuard;
use crate::key::LogPublicKey;
use crate::leaf::UnixMillis;
use crate::publish::Published;
use crate::tile::Tile;
use crate::tree::{Frontier, Hash};

/// What a log is kept in, before it is opened.
pub(crate) trait Storage: Send {
    /// Recovery: the only way to start, whatever ended the log before. Finds what is durable, and refuses what this log did
    /// not write.
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError>;
}

/// What a storage must know of the log to open it.
pub(crate) struct Opening<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) key: &'a LogPublicKey,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) guard: Arc<DiskGuard>,
}

/// A log that is ready to take entries: the tree as it is durable, and where it goes on.
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) frontier: Frontier,
    pub(crate) tail: Tail,
    /// What was published last.
    pub(crate) published: Published,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) upkeep: Box<dyn Upkeep>,
    /// Held until no thread writes any more.
    pub(crate) locks: Vec<LockFile>,
}

/// The whole files of a log: full tiles, issuers, the checkpoint. Paths are those below the monitoring prefix.
pub(crate) trait Objects: Send + Sync {
    /// Stores files that never change; durable on return. A file that is there already must be equal: the bytes behind an
    /// immutable name never differ (C7).
    fn put_immutable(&self, new: &[(String, &[u8])]) -> io::Result<()>;

    /// The contents of a file, or nothing if there is none of that name. An error is never reported as absence.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Puts a checkpoint in the place of the one before, unless another writer's is as new.
    fn replace_checkpoint(&self, checkpoint: &Checkpoint, note: &str) -> io::Result<Replaced>;

    /// Remembers outside of the storage, if it is one that can lose what this log does not write itself, that this tree was
    /// acknowledged or taken over. Durable on return.
    fn remember(&self, _head: &Head) -> io::Result<()> {
        Ok(())
    }

    /// Whether readers of partial tiles are served from here, without the log: then those of a checkpoint are stored before it,
    /// and so are the full ones.
    fn serves_partials(&self) -> bool {
        false
    }

    /// Removes the partial tiles that this full one, which is stored, replaces.
    fn drop_partials(&self, _full: Tile) -> io::Result<()> {
        Ok(())
    }

    /// Bytes that can still be written; [`u64::MAX`] if that is not for this log to watch.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// What became of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// It is published.
    Yes,
    /// It is not: this note of another writer covers as many entries or more, and is not older.
    #[cfg_attr(
        not(any(test, feature = "postgres", feature = "s3")),
        expect(dead_code, reason = "for storages that several writers share")
    )]
    Newer(String),
    /// It is not, and never will be: what another writer appended after its last entry is dated before it, or may be.
    #[cfg_attr(
        not(any(test, feature = "postgres")),
        expect(dead_code, reason = "for a database that several writers share")
    )]
    Overtaken,
}

/// Where batches become durable, in the order of the tree. Owned by the sequencer.
pub(crate) trait Journal: Send {
    /// How long the sequencer may wait for entries before it looks for those of other writers; nothing if there are none.
    fn look_every(&self) -> Option<Duration>;

    /// The batches that other writers made durable after `size` entries, in order; not necessarily all of them unless it is
    /// this log's turn. After an error nothing was taken over: the same `size` is asked for again.
    fn missed(&mut self, size: u64, turn: Turn) -> Result<Vec<Batch>, CommitError>;

    /// Writes one batch: `buffer` holds its entries, `from` and `to` are the tree before and after it. On return it is
    /// durable, or the error says what is known. Ends the turn.
    fn commit(&mut self, buffer: &mut RecordBuffer, from: &Head, to: &Head)
    -> Result<Committed, CommitError>;

    /// Ends the turn without a batch.
    fn pass(&mut self);

    /// The newest time that this writer remembers to have given out, and that of the newest checkpoint of any writer as the last
    /// turn found it; nothing if a turn does not show it.
    fn newest_checkpoint(&self) -> Option<UnixMillis> {
        None
    }
}

/// Why the sequencer looks for other writers' batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// To follow them.
    Look,
    /// To append after them: until [`Journal::commit`] or [`Journal::pass`] others should wait.
    Take,
}

impl CommitError {
    /// Whether the batch may become durable all the same.
    pub(crate) fn is_in_doubt(&self) -> bool {
        matches!(self, CommitError::Unreachable(_) | CommitError::Failed(_))
    }
}

/// Why a batch was not committed.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// Another writer's batch came first. Nothing was written; look for it and try again.
    #[cfg_attr(
        not(any(test, feature = "postgres", feature = "s3")),
        expect(dead_code, reason = "for storages that several writers share")
    )]
    Behind,
    /// There is no space. Nothing was written; the log goes on.
    DiskFull,
    /// The storage cannot be reached. The batch may become durable all the same, even later: then [`Journal::missed`] finds it
    /// like another writer's, and until then nothing is built on it. The log goes on.
    #[cfg_attr(
        not(any(test, feature = "postgres", feature = "s3")),
        expect(dead_code, reason = "for storages that several writers share")
    )]
    Unreachable(io::Error),
    /// Nothing is known about the batch, and nothing more may be written.
    Failed(io::Error),
}

/// What a storage needs done beside its journal. Runs on the keeper's thread, once a second and whenever
/// [`Committed::needs_upkeep`] or a full tile calls for it.
pub(crate) trait Upkeep: Send {
    /// Prepares what the journal will need next; before full tiles are stored.
    fn prepare(&mut self) -> io::Result<()>;

    /// Drops what is superseded: the first `kept` entries are in stored tiles.
    fn tidy(&mut self, kept: u64) -> io::Result<()>;
}

/// The path of the newest checkpoint.
const CHECKPOINT: &str = "checkpoint";

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

impl StorageError {
    /// What was read cannot be what was written.
    pub(crate) fn damaged(doing: &'static str, what: &'static str) -> StorageError {
        let source = io::Error::new(io::ErrorKind::InvalidData, what);
        StorageError { doing, source }
    }
}
