//! The one thread that owns the tree. It takes whatever waits, makes it one durable batch, and answers. There is no timer:
//! what arrives while one batch is being synced is the next batch.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};

use crate::keeper::Chore;
use crate::leaf::{LeafIndex, Position, UnixMillis};
use crate::pool::Waiting;
use crate::running::Shared;
use crate::storage::{CLOCK_TOLERANCE_MS, CommitError, Committed, Head, RecordBuffer, Wal};
use crate::submission::SubmitError;
use crate::tree::{Frontier, Hash};

/// Owned by its thread. `head` and `frontier` are the durable tree; they move on only after a commit.
pub(crate) struct Sequencer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wal: Wal,
    pub(crate) chores: SyncSender<Chore>,
    pub(crate) head: Head,
    pub(crate) frontier: Frontier,
    pub(crate) buffer: RecordBuffer,
}

/// A batch as it is written: the tree after it, and the leaf hash and end of each of its entries in the buffer.
struct Encoded {
    frontier: Frontier,
    leaves: Vec<(Hash, usize)>,
    accepted: Vec<Waiting>,
}

impl Sequencer {
    /// Works until the pool is closed and empty, or the log failed.
    pub(crate) fn run(mut self) {
        while let Some(batch) = self.shared.pool.take_batch() {
            if self.shared.failure.is_set() {
                refuse(batch, &SubmitError::Unavailable);
                break;
            }
            self.sequence(batch);
        }
        self.shared.pool.abandon();
    }

    fn sequence(&mut self, batch: Vec<Waiting>) {
        let now = self.shared.clock.now();
        if self.head.timestamp.get().saturating_sub(now.get()) > CLOCK_TOLERANCE_MS {
            return refuse(batch, &SubmitError::ClockBehind);
        }
        let timestamp = now.max(self.head.timestamp);
        let encoded = self.encode(batch, timestamp);
        let (size, root) = (encoded.frontier.size(), encoded.frontier.root());
        if encoded.accepted.is_empty() {
            return;
        }
        let head = Head {
            size,
            root,
            timestamp,
        };
        match self.wal.commit(&mut self.buffer, &self.head, &head) {
            Ok((committed, retired)) => {
                self.advance(head, encoded, &committed);
                if let Some(retired) = retired {
                    self.send(Chore::Retire(retired));
                }
            }
            Err(CommitError::DiskFull) => refuse(encoded.accepted, &SubmitError::DiskFull),
            Err(CommitError::Failed(error)) => {
                self.shared.fail("write an entry", error);
                refuse(encoded.accepted, &SubmitError::Unavailable);
            }
        }
    }

    fn encode(&mut self, batch: Vec<Waiting>, timestamp: UnixMillis) -> Encoded {
        self.buffer.clear();
        let mut encoded = Encoded {
            frontier: self.frontier.clone(),
            leaves: Vec::new(),
            accepted: Vec::new(),
        };
        for waiting in batch {
            let start = self.buffer.body_length();
            let Some(index) = LeafIndex::new(encoded.frontier.size()) else {
                refuse(vec![waiting], &SubmitError::Unavailable);
                continue;
            };
            let position = Position { index, timestamp };
            match waiting.entry.put_tile_leaf(position, self.buffer.body_mut()) {
                Ok(hash) => {
                    encoded.frontier.push(hash);
                    encoded.leaves.push((hash, self.buffer.body_length()));
                    encoded.accepted.push(waiting);
                }
                Err(too_large) => {
                    self.buffer.truncate_body(start);
                    refuse(vec![waiting], &too_large.into());
                }
            }
        }
        encoded
    }

    /// The batch is durable: moves the tree on, wakes the waiters, hands full tiles on.
    fn advance(&mut self, head: Head, encoded: Encoded, committed: &Committed) {
        let mut completed = Vec::new();
        let mut tail = self.shared.tail.write().unwrap_or_else(PoisonError::into_inner);
        let mut start = 0;
        for (hash, end) in encoded.leaves {
            let tile_leaf = self.buffer.body().get(start..end).unwrap_or_default();
            tail.push(hash, tile_leaf, &mut completed);
            start = end;
        }
        tail.hold(&completed);
        drop(tail);
        self.head = head;
        self.frontier = encoded.frontier;
        self.shared.durable.advance(head);
        for (waiting, sequenced) in encoded.accepted.into_iter().zip(committed.entries()) {
            // A submitter that went away has an entry without having its SCT.
            let _ = waiting.answer.send(Ok(sequenced));
        }
        if !completed.is_empty() {
            self.send(Chore::Keep(completed));
        }
    }

    fn send(&self, chore: Chore) {
        // Without its keeper the log has failed already, and says so to the next batch.
        let _ = self.chores.send(chore);
    }
}

fn refuse(batch: Vec<Waiting>, error: &SubmitError) {
    for waiting in batch {
        // A submitter that went away needs no answer.
        let _ = waiting.answer.send(Err(error.clone()));
    }
}
