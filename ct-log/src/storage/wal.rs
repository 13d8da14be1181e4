//! The write-ahead log: one record per batch, durable before anybody hears of it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::guard::DiskGuard;
use crate::leaf::{LeafIndex, Position, UnixMillis};

use super::Head;
use super::files::OpenFile;
use super::record::{Chain, Header, Kind, RecordBuffer};
use super::store::Store;

/// Length of a segment in bytes. It holds two batches of the greatest size, or 2,048 of the smallest.
pub(crate) const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// Room for further records in the segment that recovery writes: little, because it is filled with zeros before the log
/// opens.
const ROOM_AFTER_SNAPSHOT: u64 = 1024 * 1024;

/// How often a sequencer that waits for a segment looks whether the disk is full.
const SEGMENT_WAIT: Duration = Duration::from_millis(100);

/// The position of one entry that is durable in the write-ahead log. Nothing else makes one, and only one of these can be
/// signed (C3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    position: Position,
}

impl Sequenced {
    pub(crate) fn position(&self) -> Position {
        self.position
    }
}

/// A batch that is durable.
#[derive(Debug)]
pub(crate) struct Committed {
    first_index: u64,
    size: u64,
    timestamp: UnixMillis,
}

impl Committed {
    /// The entries of the batch, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Sequenced> {
        let timestamp = self.timestamp;
        let indices = (self.first_index..self.size).map_while(LeafIndex::new);
        indices.map(move |index| Sequenced {
            position: Position { index, timestamp },
        })
    }
}

/// A preallocated file for records.
pub(crate) struct Segment {
    number: u64,
    length: u64,
    file: Box<dyn OpenFile>,
}

impl Segment {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

/// A segment to which nothing more is written: it can go once the first `size` entries are in tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRetired {
    pub(crate) number: u64,
    pub(crate) size: u64,
}

/// Why a batch was not committed.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// There is no space for another segment. Nothing was written; the log goes on.
    DiskFull,
    /// Nothing is known about the batch, and nothing more may be written.
    Failed(io::Error),
}

pub(crate) fn segment_path(number: u64) -> String {
    format!("wal/{number:020}")
}

/// Creates a segment of zeros, durable with its name.
pub(crate) fn prepare_segment(store: &Store, number: u64) -> io::Result<Segment> {
    let (temporary, file) = store.write_temporary_of(SEGMENT_BYTES, &[])?;
    store.files().rename(&temporary, &segment_path(number))?;
    store.files().sync_directory("wal")?;
    Ok(Segment {
        number,
        length: SEGMENT_BYTES,
        file,
    })
}

/// Deletes a segment whose entries are all in stored tiles.
pub(crate) fn remove_segment(store: &Store, number: u64) -> io::Result<()> {
    store.files().remove(&segment_path(number))?;
    store.files().sync_directory("wal")
}

/// The writer. There is one, owned by the sequencer.
pub(crate) struct Wal {
    chain: Chain,
    segment: Segment,
    /// Where the next record begins.
    offset: u64,
    /// Segments made in advance, so that a full disk is noticed before a batch is under way.
    spares: Receiver<Segment>,
    guard: Arc<DiskGuard>,
}

impl Wal {
    /// Writes the entries of `snapshot` as the first record of a new segment, and only then gives that segment its name: it
    /// supersedes all segments before it.
    pub(crate) fn begin(
        store: &Store,
        number: u64,
        header: Header,
        mut snapshot: RecordBuffer,
    ) -> io::Result<WalStart> {
        let (bytes, hash) = snapshot.seal(&header);
        let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let length = offset.saturating_add(ROOM_AFTER_SNAPSHOT);
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

    /// Writes one batch: `buffer` holds its entries, `from` and `to` are the tree before and after it. On return it is
    /// durable, or the log has failed, or nothing happened.
    pub(crate) fn commit(
        &mut self,
        buffer: &mut RecordBuffer,
        from: &Head,
        to: &Head,
    ) -> Result<(Committed, Option<SegmentRetired>), CommitError> {
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
        let committed = Committed {
            first_index: from.size,
            size: to.size,
            timestamp: to.timestamp,
        };
        Ok((committed, retired))
    }

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
            match self.spares.recv_timeout(SEGMENT_WAIT) {
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

/// A write-ahead log whose first segment is durable, before it is given its supply of further ones.
pub(crate) struct WalStart {
    chain: Chain,
    segment: Segment,
    offset: u64,
}

impl WalStart {
    /// Number of the segment after the first.
    pub(crate) fn next_segment(&self) -> u64 {
        self.segment.number.saturating_add(1)
    }

    pub(crate) fn start(self, spares: Receiver<Segment>, guard: Arc<DiskGuard>) -> Wal {
        let WalStart {
            chain,
            segment,
            offset,
        } = self;
        Wal {
            chain,
            segment,
            offset,
            spares,
            guard,
        }
    }
}

impl Chain {
    /// What the record after the one with that hash carries.
    pub(crate) fn next(self, hash: [u8; 32]) -> Chain {
        Chain {
            number: self.number.saturating_add(1),
            previous: hash,
            ..self
        }
    }
}
