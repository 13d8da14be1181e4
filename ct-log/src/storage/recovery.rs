//! How a log starts: always from what is on disk, always the same way, whatever ended it.
//!
//! 1. Who is it: identity and last checkpoint, against the key and origin at hand.
//! 2. The tree at the first record of the write-ahead log, from full tiles; its root must be the one the record names.
//! 3. Replay. Every entry, root and link is checked. What follows the last good record is a torn write only if no record of
//!    this log follows it, and only if the published tree is covered; anything else is corruption, and the log does not start.
//! 4. The clock.
//! 5. A new segment with all entries that are not in full tiles: nothing is trusted that this process did not write and sync.

use std::io;

use crate::checkpoint::{Checkpoint, CheckpointError, Origin};
use crate::key::{KeyError, LogKey, LogPublicKey};
use crate::leaf::UnixMillis;
use crate::publish::Published;
use crate::threads::fill_random;
use crate::tile::{FULL_WIDTH, Tile, TileKind};
use crate::tree::{Frontier, empty_root};

pub(crate) use super::open_error::OpenError;

use super::identity::Identity;
use super::record::{Chain, Header, Kind, RecordBuffer};
use super::replay::{Replayed, WalReplay};
use super::store::Store;
use super::tail::{FullTile, Tail};
use super::wal::{Wal, WalStart, segment_path};
use super::{CHECKPOINT, Head, Objects};

/// How far the clock may be behind the log's last timestamp, in milliseconds: what a step of NTP corrects.
pub(crate) const CLOCK_TOLERANCE_MS: u64 = 2_000;

pub(crate) fn corrupt(what: impl Into<String>) -> OpenError {
    OpenError::Corrupt { what: what.into() }
}

/// For `map_err`: an error of the operating system, with what was tried.
pub(crate) fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { doing, source }
}

/// Writes a log without entries. Its identity comes last: without it there is no log.
pub(crate) fn create(store: &Store, origin: &Origin, key: &LogKey, now: UnixMillis) -> Result<(), OpenError> {
    let identity = Identity::new(key.public(), origin, now);
    let checkpoint = Checkpoint::new(0, empty_root(), now).sign(origin, key)?;
    let chain = Chain {
        log_id: key.public().log_id(),
        epoch: 0,
        incarnation: incarnation()?,
        number: 0,
        previous: [0; 32],
    };
    let head = Head {
        size: 0,
        root: empty_root(),
        timestamp: now,
    };
    let header = Header {
        kind: Kind::Snapshot,
        chain,
        first_index: 0,
        previous_root: empty_root(),
        head,
    };
    let written = || {
        store.make_directories()?;
        Wal::begin(store, 0, header, RecordBuffer::new())?;
        store.put_immutable(&[(CHECKPOINT.to_owned(), checkpoint.as_bytes())])?;
        store.put_immutable(&[(Identity::PATH.to_owned(), &identity.to_json()?)])
    };
    written().map_err(io_error("create the log"))
}

/// A log that is ready to take entries.
pub(crate) struct Recovered {
    pub(crate) tail: Tail,
    pub(crate) frontier: Frontier,
    pub(crate) head: Head,
    /// What was published last.
    pub(crate) published: Published,
    pub(crate) wal: WalStart,
}

/// What recovery needs to know besides the directory.
pub(crate) struct Recovery<'a> {
    pub(crate) store: &'a Store,
    pub(crate) origin: &'a Origin,
    pub(crate) key: &'a LogPublicKey,
    pub(crate) now: UnixMillis,
}

