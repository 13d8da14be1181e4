//! The thread that signs checkpoints of the durable tree.

mod partials;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::dates::{ClockBehind, Dates};
use crate::key::KeyError;
use crate::leaf::UnixMillis;
use crate::reach::{Part, is_away};
use crate::running::Shared;
use crate::storage::{Head, OpenError, Replaced, is_full};
use crate::threads::{Condvar, Instant, Mutex, MutexGuard};
use crate::tree::Hash;

/// Shortest time between two checkpoints of a growing log.
const GROWING: Duration = Duration::from_millis(100);

/// Longest time between two checkpoints: a reader sees that the log lives.
const IDLE: Duration = Duration::from_secs(10);

/// Heads that are remembered, to compare another writer's checkpoint with: those of several checkpoints.
const MAX_RECENT_HEADS: usize = 1024;

/// The durable tree, what may be dated by it, and whether the log is shutting down.
#[derive(Debug)]
pub(crate) struct Durable {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    head: Head,
    dates: Dates,
    /// The last heads, the newest at the end.
    recent: VecDeque<(u64, Hash)>,
    stopping: Stopping,
    /// Whether the publisher waits for the tree to grow. Otherwise it waits for time to pass, and is not woken by every batch.
    idle: bool,
    /// Whether there is something new to show about the same tree.
    renewal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    Yes,
}

/// The newest checkpoint. It is stored already.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: Arc<str>,
}

