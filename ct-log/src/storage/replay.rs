//! Replaying batches over the full tiles: those of the write-ahead log, or of a storage that several writers share.

use crate::checkpoint::Checkpoint;
use crate::leaf::{LogId, SequencedEntry, UnixMillis};
use crate::tile::{FULL_WIDTH, MAX_LEVEL, Tile, TileKind};
use crate::tree::{Frontier, Hash, root};

use super::record::{Batch, Chain, Header, Kind, Record};
use super::recovery::{OpenError, corrupt, io_error};
use super::store::Store;
use super::tail::{FullTile, Tail, hashes};
use super::wal::segment_path;
use super::{Head, Objects};

/// The tree as far as it was replayed.
pub(super) struct Replay {
    published: Checkpoint,
    head: Head,
    tail: Tail,
    frontier: Frontier,
    completed: Vec<FullTile>,
}

/// What one segment of the write-ahead log added.
#[derive(Default)]
pub(super) struct Replayed {
    /// Its records, as they were read.
    pub(super) records: Vec<u8>,
    /// The tiles that they completed, which may not be stored yet.
    pub(super) completed: Vec<FullTile>,
}

/// The same in the write-ahead log of a directory.
pub(crate) struct WalReplay<'a> {
    store: &'a Store,
    /// Segments before this one are superseded.
    first_segment: u64,
    /// What the next record must carry.
    chain: Chain,
    replay: Replay,
}

impl<'a> WalReplay<'a> {
    /// Finds where the valid log begins, and restores the tree at that point from tiles.
    pub(super) fn begin(
        store: &'a Store,
        log_id: LogId,
        published: Checkpoint,
        segments: &[u64],
    ) -> Result<WalReplay<'a>, OpenError> {
        let (first_segment, header) = first_record(store, segments)?;
        if header.chain.log_id != log_id {
            return Err(corrupt("the write-ahead log is of another log"));
        }
        let replay = Replay::begin(store, published, header.first_index)?;
        if replay.head.root != header.previous_root {
            return Err(corrupt(
                "the tiles do not lead to the root that the write-ahead log begins with",
            ));
        }
        Ok(WalReplay {
            store,
            first_segment,
            chain: header.chain,
            replay,
        })
    }

    /// Replays one segment; ascending order.
    pub(super) fn segment(&mut self, number: u64) -> Result<Replayed, OpenError> {
        if number < self.first_segment {
            return Ok(Replayed::default());
        }
        let mut bytes = read_segment(self.store, number)?;
        let mut rest = bytes.as_slice();
        while let Ok(record) = Record::decode(rest) {
            if record.header.chain != self.chain {
                break;
            }
            self.replay.apply(&record.into())?;
            self.chain = self.chain.next(record.hash);
            rest = rest.get(record.span..).unwrap_or_default();
        }
        self.refuse_records(number, rest)?;
        let used = bytes.len().saturating_sub(rest.len());
        bytes.truncate(used);
        Ok(Replayed {
            records: bytes,
            completed: self.replay.take_completed(),
        })
    }

    /// The whole log, if it covers what was published.
    pub(super) fn finish(self) -> Result<(Tail, Head, Chain), OpenError> {
        let (tail, head) = self.replay.finish()?;
        Ok((tail, head, self.chain))
    }

    /// After the last record that fits there may be the remains of one torn write, but nothing of any other record of this
    /// log.
    fn refuse_records(&self, segment: u64, mut rest: &[u8]) -> Result<(), OpenError> {
        let mut torn = Some(self.chain);
        while !rest.is_empty() {
            let (chain, span) = match Record::decode(rest) {
                Ok(record) => (Some(record.header.chain), record.span),
                Err(none) => (none.chain.filter(|chain| Some(*chain) != torn), none.span),
            };
            if let Some(chain) = chain.filter(|chain| self.is_ours(chain)) {
                let (found, expected) = (chain.number, self.chain.number);
                let what = format!("segment {segment} has record {found} where {expected} is due");
                return Err(corrupt(what));
            }
            torn = None;
            rest = rest.get(span..).unwrap_or_default();
        }
        Ok(())
    }

    fn is_ours(&self, chain: &Chain) -> bool {
        chain.log_id == self.chain.log_id && chain.incarnation == self.chain.incarnation
    }
}

