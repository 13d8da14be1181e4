//! The segments of the write-ahead log: made in advance, and deleted once tiles hold their entries.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;

use crate::threads::{Receiver, Sender, SyncSender};

use super::Upkeep;
use super::store::Store;
use super::wal::{Segment, segment_path};

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

    /// Oldest first, so that what is left never has a gap: one that could not be removed, on a file system that needs space for
    /// that, is tried again before the next.
    fn tidy(&mut self, kept: u64) -> io::Result<()> {
        self.retired.extend(self.retire.try_iter());
        while let Some(oldest) = self.retired.front().filter(|oldest| oldest.size <= kept) {
            match self.store.files().remove(&segment_path(oldest.number)) {
                // Removed before, when its directory could not be synced.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            self.store.files().sync_directory("wal")?;
            self.retired.pop_front();
        }
        Ok(())
    }
}

/// Creates a segment of zeros, durable with its name.
fn create(store: &Store, number: u64) -> io::Result<Segment> {
    let length = store.files().segment_bytes();
    let (temporary, file) = store.write_temporary_of(length, &[])?;
    store.files().rename(&temporary, &segment_path(number))?;
    store.files().sync_directory("wal")?;
    Ok(Segment { number, length, file })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::storage::files::{Files, OpenFile};
    use crate::storage::memory::Memory;
    use crate::threads::{channel, sync_channel};

    /// Files of a disk on which there is no space to remove one, while `full`.
    struct CopyOnWrite {
        memory: Memory,
        full: AtomicBool,
    }

    impl Files for CopyOnWrite {
        fn create(&self, path: &str, length: u64) -> io::Result<Box<dyn OpenFile>> {
            self.memory.create(path, length)
        }

        fn read(&self, path: &str) -> io::Result<Vec<u8>> {
            self.memory.read(path)
        }

        fn names(&self, directory: &str) -> io::Result<Vec<String>> {
            self.memory.names(directory)
        }

        fn make_directory(&self, path: &str) -> io::Result<()> {
            self.memory.make_directory(path)
        }

        fn link(&self, from: &str, to: &str) -> io::Result<()> {
            self.memory.link(from, to)
        }

        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.memory.rename(from, to)
        }

        fn remove(&self, path: &str) -> io::Result<()> {
            match self.full.load(Ordering::Relaxed) {
                true => Err(ErrorKind::StorageFull.into()),
                false => self.memory.remove(path),
            }
        }

        fn sync_directory(&self, path: &str) -> io::Result<()> {
            self.memory.sync_directory(path)
        }

        fn free_bytes(&self) -> io::Result<u64> {
            self.memory.free_bytes()
        }
    }

    #[test]
    fn a_segment_that_could_not_be_removed_goes_before_the_next() {
        let files = Arc::new(CopyOnWrite {
            memory: Memory::new(),
            full: AtomicBool::new(true),
        });
        for number in 0..3 {
            files.create(&segment_path(number), 1).unwrap();
        }
        let (spare, _spares) = sync_channel(1);
        let (retire, retired) = channel();
        let shared: Arc<dyn Files> = files.clone();
        let store = Arc::new(Store::new(shared));
        let mut segments = Segments::new(store, (spare, retired), 3);
        for number in 0..3 {
            retire.send(SegmentRetired { number, size: number }).unwrap();
        }
        let full = segments.tidy(1).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        files.full.store(false, Ordering::Relaxed);
        segments.tidy(1).unwrap();
        let left = files.names("wal").unwrap();
        assert_eq!(left, ["00000000000000000002"], "without a gap");
    }
}