impl Durable {
    pub(crate) fn new(head: Head, dates: Dates) -> Durable {
        Durable {
            state: Mutex::new(State {
                head,
                dates,
                recent: VecDeque::from([(head.size, head.root)]),
                stopping: Stopping::No,
                idle: false,
                renewal: false,
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.state().head
    }

    /// Dates a batch after the head. It is on its way until [`Durable::commit`] or [`Durable::settle`].
    pub(crate) fn date_batch(&self, now: UnixMillis) -> Result<UnixMillis, ClockBehind> {
        let mut state = self.state();
        let last = state.head.timestamp;
        state.dates.batch(last, now)
    }

    /// The head, and the time of a checkpoint of it. Nothing if there can be none at this moment.
    fn date_checkpoint(&self, now: UnixMillis) -> Option<(Head, UnixMillis)> {
        let mut state = self.state();
        let head = state.head;
        let date = state.dates.checkpoint(head.timestamp, now)?;
        Some((head, date))
    }

    /// Whether the clock is not behind what the log gave out.
    pub(crate) fn check_clock(&self, now: UnixMillis) -> Result<(), ClockBehind> {
        let state = self.state();
        state.dates.check_clock(state.head.timestamp, now)
    }

    /// There is a checkpoint of that time, of whichever writer.
    pub(crate) fn saw_checkpoint(&self, time: UnixMillis) {
        self.state().dates.saw_checkpoint(time);
    }

    /// The checkpoint that was dated last is not published, because of what another writer appended.
    fn overtaken(&self) {
        self.state().dates.overtaken();
    }

    /// No batch of this writer's is on its way: none was written, or what became of it is known.
    pub(crate) fn settle(&self) {
        self.state().dates.settle();
    }

    /// At that time this writer had all that others appended.
    pub(crate) fn followed(&self, until: UnixMillis) {
        self.state().dates.followed(until);
    }

    /// This writer's batch is durable.
    pub(crate) fn commit(&self, head: Head) {
        let mut state = self.state();
        state.dates.committed();
        self.move_to(head, state);
    }

    /// Another writer's batch is durable.
    pub(crate) fn take_over(&self, head: Head) {
        self.move_to(head, self.state());
    }

    fn move_to(&self, head: Head, mut state: MutexGuard<'_, State>) {
        state.head = head;
        if state.recent.len() >= MAX_RECENT_HEADS {
            state.recent.pop_front();
        }
        state.recent.push_back((head.size, head.root));
        if std::mem::take(&mut state.idle) {
            self.changed.notify_one();
        }
    }

    /// The root of the tree of that size, if it was a head lately.
    fn root_at(&self, size: u64) -> Option<Hash> {
        let state = self.state();
        let head = state.recent.iter().rev().find(|head| head.0 == size);
        head.map(|head| head.1)
    }

    /// Makes the publisher sign the same tree again soon.
    #[cfg(feature = "client")]
    pub(crate) fn renew(&self) {
        let mut state = self.state();
        state.renewal = true;
        state.idle = false;
        self.changed.notify_one();
    }

    /// Makes the publisher sign a last checkpoint and return.
    pub(crate) fn stop(&self) {
        self.state().stopping = Stopping::Yes;
        self.changed.notify_one();
    }

    /// Waits until a checkpoint is due.
    fn wait(&self, published: u64, last: Instant) -> (Head, Stopping) {
        let mut state = self.state();
        loop {
            state.idle = state.head.size <= published && !state.renewal;
            let interval = if state.idle { IDLE } else { GROWING };
            let left = interval.saturating_sub(last.elapsed());
            if state.stopping == Stopping::Yes || left.is_zero() {
                state.renewal = false;
                return (state.head, state.stopping);
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a checkpoint was not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the clock was set far ahead")]
    ClockAhead,
    /// A batch that was dated at the time of the last checkpoint is still on its way, or another writer's was dated before this one.
    #[error("there can be no checkpoint at this moment")]
    NotNow,
    /// Not published is better than not remembered.
    #[error("a high-water mark could not be written: {0}")]
    HighWater(#[source] io::Error),
}

/// Why a log does not start.
impl From<PublishError> for OpenError {
    fn from(error: PublishError) -> OpenError {
        let (doing, source) = match error {
            PublishError::Key(error) => return error.into(),
            PublishError::Io(error) => ("write a checkpoint", error),
            PublishError::ClockAhead | PublishError::NotNow => ("date a checkpoint", io::Error::other(error)),
            PublishError::HighWater(error) => ("write a high-water mark", error),
        };
        OpenError::Io { doing, source }
    }
}

/// Publishes until the log stops. A log that failed publishes no more.
pub(crate) fn run(shared: &Shared) {
    loop {
        let last = Instant::now();
        let (head, stopping) = shared.durable.wait(shared.published().checkpoint.size(), last);
        if shared.failure.is_set() {
            return;
        }
        if shared.lifecycle.is_closed() && head.size <= shared.published().checkpoint.size() {
            // Its last checkpoint stays the last.
            match stopping {
                Stopping::Yes => return,
                Stopping::No => continue,
            }
        }
        match publish(shared) {
            Ok(()) => {
                shared.guard.report_mark(false);
                shared.reach.report_there(Part::Entries);
                shared.reach.report_there(Part::Files);
            }
            Err(PublishError::Io(error)) if is_full(&error) => shared.guard.report_full(),
            Err(PublishError::Io(error)) if is_away(&error) => shared.reach.report_away(&error),
            Err(PublishError::Io(error)) => return shared.fail("write a checkpoint", error),
            // The tree waits with its checkpoint for the right time.
            Err(PublishError::ClockAhead | PublishError::NotNow) => {}
            // So do those whose SCTs it cannot sign either.
            Err(PublishError::Key(error @ KeyError::Remote)) => {
                shared.reach.report_away(&io::Error::other(error));
            }
            Err(PublishError::HighWater(error)) if is_full(&error) => shared.guard.report_mark(true),
            Err(PublishError::HighWater(error)) => return shared.fail("write a high-water mark", error),
            Err(PublishError::Key(error)) => {
                return shared.fail("sign a checkpoint", io::Error::other(error));
            }
        }
        if stopping == Stopping::Yes {
            return;
        }
    }
}

/// Signs the durable tree, and shows it to readers once it is in the directory. It is dated before anything else is done: what
/// becomes durable meanwhile has that time or a later one (C4).
pub(crate) fn publish(shared: &Shared) -> Result<(), PublishError> {
    let before = shared.published().checkpoint;
    let now = shared.steps.now(&*shared.clock).ok_or(PublishError::ClockAhead)?;
    let dated = shared.durable.date_checkpoint(now);
    let (head, timestamp) = dated.ok_or(PublishError::NotNow)?;
    if shared.objects.serves_partials() {
        partials::store(shared, before.size(), head.size)?;
    }
    let checkpoint = Checkpoint::new(head.size, head.root, timestamp);
    let note = checkpoint.sign(&shared.origin, &shared.key)?;
    remember(shared, &note).map_err(PublishError::HighWater)?;
    let note = shared.witnessing.complete(note, &shared.origin);
    match shared.objects.replace_checkpoint(&checkpoint, &note)? {
        Replaced::Yes => shared.set_published(Published {
            checkpoint,
            note: note.into(),
        }),
        Replaced::Newer(note) => adopt(shared, note),
        Replaced::Overtaken => {
            // The next one holds what came between, or is dated before it.
            shared.durable.overtaken();
            return Err(PublishError::NotNow);
        }
    }
    if shared.objects.serves_partials() {
        // Only this thread changes it; what could not be removed is tried again with the next checkpoint.
        partials::tidy(shared, shared.tidied.load(Ordering::Relaxed), head.size)?;
        shared.tidied.store(head.size, Ordering::Relaxed);
    }
    Ok(())
}

/// Before anybody sees the checkpoint. The tree is durable already, so that the mark is never ahead of what is recovered.
fn remember(shared: &Shared, note: &str) -> io::Result<()> {
    shared.marks.raise_published(note)
}

/// Shows readers the checkpoint of another writer, as far as this log has its entries.
fn adopt(shared: &Shared, note: String) {
    let checkpoint = match Checkpoint::verify(&note, &shared.origin, shared.key.public()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return shared.fail("read the checkpoint of another writer", io::Error::other(error)),
    };
    shared.durable.saw_checkpoint(checkpoint.timestamp());
    match shared.durable.root_at(checkpoint.size()) {
        Some(root) if root == checkpoint.root() => match remember(shared, &note) {
            Ok(()) => shared.set_published(Published {
                checkpoint,
                note: note.into(),
            }),
            Err(error) if is_full(&error) => shared.guard.report_mark(true),
            Err(error) => shared.fail("write a high-water mark", error),
        },
        Some(_) => shared.fail(
            "go on beside another writer",
            io::Error::other("its tree is another"),
        ),
        // Not followed so far yet, or long past.
        None => {}
    }
}
