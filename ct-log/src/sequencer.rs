//! The one thread that owns the tree. It takes whatever waits, makes it one durable batch, and answers. There is no timer:
//! what arrives while one batch is being synced is the next batch.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::keeper::Chore;
use crate::leaf::{LeafIndex, Position, SequencedEntry, UnixMillis};
use crate::pool::{RETRY_AFTER, Waiting};
use crate::reach::Part;
use crate::running::Shared;
use crate::storage::{Batch, CommitError, Committed, FullTile, Head, Header, Journal, RecordBuffer, Turn};
use crate::submission::SubmitError;
use crate::threads::{self, Instant, Sender};
use crate::tree::{Frontier, Hash};

/// How often a batch is tried again because another writer's came first.
const MAX_TURNS: usize = 16;

/// How often a log with a window looks at the clock while no entries come.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);

/// How long another writer's checkpoints may be newer than an entry that they do not hold: half of the 60 s within which every entry
/// is to be merged (C2SP static-ct-api). A writer that stood still for longer while it wrote a batch gives out no SCT for it.
const MAX_COMMIT: Duration = Duration::from_secs(30);

/// How often a sequencer that is too far ahead of the keeper looks whether it has caught up.
const KEEPER_WAIT: Duration = Duration::from_millis(100);

/// Owned by its thread. `head` and `frontier` are the durable tree; they move on only after a commit.
pub(crate) struct Sequencer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) chores: Sender<Chore>,
    pub(crate) head: Head,
    pub(crate) frontier: Frontier,
    pub(crate) buffer: RecordBuffer,
}

/// A batch as it is written: the tree after it, and the leaf hash and end of each of its entries in the buffer.
struct Encoded {
    growth: Growth,
    accepted: Vec<Waiting>,
}

/// Entries at the end of the tree: the tree after them, and the leaf hash of each and where its `TileLeaf` ends.
struct Growth {
    frontier: Frontier,
    leaves: Vec<(Hash, usize)>,
}

impl Sequencer {
    /// Works until the pool is closed and empty, or the log failed.
    pub(crate) fn run(mut self) {
        while let Some(batch) = self.shared.pool.take_batch(self.patience()) {
            if self.shared.failure.is_set() {
                refuse(batch, &SubmitError::Unavailable);
                break;
            }
            if batch.is_empty() {
                self.follow();
            } else {
                self.sequence(batch);
            }
        }
        self.shared.pool.abandon();
    }

    /// How long to wait for entries before looking at what comes by itself: other writers' entries, the end of the log's time.
    fn patience(&self) -> Option<Duration> {
        let lifecycle = &self.shared.lifecycle;
        let closing = lifecycle.window().filter(|_| !lifecycle.is_closed());
        let closing = closing.map(|_| LOOK_AT_CLOCK);
        self.journal.look_every().into_iter().chain(closing).min()
    }

    fn follow(&mut self) {
        self.shared.close_if_due();
        if let Err(error) = self.catch_up(Turn::Look) {
            self.give_up(Vec::new(), error);
        }
    }

    fn sequence(&mut self, mut batch: Vec<Waiting>) {
        for _ in 0..MAX_TURNS {
            match self.append(batch) {
                Ok(()) => return,
                Err(behind) => batch = behind,
            }
        }
        let retry_after = RETRY_AFTER;
        refuse(batch, &SubmitError::Busy { retry_after });
    }

    /// Answers the entries, or gives them back because another writer came first.
    fn append(&mut self, batch: Vec<Waiting>) -> Result<(), Vec<Waiting>> {
        if let Err(error) = self.catch_up(Turn::Take) {
            return self.give_up_unless_behind(batch, error);
        }
        let Some(now) = self.shared.steps.now(&*self.shared.clock) else {
            self.journal.pass();
            refuse(batch, &SubmitError::ClockAhead);
            return Ok(());
        };
        if self.shared.lifecycle.close_if_due(now) {
            self.journal.pass();
            refuse(batch, &SubmitError::ReadOnly);
            return Ok(());
        }
        let dated = self.shared.clock.steady();
        let Ok(timestamp) = self.shared.durable.date_batch(now) else {
            self.journal.pass();
            refuse(batch, &SubmitError::ClockBehind);
            return Ok(());
        };
        let Encoded { growth, accepted } = self.encode(batch, timestamp);
        if accepted.is_empty() {
            self.shared.durable.settle();
            self.journal.pass();
            return Ok(());
        }
        let head = growth.head(timestamp);
        let began = Instant::now();
        match self.journal.commit(&mut self.buffer, &self.head, &head) {
            Ok(committed) => {
                self.shared.commits.add(began.elapsed());
                let completed = self.extend_tail(&growth.leaves, self.buffer.body());
                self.head = head;
                self.frontier = growth.frontier;
                self.shared.durable.commit(head);
                self.shared.reach.report_there(Part::Entries);
                self.answer(accepted, &committed, dated);
                self.keep(completed);
                if committed.needs_upkeep() {
                    self.send(Chore::Tend);
                }
                Ok(())
            }
            Err(error) => {
                if !error.is_in_doubt() {
                    self.shared.durable.settle();
                }
                self.give_up_unless_behind(accepted, error)
            }
        }
    }

    /// `dated` is when, by the steady clock, the entries were.
    fn answer(&self, accepted: Vec<Waiting>, committed: &Committed, dated: Duration) {
        let took = self.shared.clock.steady().saturating_sub(dated);
        if took > MAX_COMMIT && self.journal.look_every().is_some() {
            let seconds = took.as_secs();
            tracing::error!(
                seconds,
                "a batch took too long: other writers' checkpoints may be newer, so that no SCT is given out for it"
            );
            return refuse(accepted, &SubmitError::Unreachable);
        }
        answer(accepted, committed);
    }

