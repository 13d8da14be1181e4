//! The thread that signs checkpoints of the durable tree.

mod partials;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::key::KeyError;
use crate::leaf::UnixMillis;
use crate::reach::{Part, is_away};
use crate::running::Shared;
use crate::storage::{Head, Replaced, is_full};
use crate::tree::Hash;

/// Shortest time between two checkpoints of a growing log.
const GROWING: Duration = Duration::from_millis(100);

/// Longest time between two checkpoints: a reader sees that the log lives.
const IDLE: Duration = Duration::from_secs(10);

/// Heads that are remembered, to compare another writer's checkpoint with: those of several checkpoints.
const MAX_RECENT_HEADS: usize = 1024;

/// The durable tree, and whether the log is shutting down.
#[derive(Debug)]
pub(crate) struct Durable {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    head: Head,
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
    pub(crate) fn new(head: Head) -> Durable {
        Durable {
            state: Mutex::new(State {
                head,
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

    pub(crate) fn advance(&self, head: Head) {
        let mut state = self.state();
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
    /// Not published is better than not remembered.
    #[error("a high-water mark could not be written: {0}")]
    HighWater(#[source] io::Error),
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
        match publish(shared, &head) {
            Ok(()) => [Part::Entries, Part::Files]
                .into_iter()
                .for_each(|part| shared.reach.report_there(part)),
            Err(PublishError::Io(error)) if is_full(&error) => shared.guard.report_full(),
            Err(PublishError::Io(error)) if is_away(&error) => shared.reach.report_away(&error),
            Err(PublishError::Io(error)) => return shared.fail("write a checkpoint", error),
            // The tree waits with its checkpoint for the right time.
            Err(PublishError::ClockAhead) => {}
            // So do those whose SCTs it cannot sign either.
            Err(PublishError::Key(error @ KeyError::Remote)) => {
                shared.reach.report_away(&io::Error::other(error));
            }
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

/// Signs that tree, which is durable, and shows it to readers once it is in the directory. Its time is later than that of
/// every checkpoint before, and not before any of its entries (C4).
pub(crate) fn publish(shared: &Shared, head: &Head) -> Result<(), PublishError> {
    let before = shared.published().checkpoint;
    if shared.objects.serves_partials() {
        partials::store(shared, before.size(), head.size)?;
    }
    let after = UnixMillis::new(before.timestamp().get().saturating_add(1));
    let now = shared.steps.now(&*shared.clock).ok_or(PublishError::ClockAhead)?;
    let timestamp = now.max(after).max(head.timestamp);
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
    }
    if shared.objects.serves_partials() {
        partials::tidy(shared, before.size(), head.size)?;
    }
    Ok(())
}

/// Before anybody sees the checkpoint. The tree is durable already, so that the mark is never ahead of what is recovered.
fn remember(shared: &Shared, note: &str) -> io::Result<()> {
    shared.high_water.iter().try_for_each(|mark| mark.raise(note))
}

/// Shows readers the checkpoint of another writer, as far as this log has its entries.
fn adopt(shared: &Shared, note: String) {
    let checkpoint = match Checkpoint::verify(&note, &shared.origin, shared.key.public()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return shared.fail("read the checkpoint of another writer", io::Error::other(error)),
    };
    match shared.durable.root_at(checkpoint.size()) {
        Some(root) if root == checkpoint.root() => match remember(shared, &note) {
            Ok(()) => shared.set_published(Published {
                checkpoint,
                note: note.into(),
            }),
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
