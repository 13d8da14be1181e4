//! Appending: one conditional write for each batch (C3, C16).

use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::leaf::UnixMillis;
use crate::storage::record::{Batch, Chain, Header, Kind, Record, RecordBuffer};
use crate::storage::shared::Link;
use crate::storage::{CommitError, Committed, Head, Journal, Turn};

use super::bucket::{Bucket, Object, Put};
use super::layout::commit_key;

/// How often an idle writer looks for batches of others. Each look is a request that is paid for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Most batches that are read before the sequencer takes them over.
const MAX_MISSED: usize = 64;

/// Owned by the sequencer.
pub(super) struct CommitObjects {
    bucket: Bucket,
    /// What the next batch must carry.
    link: Link,
    /// Random at each start: two writers with the same entry at the same time write different bytes.
    incarnation: [u8; 16],
    view: View,
    /// The newest time that this writer remembered at its start.
    remembered: Option<UnixMillis>,
}

/// What this writer believes about the next key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// It is free. If not, the write is refused: nothing is lost by trying.
    Free,
    /// Somebody wrote it, or a write of this writer's own may get there yet. To be read before anything is written.
    Doubtful,
}

/// Batches that were read, and what holds once the sequencer has taken them over.
struct Missed {
    batches: Vec<Batch>,
    link: Link,
    view: View,
}

impl CommitObjects {
    pub(super) fn new(bucket: Bucket, link: Link, incarnation: [u8; 16]) -> CommitObjects {
        CommitObjects {
            bucket,
            link,
            incarnation,
            view: View::Free,
            remembered: None,
        }
    }

    /// The same of a writer that remembers to have given out that time.
    pub(super) fn dated_after(self, remembered: Option<UnixMillis>) -> CommitObjects {
        CommitObjects { remembered, ..self }
    }

    fn read_missed(&self, size: u64) -> Result<Missed, CommitError> {
        let mut missed = Missed {
            batches: Vec::new(),
            link: self.link,
            view: self.view,
        };
        let mut next = size;
        while missed.batches.len() < MAX_MISSED {
            // Not repeated: whoever waits for it is told so at once, and the sequencer comes again.
            let found = self.bucket.get_once(&commit_key(next));
            let Some(batch) = found.and_then(|found| decode(found, next)).map_err(unread)? else {
                missed.view = View::Free;
                break;
            };
            let link = missed.link.next(&batch);
            missed.link = link.ok_or_else(|| CommitError::Failed(misplaced(next)))?;
            next = batch.header.head.size;
            missed.batches.push(batch);
        }
        Ok(missed)
    }

    /// Writes until it is known what lies under the key. A repeated write is of the same bytes: whichever of them takes effect,
    /// and however late, it is this batch or none.
    fn write(&mut self, key: &str, bytes: &[u8]) -> Result<(), CommitError> {
        let mut attempts = self.bucket.attempts();
        loop {
            let error = match self.bucket.create(key, bytes) {
                Put::Done { .. } => {
                    self.view = View::Free;
                    return Ok(());
                }
                // Of this batch nothing is on the way: no need to wait for anything.
                Put::Unsent(error) if self.view == View::Free => return Err(CommitError::Unreachable(error)),
                Put::Unsent(error) | Put::Unknown(error) => error,
                Put::Refused => io::Error::other(format!("{key} is taken, but is not there")),
            };
            self.view = View::Doubtful;
            match self.bucket.get(key) {
                Ok(Some(found)) if found.bytes == bytes => {
                    self.view = View::Free;
                    return Ok(());
                }
                Ok(Some(_)) => return Err(CommitError::Behind),
                // Refused and not there: another write is in progress, or the store forgets. Neither makes the place ours.
                Ok(None) if attempts.pause() => tracing::debug!(key, %error, "writing a batch again"),
                Ok(None) => return Err(CommitError::Unreachable(error)),
                Err(error) => return Err(CommitError::Unreachable(error)),
            }
        }
    }
}

impl Journal for CommitObjects {
    fn look_every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    /// To take a turn needs no look: that another writer was first shows when the batch is refused.
    ///
    /// All or nothing: after an error the sequencer asks for the same batches again.
    fn missed(&mut self, size: u64, turn: Turn) -> Result<Vec<Batch>, CommitError> {
        if turn == Turn::Take && self.view == View::Free {
            return Ok(Vec::new());
        }
        let Missed { batches, link, view } = self.read_missed(size)?;
        self.link = link;
        self.view = view;
        Ok(batches)
    }

    fn commit(
        &mut self,
        buffer: &mut RecordBuffer,
        from: &Head,
        to: &Head,
    ) -> Result<Committed, CommitError> {
        let header = Header {
            kind: Kind::Batch,
            chain: Chain {
                log_id: self.link.log_id,
                epoch: 0,
                incarnation: self.incarnation,
                number: self.link.number,
                previous: self.link.previous,
            },
            first_index: from.size,
            previous_root: from.root,
            head: *to,
        };
        let (bytes, hash) = buffer.seal_compact(&header);
        self.write(&commit_key(from.size), bytes)?;
        self.link = self.link.after(hash);
        Ok(Committed::after_sync(from, to))
    }

    fn pass(&mut self) {}

    fn newest_checkpoint(&self) -> Option<UnixMillis> {
        self.remembered
    }
}

/// The batch that begins with that entry, or nothing if there is none yet.
pub(super) fn read_batch(bucket: &Bucket, first_index: u64) -> io::Result<Option<Batch>> {
    decode(bucket.get(&commit_key(first_index))?, first_index)
}

fn decode(object: Option<Object>, first_index: u64) -> io::Result<Option<Batch>> {
    let Some(object) = object else { return Ok(None) };
    let record = Record::decode(&object.bytes).map_err(|_| misplaced(first_index))?;
    let header = &record.header;
    let fits =
        header.kind == Kind::Batch && header.first_index == first_index && header.head.size > first_index;
    if fits {
        Ok(Some(record.into()))
    } else {
        Err(misplaced(first_index))
    }
}

fn misplaced(first_index: u64) -> io::Error {
    let key = commit_key(first_index);
    io::Error::new(
        ErrorKind::InvalidData,
        format!("{key} is not the batch that belongs there"),
    )
}

/// Bytes that are not a batch are damage; everything else passes.
fn unread(error: io::Error) -> CommitError {
    if error.kind() == ErrorKind::InvalidData {
        CommitError::Failed(error)
    } else {
        CommitError::Unreachable(error)
    }
}
