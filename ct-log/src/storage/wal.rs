//! The write-ahead log: one record per batch, durable before anybody hears of it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::guard::DiskGuard;
use crate::threads::{channel, sync_channel};

use super::files::OpenFile;
use super::record::{Batch, Chain, Header, Kind, RecordBuffer};
use super::segments::{SegmentRetired, SegmentSupply, Segments};
use super::store::Store;
use super::{CommitError, Committed, Head, Journal, Turn};

/// Room for further records in the segment that recovery writes: little, because it is filled with zeros before the log
/// opens.
const ROOM_AFTER_SNAPSHOT: u64 = 1024 * 1024;

/// How often a sequencer that waits for a segment looks whether the disk is full.
const SEGMENT_WAIT: Duration = Duration::from_millis(100);

/// A preallocated file for records.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) file: Box<dyn OpenFile>,
}

pub(super) fn segment_path(number: u64) -> String {
    format!("wal/{number:020}")
}

/// The writer. There is one, owned by the sequencer.
pub(super) struct Wal {
    chain: Chain,
    segment: Segment,
    /// Where the next record begins.
    offset: u64,
    segments: SegmentSupply,
    guard: Arc<DiskGuard>,
}

impl Wal {
    /// Writes the entries of `snapshot` as the first record of a new segment, and only then gives that segment its name: it
    /// supersedes all segments before it.
    pub(super) fn begin(
        store: &Store,
        number: u64,
        header: Header,
        mut snapshot: RecordBuffer,
    ) -> io::Result<WalStart> {
        let (bytes, hash) = snapshot.seal(&header);
        let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = ROOM_AFTER_SNAPSHOT.min(store.files().segment_bytes());
        let length = offset.saturating_add(room);
        let (temporary, file) = store.write_temporary_of(length, bytes)?;
        store.files().rename(&temporary, &segment_path(number))?;
        store.files().sync_directory("wal")?;
        let chain = header.chain.next(hash);
        Ok(WalStart {
            chain,
            segment: Segment { number, length, file },
            offset,
        })
    }

    /// Puts a new file with these records in the place of a segment. It is durable when this returns.
    pub(super) fn write_again(store: &Store, number: u64, records: &[u8]) -> io::Result<()> {
        let (temporary, _) = store.write_temporary(records)?;
        store.files().rename(&temporary, &segment_path(number))?;
        store.files().sync_directory("wal")
    }

    /// Goes on to the next segment if the record does not fit this one, which is given back then. It is needed until there is
    /// a record in the next: the last one says how the log goes on.
    fn make_room(&mut self, span: u64, size: u64) -> Result<Option<SegmentRetired>, CommitError> {
        if self.offset.saturating_add(span) <= self.segment.length {
            return Ok(None);
        }
        let next = self.wait_for_segment()?;
        if span > next.length {
            let message = "a batch is larger than a segment";
            return Err(CommitError::Failed(io::Error::other(message)));
        }
        let retired = SegmentRetired {
            number: self.segment.number,
            size,
        };
        self.segment = next;
        self.offset = 0;
        Ok(Some(retired))
    }

    fn wait_for_segment(&self) -> Result<Segment, CommitError> {
        loop {
            match self.segments.spares.recv_timeout(SEGMENT_WAIT) {
                Ok(segment) => return Ok(segment),
                Err(RecvTimeoutError::Timeout) if self.guard.is_low() => return Err(CommitError::DiskFull),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let message = "no segment can be prepared any more";
                    return Err(CommitError::Failed(io::Error::other(message)));
                }
            }
        }
    }
}

/// Its one writer holds the lock of the directory: nobody else appends.
impl Journal for Wal {
    fn look_every(&self) -> Option<Duration> {
        None
    }

    fn missed(&mut self, _size: u64, _turn: Turn) -> Result<Vec<Batch>, CommitError> {
        Ok(Vec::new())
    }

    fn commit(
        &mut self,
        buffer: &mut RecordBuffer,
        from: &Head,
        to: &Head,
    ) -> Result<Committed, CommitError> {
        let span = u64::try_from(buffer.span()).unwrap_or(u64::MAX);
        let retired = self.make_room(span, from.size)?;
        let header = Header {
            kind: Kind::Batch,
            chain: self.chain,
            first_index: from.size,
            previous_root: from.root,
            head: *to,
        };
        let (bytes, hash) = buffer.seal(&header);
        self.segment
            .file
            .write_at(bytes, self.offset)
            .map_err(CommitError::Failed)?;
        self.segment.file.sync().map_err(CommitError::Failed)?;
        self.chain = self.chain.next(hash);
        self.offset = self.offset.saturating_add(span);
        let committed = Committed::after_sync(from, to);
        Ok(match retired {
            None => committed,
            Some(retired) => {
                self.segments.retire(retired);
                committed.and_needs_upkeep()
            }
        })
    }

    fn pass(&mut self) {}
}

/// A write-ahead log whose first segment is durable, before it is given its supply of further ones.
pub(super) struct WalStart {
    chain: Chain,
    segment: Segment,
    offset: u64,
}

impl WalStart {
    /// The writer, and what supplies it with segments.
    pub(super) fn start(self, store: Arc<Store>, guard: Arc<DiskGuard>) -> (Wal, Segments) {
        let (spare, spares) = sync_channel(1);
        let (retire, retired) = channel();
        let next = self.segment.number.saturating_add(1);
        let wal = Wal {
            chain: self.chain,
            segment: self.segment,
            offset: self.offset,
            segments: SegmentSupply { spares, retire },
            guard,
        };
        (wal, Segments::new(store, (spare, retired), next))
    }
}

impl Chain {
    /// What the record after the one with that hash carries.
    pub(super) fn next(self, hash: [u8; 32]) -> Chain {
        Chain {
            number: self.number.saturating_add(1),
            previous: hash,
            ..self
        }
    }
}