    fn give_up_unless_behind(&self, batch: Vec<Waiting>, error: CommitError) -> Result<(), Vec<Waiting>> {
        if let CommitError::Behind = error {
            return Err(batch);
        }
        self.give_up(batch, error);
        Ok(())
    }

    fn give_up(&self, batch: Vec<Waiting>, error: CommitError) {
        let answer = match error {
            CommitError::Behind => return,
            CommitError::DiskFull => SubmitError::DiskFull,
            CommitError::Unreachable(error) => {
                self.shared.reach.report_away(&error);
                SubmitError::Unreachable
            }
            CommitError::Failed(error) => {
                self.shared.fail("write an entry", error);
                SubmitError::Unavailable
            }
        };
        refuse(batch, &answer);
    }

    /// Takes over what other writers appended.
    fn catch_up(&mut self, turn: Turn) -> Result<(), CommitError> {
        let began = self.shared.clock.now();
        let missed = self.journal.missed(self.head.size, turn)?;
        let is_all = turn == Turn::Look && missed.is_empty();
        for batch in missed {
            let unfit =
                || CommitError::Failed(io::Error::other("another writer's batch does not fit the tree"));
            let growth = self.read(&batch).ok_or_else(unfit)?;
            let completed = self.extend_tail(&growth.leaves, &batch.body);
            self.head = batch.header.head;
            self.frontier = growth.frontier;
            self.shared.durable.take_over(self.head);
            self.keep(completed);
        }
        let durable = &self.shared.durable;
        // A batch of this writer's own of which nothing was known is among them, or is not there.
        durable.settle();
        if let Some(time) = self.journal.newest_checkpoint() {
            durable.saw_checkpoint(time);
        }
        if is_all {
            durable.followed(began);
        }
        Ok(())
    }

    /// Nothing if the batch does not continue this tree.
    fn read(&self, batch: &Batch) -> Option<Growth> {
        let Header {
            first_index,
            previous_root,
            head,
            ..
        } = batch.header;
        let mut growth = Growth::after(&self.frontier);
        let mut times = self.head.timestamp;
        let mut body = batch.body.as_slice();
        while !body.is_empty() {
            let (entry, rest) = SequencedEntry::decode(body).ok()?;
            if entry.index().get() != growth.frontier.size() || entry.timestamp() < times {
                return None;
            }
            times = entry.timestamp();
            growth.push(entry.leaf_hash().ok()?, batch.body.len().checked_sub(rest.len())?);
            body = rest;
        }
        let follows = first_index == self.head.size && previous_root == self.head.root;
        (follows && times <= head.timestamp && growth.head(head.timestamp) == head).then_some(growth)
    }

    fn encode(&mut self, batch: Vec<Waiting>, timestamp: UnixMillis) -> Encoded {
        self.buffer.clear();
        let mut growth = Growth::after(&self.frontier);
        let mut accepted = Vec::new();
        for waiting in batch {
            let start = self.buffer.body_length();
            let Some(index) = LeafIndex::new(growth.frontier.size()) else {
                refuse(vec![waiting], &SubmitError::Unavailable);
                continue;
            };
            let position = Position { index, timestamp };
            match waiting.entry.put_tile_leaf(position, self.buffer.body_mut()) {
                Ok(hash) => {
                    growth.push(hash, self.buffer.body_length());
                    accepted.push(waiting);
                }
                Err(too_large) => {
                    self.buffer.truncate_body(start);
                    refuse(vec![waiting], &too_large.into());
                }
            }
        }
        Encoded { growth, accepted }
    }

    /// Shows durable entries to readers; returns the tiles that they completed.
    fn extend_tail(&self, leaves: &[(Hash, usize)], body: &[u8]) -> Vec<FullTile> {
        let mut completed = Vec::new();
        let mut tail = self.shared.tail.write().unwrap_or_else(PoisonError::into_inner);
        let mut start = 0;
        for (hash, end) in leaves {
            let tile_leaf = body.get(start..*end).unwrap_or_default();
            tail.push(*hash, tile_leaf, &mut completed);
            start = *end;
        }
        tail.hold(&completed);
        completed
    }

    fn keep(&self, completed: Vec<FullTile>) {
        if completed.is_empty() {
            return;
        }
        let shared = &self.shared;
        // What is left at the end is done by recovery.
        while shared.backlog.is_full() && !shared.failure.is_set() && !shared.pool.is_closed() {
            threads::sleep(KEEPER_WAIT);
        }
        shared.backlog.add(&completed);
        self.send(Chore::Keep(completed));
    }

    fn send(&self, chore: Chore) {
        // Without its keeper the log has failed already, and says so to the next batch.
        let _ = self.chores.send(chore);
    }
}

impl Growth {
    fn after(frontier: &Frontier) -> Growth {
        Growth {
            frontier: frontier.clone(),
            leaves: Vec::new(),
        }
    }

    fn push(&mut self, leaf: Hash, end: usize) {
        self.frontier.push(leaf);
        self.leaves.push((leaf, end));
    }

    fn head(&self, timestamp: UnixMillis) -> Head {
        Head {
            size: self.frontier.size(),
            root: self.frontier.root(),
            timestamp,
        }
    }
}

fn answer(accepted: Vec<Waiting>, committed: &Committed) {
    for (waiting, sequenced) in accepted.into_iter().zip(committed.entries()) {
        // A submitter that went away has an entry without having its SCT.
        let _ = waiting.answer.send(Ok(sequenced));
    }
}

fn refuse(batch: Vec<Waiting>, error: &SubmitError) {
    for waiting in batch {
        // A submitter that went away needs no answer.
        let _ = waiting.answer.send(Err(error.clone()));
    }
}