impl Replay {
    /// The tree of the first `size` entries, from tiles: those that its partial tiles will become must be full and stored.
    pub(super) fn begin(
        objects: &dyn Objects,
        published: Checkpoint,
        size: u64,
    ) -> Result<Replay, OpenError> {
        let tail = tail_of_tiles(objects, size)?;
        verify_last_data_tile(objects, size)?;
        if published.size() < size
            && tail_of_tiles(objects, published.size())?.frontier().root() != published.root()
        {
            return Err(corrupt("the tiles do not lead to the root of the checkpoint"));
        }
        let frontier = tail.frontier();
        let head = Head {
            size,
            root: frontier.root(),
            timestamp: UnixMillis::new(0),
        };
        let replay = Replay {
            published,
            head,
            tail,
            frontier,
            completed: Vec::new(),
        };
        replay.check_published()?;
        Ok(replay)
    }

    /// Tiles that were completed since the last call; they may not be stored yet.
    pub(super) fn take_completed(&mut self) -> Vec<FullTile> {
        std::mem::take(&mut self.completed)
    }

    /// The tree after all batches, if it covers what was published.
    pub(super) fn finish(self) -> Result<(Tail, Head), OpenError> {
        let (size, published) = (self.head.size, self.published.size());
        if size < published {
            return Err(corrupt(format!(
                "{size} entries are left of {published} published ones"
            )));
        }
        Ok((self.tail, self.head))
    }

    /// Takes the next batch. Every entry, root and time is checked.
    pub(super) fn apply(&mut self, batch: &Batch) -> Result<(), OpenError> {
        let header = &batch.header;
        let misplaced = || corrupt(format!("record {} does not fit the tree", header.chain.number));
        if header.first_index != self.head.size || header.previous_root != self.head.root {
            return Err(misplaced());
        }
        let mut body = batch.body.as_slice();
        while !body.is_empty() {
            let (entry, rest) = SequencedEntry::decode(body).map_err(|_| misplaced())?;
            let length = body.len().saturating_sub(rest.len());
            self.push(&entry, body.get(..length).unwrap_or_default())?;
            body = rest;
        }
        if self.head.size != header.head.size
            || self.head.root != header.head.root
            || self.head.timestamp > header.head.timestamp
        {
            return Err(misplaced());
        }
        self.head.timestamp = header.head.timestamp;
        Ok(())
    }

    fn push(&mut self, entry: &SequencedEntry, bytes: &[u8]) -> Result<(), OpenError> {
        let index = entry.index().get();
        let misplaced = || corrupt(format!("entry {index} does not fit the tree"));
        if index != self.head.size || entry.timestamp() < self.head.timestamp {
            return Err(misplaced());
        }
        let hash = entry.leaf_hash().map_err(|_| misplaced())?;
        self.frontier.push(hash);
        self.tail.push(hash, bytes, &mut self.completed);
        self.head.size = self.frontier.size();
        self.head.timestamp = entry.timestamp();
        self.head.root = self.frontier.root();
        self.check_published()
    }

    fn check_published(&self) -> Result<(), OpenError> {
        if self.head.size == self.published.size() && self.head.root != self.published.root() {
            return Err(corrupt(
                "the write-ahead log does not lead to the root of the checkpoint",
            ));
        }
        Ok(())
    }
}

/// The segment to begin with, and the header of its first record: the last snapshot, or, if its segment is gone because
/// tiles hold all its entries, the oldest segment left.
fn first_record(store: &Store, segments: &[u64]) -> Result<(u64, Header), OpenError> {
    let mut first = None;
    for number in segments.iter().rev() {
        let bytes = read_segment(store, *number)?;
        let header = Record::decode(&bytes).ok().map(|record| record.header);
        first = header.map(|header| (*number, header));
        if header.is_some_and(|header| header.kind == Kind::Snapshot) {
            break;
        }
    }
    first.ok_or_else(|| corrupt("the write-ahead log has no beginning"))
}

