//! The thread behind the sequencer: stores full tiles, deletes the write-ahead log that they replace, prepares the next
//! segment, and watches the disk. Nothing here is on the way to an SCT.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::running::Shared;
use crate::storage::{FullTile, Segment, SegmentRetired, is_full, prepare_segment, remove_segment};
use crate::tile::TileKind;

/// How often the free space is measured, and work that found no space is tried again.
const TICK: Duration = Duration::from_secs(1);

/// Full tiles that may wait for space. Beyond it the sequencer waits, and the queue answers "busy".
const MAX_WAITING_TILES: usize = 64;

/// Chores that may wait in the channel to the keeper.
pub(crate) const MAX_CHORES: usize = 16;

/// Work for the keeper, in the order in which the log made it.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Store these.
    Keep(Vec<FullTile>),
    /// Delete this segment once its entries are in stored tiles.
    Retire(SegmentRetired),
}

/// Owned by its thread.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    spares: SyncSender<Segment>,
    next_segment: u64,
    /// A segment that the sequencer has no use for yet.
    prepared: Option<Segment>,
    waiting: VecDeque<FullTile>,
    /// Entries in full, stored and verified tiles.
    kept: u64,
    retired: VecDeque<SegmentRetired>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, spares: SyncSender<Segment>, next_segment: u64) -> Keeper {
        Keeper {
            shared,
            spares,
            next_segment,
            prepared: None,
            waiting: VecDeque::new(),
            kept: 0,
            retired: VecDeque::new(),
        }
    }

    /// Works until the sequencer is gone. What is left then is done by recovery.
    pub(crate) fn run(mut self, chores: &Receiver<Chore>) {
        loop {
            self.shared.guard.measure(self.shared.store.files());
            match self.work() {
                Ok(()) => {}
                Err(error) if is_full(&error) => self.shared.guard.report_full(),
                Err(error) => return self.shared.fail("store tiles", error),
            }
            if self.waiting.len() >= MAX_WAITING_TILES && !self.shared.pool.is_closed() {
                std::thread::sleep(TICK);
                continue;
            }
            match chores.recv_timeout(TICK) {
                Ok(chore) => self.accept(chore),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while self.waiting.len() < MAX_WAITING_TILES
                && let Ok(chore) = chores.try_recv()
            {
                self.accept(chore);
            }
        }
    }

    fn accept(&mut self, chore: Chore) {
        match chore {
            Chore::Keep(tiles) => self.waiting.extend(tiles),
            Chore::Retire(retired) => self.retired.push_back(retired),
        }
    }

    fn work(&mut self) -> io::Result<()> {
        // The sequencer may wait for a segment, so that comes first. Without space for one, tiles may make some.
        let offered = match self.offer_segment() {
            Err(error) if !is_full(&error) => return Err(error),
            offered => offered,
        };
        self.store_tiles()?;
        self.delete_segments()?;
        offered
    }

    fn offer_segment(&mut self) -> io::Result<()> {
        let segment = match self.prepared.take() {
            Some(segment) => segment,
            None => prepare_segment(&self.shared.store, self.next_segment)?,
        };
        self.next_segment = segment.number().saturating_add(1);
        match self.spares.try_send(segment) {
            // The sequencer is gone: so is the need.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(segment)) => self.prepared = Some(segment),
        }
        Ok(())
    }

    fn store_tiles(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let files: Vec<_> = self.waiting.iter().map(FullTile::file).collect();
        self.shared.store.put_immutable(&files)?;
        let mut tail = self.shared.tail.write().unwrap_or_else(PoisonError::into_inner);
        for full in self.waiting.drain(..) {
            tail.release(full.tile);
            if full.tile.kind() == (TileKind::Hashes { level: 0 }) {
                self.kept = full.tile.tree_size();
            }
        }
        Ok(())
    }

    /// Oldest first, so that what is left never has a gap.
    fn delete_segments(&mut self) -> io::Result<()> {
        while let Some(oldest) = self.retired.pop_front_if(|oldest| oldest.size <= self.kept) {
            remove_segment(&self.shared.store, oldest.number)?;
        }
        Ok(())
    }
}
