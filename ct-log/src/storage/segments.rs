//! The segments of the write-ahead log: made in advance, and deleted once tiles hold their entries.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError};

use super::Upkeep;
use super::store::Store;
use super::wal::{Segment, segment_path};

/// Length of a segment in bytes. It holds two batches of the greatest size, or 2,048 of the smallest.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// A segment to which nothing more is written: it can go once the first `size` entries are in tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentRetired {
    pub(super) number: u64,
    pub(super) size: u64,
}

/// The writer's end.
pub(super) struct SegmentSupply {
    /// Made in advance, so that a full disk is noticed before a batch is under way.
    pub(super) spares: Receiver<Segment>,
    pub(super) retire: Sender<SegmentRetired>,
}

impl SegmentSupply {
    pub(super) fn retire(&self, retired: SegmentRetired) {
        // Without the other end the log has failed already, and says so to the next batch.
        let _ = self.retire.send(retired);
    }
}

/// The other end.
pub(super) struct Segments {
    store: Arc<Store>,
    spare: SyncSender<Segment>,
    /// A segment that the writer has no use for yet.
    prepared: Option<Segment>,
    next: u64,
    retire: Receiver<SegmentRetired>,
    retired: VecDeque<SegmentRetired>,
}

impl Segments {
    pub(super) fn new(
        store: Arc<Store>,
        (spare, retire): (SyncSender<Segment>, Receiver<SegmentRetired>),
        next: u64,
    ) -> Segments {
        Segments {
            store,
            spare,
            prepared: None,
            next,
            retire,
            retired: VecDeque::new(),
        }
    }
}

impl Upkeep for Segments {
    fn prepare(&mut self) -> io::Result<()> {
        let segment = match self.prepared.take() {
            Some(segment) => segment,
            None => create(&self.store, self.next)?,
        };
        self.next = segment.number.saturating_add(1);
        match self.spare.try_send(segment) {
            // The writer is gone: so is the need.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(segment)) => self.prepared = Some(segment),
        }
        Ok(())
    }

    /// Oldest first, so that what is left never has a gap.
    fn tidy(&mut self, kept: u64) -> io::Result<()> {
        self.retired.extend(self.retire.try_iter());
        while let Some(oldest) = self.retired.pop_front_if(|oldest| oldest.size <= kept) {
            self.store.files().remove(&segment_path(oldest.number))?;
            self.store.files().sync_directory("wal")?;
        }
        Ok(())
    }
}

/// Creates a segment of zeros, durable with its name.
fn create(store: &Store, number: u64) -> io::Result<Segment> {
    let (temporary, file) = store.write_temporary_of(SEGMENT_BYTES, &[])?;
    store.files().rename(&temporary, &segment_path(number))?;
    store.files().sync_directory("wal")?;
    Ok(Segment {
        number,
        length: SEGMENT_BYTES,
        file,
    })
}
