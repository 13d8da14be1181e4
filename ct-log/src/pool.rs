//! Entries that wait for the sequencer: a bounded queue in which the CA has its own share.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::leaf::PendingEntry;
use crate::storage::Sequenced;
use crate::submission::{SubmitError, Submitter};
use crate::threads::{Condvar, Mutex, MutexGuard};

/// Most entries in one batch. With batches of 4 MiB it bounds how long an entry waits behind others.
const MAX_BATCH_ENTRIES: usize = 1024;

/// Most bytes in one batch; a record must fit a segment.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What a refused submitter is told to wait: the queue is worked off in far less.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An entry and who waits for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) entry: Arc<PendingEntry>,
    pub(crate) from: Submitter,
    pub(crate) answer: oneshot::Sender<Result<Sequenced, SubmitError>>,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Most entries in the queue.
    capacity: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// How many of them are external: at most a quarter of the capacity.
    external: usize,
    closed: bool,
}

impl Pool {
    pub(crate) fn new(capacity: usize) -> Pool {
        let queue = Queue {
            waiting: VecDeque::new(),
            external: 0,
            closed: false,
        };
        Pool {
            capacity,
            queue: Mutex::new(queue),
            changed: Condvar::new(),
        }
    }

    /// Queues an entry, or says at once why not.
    pub(crate) fn push(&self, waiting: Waiting) -> Result<(), SubmitError> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(SubmitError::Unavailable);
        }
        let external = usize::from(waiting.from == Submitter::External);
        let external = queue.external.saturating_add(external);
        let over_share = waiting.from == Submitter::External && external > self.capacity / 4;
        if over_share || queue.waiting.len() >= self.capacity {
            return Err(SubmitError::Busy {
                retry_after: RETRY_AFTER,
            });
        }
        queue.external = external;
        queue.waiting.push_back(waiting);
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for entries, at most that long, and takes as many as fit one batch. Nothing once the pool is closed and empty.
    pub(crate) fn take_batch(&self, at_most: Option<Duration>) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            let Some(at_most) = at_most else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.changed.wait_timeout(queue, at_most);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            if timeout.timed_out() {
                break;
            }
        }
        let mut bytes = 0usize;
        let fits = |waiting: &Waiting| {
            bytes = bytes.saturating_add(waiting.entry.weight());
            bytes <= MAX_BATCH_BYTES
        };
        let count = queue
            .waiting
            .iter()
            .take(MAX_BATCH_ENTRIES)
            .map(fits)
            .take_while(|fits| *fits)
            .count();
        let batch: Vec<_> = queue.waiting.drain(..count).collect();
        let external = batch
            .iter()
            .filter(|waiting| waiting.from == Submitter::External)
            .count();
        queue.external = queue.external.saturating_sub(external);
        Some(batch)
    }

    /// Takes no more entries. Those in the queue are still worked off.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.changed.notify_all();
    }

    /// How many entries of the CA in this process wait, and how many from outside.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let queue = self.queue();
        let internal = queue.waiting.len().saturating_sub(queue.external);
        (internal, queue.external)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue().closed
    }

    /// Takes no more entries, and answers all that wait: the log failed.
    pub(crate) fn abandon(&self) {
        self.close();
        let waiting = std::mem::take(&mut self.queue().waiting);
        for waiting in waiting {
            // A submitter that went away needs no answer.
            let _ = waiting.answer.send(Err(SubmitError::Unavailable));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