fn read_segment(store: &Store, number: u64) -> Result<Vec<u8>, OpenError> {
    store
        .files()
        .read(&segment_path(number))
        .map_err(io_error("read the write-ahead log"))
}

/// The root of the tree of the first `size` entries, from tiles that must all be full.
#[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "for logs in buckets"))]
pub(super) fn root_of(objects: &dyn Objects, size: u64) -> Result<Hash, OpenError> {
    Ok(tail_of_tiles(objects, size)?.frontier().root())
}

/// The right edge of the tree of `size` entries, from tiles that must all be full.
pub(super) fn tail_of_tiles(store: &dyn Objects, size: u64) -> Result<Tail, OpenError> {
    let width = u64::from(FULL_WIDTH);
    let mut tail = Tail::at(size);
    if !size.is_multiple_of(width) {
        let hashes = read_hashes(store, 0, size / width)?;
        let entries = read_entries(store, size / width)?;
        let partial = usize::try_from(size % width).unwrap_or(usize::MAX);
        for (hash, (entry_hash, bytes)) in hashes.iter().zip(&entries).take(partial) {
            if hash != entry_hash {
                return Err(corrupt(format!(
                    "data tile {} does not match its hashes",
                    size / width
                )));
            }
            tail.restore_hash(0, *hash);
            tail.restore_entry(bytes);
        }
    }
    let mut full = size / width;
    for level in 0..MAX_LEVEL {
        for index in (full - full % width)..full {
            let subtree = root(&read_hashes(store, level, index)?);
            tail.restore_hash(usize::from(level).saturating_add(1), subtree);
        }
        full /= width;
    }
    Ok(tail)
}

fn verify_last_data_tile(store: &dyn Objects, size: u64) -> Result<(), OpenError> {
    let Some(last) = (size / u64::from(FULL_WIDTH)).checked_sub(1) else {
        return Ok(());
    };
    let hashes = read_hashes(store, 0, last)?;
    let entries = read_entries(store, last)?;
    if hashes.iter().eq(entries.iter().map(|(hash, _)| hash)) {
        return Ok(());
    }
    Err(corrupt(format!("data tile {last} does not match its hashes")))
}

fn read_hashes(store: &dyn Objects, level: u8, index: u64) -> Result<Vec<Hash>, OpenError> {
    let (path, bytes) = read_full(store, TileKind::Hashes { level }, index)?;
    let hashes = hashes(&bytes);
    if hashes.len() == usize::from(FULL_WIDTH) && bytes.len().is_multiple_of(32) {
        return Ok(hashes);
    }
    Err(corrupt(format!("{path} is not a full tile")))
}

/// The leaf hash and the bytes of each entry.
fn read_entries(store: &dyn Objects, index: u64) -> Result<Vec<(Hash, Vec<u8>)>, OpenError> {
    let (path, bytes) = read_full(store, TileKind::Entries, index)?;
    let damaged = || corrupt(format!("{path} is not a full data tile"));
    let entries = SequencedEntry::decode_all(&bytes).map_err(|_| damaged())?;
    if entries.len() != usize::from(FULL_WIDTH) {
        return Err(damaged());
    }
    let encode = |entry: &SequencedEntry| Some((entry.leaf_hash().ok()?, entry.tile_leaf().ok()?));
    entries
        .iter()
        .map(|entry| encode(entry).ok_or_else(damaged))
        .collect()
}

fn read_full(store: &dyn Objects, kind: TileKind, index: u64) -> Result<(String, Vec<u8>), OpenError> {
    let tile = Tile::full(kind, index).ok_or_else(|| corrupt("the log is larger than a log can be"))?;
    let path = tile.to_string();
    let bytes = store.read(&path).map_err(io_error("read a tile"))?;
    let bytes = bytes.ok_or_else(|| corrupt(format!("{path} is missing")))?;
    Ok((path, bytes))
}
