//! How a log starts that several writers share: from their batches, over the tiles that they stored.
//!
//! 1. Find where to begin: at a batch before the last stored tile, so that little is read.
//! 2. Replay. Every entry, root, time and link is checked, and the tree must be that of the checkpoint at its size.
//! 3. Store the tiles that are not there: a writer may have died between its batch and its tiles.
//! 4. The clock.

use std::io;

use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::leaf::{LogId, UnixMillis};
use crate::tile::{FULL_WIDTH, Tile, TileKind};

use super::record::Batch;
use super::recovery::{OpenError, check_clock, corrupt, io_error};
use super::replay::Replay;
use super::tail::{FullTile, Tail};
use super::{Head, Objects, Upkeep};

/// The batches of a log that several writers share.
pub(super) trait Batches {
    /// Batches from the one that begins with the entry `size`, in order and without a gap: as many as are read well at
    /// once, none if there is none yet.
    fn after(&mut self, size: u64) -> Result<Vec<Batch>, OpenError>;

    /// The first entry of the last batch that begins at `index` or before it. There is one: a batch holds that entry.
    fn begin_at_or_before(&mut self, index: u64) -> Result<u64, OpenError>;
}

/// The last batch that was read or written: what the next one must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) log_id: LogId,
    /// Number of the next batch, counted from the birth of the log.
    pub(super) number: u64,
    /// Hash of the last batch.
    pub(super) previous: [u8; 32],
}

/// What was found.
pub(super) struct SharedTree {
    pub(super) tail: Tail,
    pub(super) head: Head,
    #[cfg_attr(
        all(test, not(any(feature = "postgres", feature = "s3"))),
        expect(dead_code, reason = "the double of the tests keeps its links in its batches")
    )]
    pub(super) link: Link,
}

/// What opening needs to know besides the batches.
pub(super) struct SharedOpening<'a> {
    pub(super) objects: &'a dyn Objects,
    /// Read before any batch.
    pub(super) published: Checkpoint,
    pub(super) log_id: LogId,
    /// Of the birth of the log: that of a tree without entries.
    pub(super) born: UnixMillis,
    pub(super) clock: &'a dyn Clock,
}

impl Link {
    /// That of a log without batches.
    pub(super) fn first(log_id: LogId) -> Link {
        Link {
            log_id,
            number: 0,
            previous: [0; 32],
        }
    }

    /// The link after `batch`, or nothing if the batch is not the next one.
    pub(super) fn next(self, batch: &Batch) -> Option<Link> {
        let chain = batch.header.chain;
        let found = Link {
            log_id: chain.log_id,
            number: chain.number,
            previous: chain.previous,
        };
        (found == self).then(|| self.after(batch.hash))
    }

    /// The link after a batch of that hash.
    pub(super) fn after(self, hash: [u8; 32]) -> Link {
        Link {
            number: self.number.saturating_add(1),
            previous: hash,
            ..self
        }
    }
}

impl SharedOpening<'_> {
    /// Runs all steps. Other writers may go on meanwhile; run again after any failure, it does the same again.
    pub(super) fn run(&self, batches: &mut dyn Batches) -> Result<SharedTree, OpenError> {
        let first = self.first_index(batches)?;
        let mut replay = Replay::begin(self.objects, self.published, first)?;
        let mut link = (first == 0).then(|| Link::first(self.log_id));
        let mut size = first;
        loop {
            let next = batches.after(size)?;
            if next.is_empty() && self.tile_beyond(size)?.is_none() {
                break;
            }
            // Whoever stored the tile had read the batch: it is lost, or only just there.
            let next = if next.is_empty() {
                batches.after(size)?
            } else {
                next
            };
            if next.is_empty() {
                let beyond = self.tile_beyond(size)?.unwrap_or_default();
                return Err(corrupt(format!(
                    "only {size} entries are left, but {beyond} holds more"
                )));
            }
            for batch in &next {
                link = Some(self.linked(link, batch)?);
                replay.apply(batch)?;
                size = batch.header.head.size;
            }
            self.store(&replay.take_completed())?;
        }
        let (tail, mut head) = replay.finish()?;
        head.timestamp = head.timestamp.max(self.born);
        // Asked now: other writers went on while this one read.
        check_clock(head.timestamp.max(self.published.timestamp()), self.clock.now())?;
        let link = link.ok_or_else(|| corrupt("the tiles have no batches"))?;
        Ok(SharedTree { tail, head, link })
    }

    /// Where to begin: with the batch that holds the first entry of the last stored tile. That tile is completed once more,
    /// because what follows it, the tiles above, may not have been stored.
    fn first_index(&self, batches: &mut dyn Batches) -> Result<u64, OpenError> {
        let mut full = self.published.size() / u64::from(FULL_WIDTH);
        while let Some(last) = full.checked_sub(1) {
            if self.is_stored(last)? {
                return batches.begin_at_or_before(last.saturating_mul(u64::from(FULL_WIDTH)));
            }
            full = last;
        }
        Ok(0)
    }

    /// The hash tile comes after the data tile.
    fn is_stored(&self, index: u64) -> Result<bool, OpenError> {
        let Some(tile) = Tile::full(TileKind::Hashes { level: 0 }, index) else {
            return Ok(false);
        };
        self.exists(tile)
    }

    /// A stored tile with entries that the tree of that size lacks.
    fn tile_beyond(&self, size: u64) -> Result<Option<String>, OpenError> {
        for kind in [TileKind::Entries, TileKind::Hashes { level: 0 }] {
            if let Some(tile) = Tile::full(kind, size / u64::from(FULL_WIDTH))
                && self.exists(tile)?
            {
                return Ok(Some(tile.to_string()));
            }
        }
        Ok(None)
    }

    fn exists(&self, tile: Tile) -> Result<bool, OpenError> {
        let read = self.objects.read(&tile.to_string());
        Ok(read.map_err(io_error("read a tile"))?.is_some())
    }

    fn linked(&self, link: Option<Link>, batch: &Batch) -> Result<Link, OpenError> {
        let chain = batch.header.chain;
        let due = link.unwrap_or(Link {
            log_id: self.log_id,
            number: chain.number,
            previous: chain.previous,
        });
        due.next(batch).ok_or_else(|| {
            let (found, due) = (chain.number, due.number);
            corrupt(format!("batch {found} does not follow where batch {due} is due"))
        })
    }

    fn store(&self, completed: &[FullTile]) -> Result<(), OpenError> {
        let files: Vec<_> = completed.iter().map(FullTile::file).collect();
        if files.is_empty() {
            return Ok(());
        }
        let stored = self.objects.put_immutable(&files);
        stored.map_err(io_error("store full tiles"))
    }
}

/// Places that several writers share look after themselves, and nothing in them is ever removed.
pub(super) struct NoUpkeep;

impl Upkeep for NoUpkeep {
    fn prepare(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn tidy(&mut self, _kept: u64) -> io::Result<()> {
        Ok(())
    }
}
