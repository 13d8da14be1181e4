//! The thread behind the sequencer: stores full tiles, does the storage's upkeep, writes down how far the log is, and watches the
//! disk. Nothing here is on the way to an SCT.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::reach::is_away;
use crate::running::Shared;
use crate::storage::{FullTile, Upkeep, is_full};
use crate::threads::{Instant, Receiver};
use crate::tile::TileKind;

/// How often the free space is measured, and work that found no space is tried again.
const TICK: Duration = Duration::from_secs(1);

/// Full tiles that may wait for space, or for a place that is away, in bytes: some 130,000 entries of 2 KB. Beyond it the
/// sequencer waits, and the queue answers "busy".
const MAX_WAITING_BYTES: usize = 256 * 1024 * 1024;

/// Full tiles that are stored together: a place that fails again and again gets on all the same.
const TILES_AT_ONCE: usize = 64;

/// Work for the keeper, in the order in which the log made it.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Store these.
    Keep(Vec<FullTile>),
    /// The journal needs its upkeep.
    Tend,
}

/// How much waits for the keeper.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
}

impl Backlog {
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= MAX_WAITING_BYTES
    }

    /// To be called before the tiles are sent.
    pub(crate) fn add(&self, tiles: &[FullTile]) {
        let bytes = tiles.iter().map(|full| full.bytes.len()).sum();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, full: &FullTile) {
        self.bytes.fetch_sub(full.bytes.len(), Ordering::Relaxed);
    }
}

/// Owned by its thread.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    upkeep: Box<dyn Upkeep>,
    waiting: VecDeque<FullTile>,
    /// Entries in full, stored and verified tiles.
    kept: u64,
    /// When it was last written down how far the log is.
    remembered: Instant,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, upkeep: Box<dyn Upkeep>) -> Keeper {
        Keeper {
            shared,
            upkeep,
            waiting: VecDeque::new(),
            kept: 0,
            remembered: Instant::now(),
        }
    }

    /// Works until the sequencer is gone. What is left then is done by recovery.
    pub(crate) fn run(mut self, chores: &Receiver<Chore>) {
        loop {
            self.shared.guard.measure(&*self.shared.objects);
            match self.work() {
                Ok(()) => {}
                Err(error) if is_full(&error) => self.shared.guard.report_full(),
                Err(error) if is_away(&error) => self.shared.reach.report_away(&error),
                Err(error) => return self.shared.fail("store tiles", error),
            }
            match self.remember() {
                Ok(()) => {}
                Err(error) if is_full(&error) => self.shared.guard.report_full(),
                Err(error) => return self.shared.fail("write a high-water mark", error),
            }
            match chores.recv_timeout(TICK) {
                Ok(chore) => self.accept(chore),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(chore) = chores.try_recv() {
                self.accept(chore);
            }
        }
    }

    fn accept(&mut self, chore: Chore) {
        match chore {
            Chore::Keep(tiles) => self.waiting.extend(tiles),
            Chore::Tend => {}
        }
    }

    fn work(&mut self) -> io::Result<()> {
        // The sequencer may wait for it, so that comes first. Without space for it, tiles may make some.
        let prepared = match self.upkeep.prepare() {
            Err(error) if !is_full(&error) => return Err(error),
            prepared => prepared,
        };
        self.store_tiles()?;
        self.upkeep.tidy(self.kept)?;
        prepared
    }

    /// Not with every batch: what is acknowledged in between is written down when the log fails, and a CA has it on record.
    fn remember(&mut self) -> io::Result<()> {
        if self.remembered.elapsed() >= TICK {
            self.shared.remember_acknowledged()?;
            self.remembered = Instant::now();
        }
        Ok(())
    }

    fn store_tiles(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(TILES_AT_ONCE);
            let files: Vec<_> = self.waiting.iter().take(count).map(FullTile::file).collect();
            self.shared.objects.put_immutable(&files)?;
            let mut tail = self.shared.tail.write().unwrap_or_else(PoisonError::into_inner);
            for full in self.waiting.drain(..count) {
                tail.release(full.tile);
                self.shared.backlog.remove(&full);
                if full.tile.kind() == (TileKind::Hashes { level: 0 }) {
                    self.kept = full.tile.tree_size();
                }
            }
        }
        Ok(())
    }
}