impl Recovery<'_> {
    /// Runs all steps. Run again after any failure, it does the same again.
    pub(crate) fn run(&self) -> Result<Recovered, OpenError> {
        Identity::read(self.store)?.check_directory(self.key.log_id(), self.origin)?;
        self.store
            .make_directories()
            .map_err(io_error("make the directories"))?;
        let (note, published) = self.newest_checkpoint()?;
        self.store.clear_temporaries().map_err(io_error("empty tmp/"))?;
        let segments = segments(self.store)?;
        let mut replay = WalReplay::begin(self.store, self.key.log_id(), published, &segments)?;
        for number in &segments {
            let replayed = replay.segment(*number)?;
            self.store_tiles(*number, &replayed)
                .map_err(io_error("store full tiles"))?;
        }
        let (tail, head, chain) = replay.finish()?;
        self.refuse_tiles_beyond(head.size)?;
        check_clock(head.timestamp.max(published.timestamp()), self.now)?;
        let wal = self.begin_segment(&segments, chain, &tail, head)?;
        let frontier = tail.frontier();
        let published = Published {
            checkpoint: published,
            note: note.into(),
        };
        Ok(Recovered {
            tail,
            frontier,
            head,
            published,
            wal,
        })
    }

    /// The checkpoint, or one that was to replace it when the process ended: it may have been read, and a power cut then took
    /// its name. No checkpoint that follows may be dated before it (C4).
    fn newest_checkpoint(&self) -> Result<(String, Checkpoint), OpenError> {
        let (note, published) = read_checkpoint(self.store, self.origin, self.key)?;
        let temporaries = self.store.temporaries().map_err(io_error("read tmp/"))?;
        let newer = temporaries.into_iter().filter_map(|contents| {
            let note = String::from_utf8(contents).ok()?;
            let checkpoint = Checkpoint::verify(&note, self.origin, self.key).ok()?;
            (checkpoint.timestamp() > published.timestamp()).then_some((note, checkpoint))
        });
        let Some((note, checkpoint)) = newer.max_by_key(|(_, checkpoint)| checkpoint.timestamp()) else {
            return Ok((note, published));
        };
        self.store
            .replace_checkpoint(&checkpoint, &note)
            .map_err(io_error("replace the checkpoint"))?;
        Ok((note, checkpoint))
    }

    /// The last record may be in the system's memory alone, if the write of it failed in the process before. So that no
    /// tile lasts longer than an entry in it, the records are made durable before tiles that are missing.
    fn store_tiles(&self, segment: u64, replayed: &Replayed) -> io::Result<()> {
        let files: Vec<_> = replayed.completed.iter().map(FullTile::file).collect();
        for (path, _) in &files {
            if self.store.read(path)?.is_none() {
                Wal::write_again(self.store, segment, &replayed.records)?;
                break;
            }
        }
        self.store.put_immutable(&files)
    }

    /// A full tile is made of durable entries only. One with entries after the last means that the write-ahead log is older
    /// than the tiles; to go on would be a fork.
    fn refuse_tiles_beyond(&self, size: u64) -> Result<(), OpenError> {
        for kind in [TileKind::Entries, TileKind::Hashes { level: 0 }] {
            let Some(tile) = Tile::full(kind, size / u64::from(FULL_WIDTH)) else {
                continue;
            };
            let path = tile.to_string();
            if self.store.read(&path).map_err(io_error("read a tile"))?.is_some() {
                return Err(corrupt(format!(
                    "only {size} entries are left, but {path} holds more"
                )));
            }
        }
        Ok(())
    }

    /// Writes the entries that are in no full tile to a new segment, and then removes all others.
    fn begin_segment(
        &self,
        old: &[u64],
        chain: Chain,
        tail: &Tail,
        head: Head,
    ) -> Result<WalStart, OpenError> {
        let base = tail.full_frontier();
        let chain = Chain {
            epoch: chain.epoch.saturating_add(1),
            incarnation: incarnation()?,
            ..chain
        };
        let header = Header {
            kind: Kind::Snapshot,
            chain,
            first_index: base.size(),
            previous_root: base.root(),
            head,
        };
        let mut snapshot = RecordBuffer::new();
        snapshot.body_mut().extend_from_slice(tail.partial_entries());
        let number = old.last().map_or(0, |last| last.saturating_add(1));
        let written = || {
            let wal = Wal::begin(self.store, number, header, snapshot)?;
            for number in old {
                self.store.files().remove(&segment_path(*number))?;
            }
            self.store.files().sync_directory("wal")?;
            Ok(wal)
        };
        written().map_err(io_error("write a new segment"))
    }
}

/// The last millisecond of the year 9999, where X.509 ends (RFC 5280 section 4.1.2.5).
const MAX_TIME: UnixMillis = UnixMillis::new(253_402_300_799_999);

/// Refuses a clock that is behind the last time that the log gave out, or in no time at all.
pub(crate) fn check_clock(last: UnixMillis, now: UnixMillis) -> Result<(), OpenError> {
    if now > MAX_TIME {
        return Err(OpenError::ClockAhead);
    }
    let behind_ms = last.get().saturating_sub(now.get());
    if behind_ms > CLOCK_TOLERANCE_MS {
        Err(OpenError::ClockBehind { behind_ms })
    } else {
        Ok(())
    }
}

/// The last published note, and what it says.
pub(crate) fn read_checkpoint(
    store: &Store,
    origin: &Origin,
    key: &LogPublicKey,
) -> Result<(String, Checkpoint), OpenError> {
    let note = store.read(CHECKPOINT).map_err(io_error("read the checkpoint"))?;
    let note = note.ok_or_else(|| corrupt("the checkpoint is missing"))?;
    let note = String::from_utf8(note).map_err(|_| corrupt("the checkpoint is not text"))?;
    let invalid = |error: CheckpointError| corrupt(format!("checkpoint: {error}"));
    let checkpoint = Checkpoint::verify(&note, origin, key).map_err(invalid)?;
    Ok((note, checkpoint))
}

/// Segment numbers, ascending.
pub(crate) fn segments(store: &Store) -> Result<Vec<u64>, OpenError> {
    let names = store.files().names("wal").map_err(io_error("list wal/"))?;
    let mut numbers = Vec::new();
    for name in names {
        let number = name.parse().ok();
        let number = number.filter(|number| segment_path(*number) == format!("wal/{name}"));
        numbers.push(number.ok_or_else(|| corrupt(format!("wal/{name} is not a segment")))?);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn incarnation() -> Result<[u8; 16], OpenError> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes).map_err(|_| KeyError::Generate)?;
    Ok(bytes)
}
