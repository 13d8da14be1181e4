//! How the threads of a log start and end, and what they share.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::checkpoint::Origin;
use crate::clock::{Clock, Steps};
use crate::dates::{Dates, Others};
use crate::failure::Failure;
use crate::guard::DiskGuard;
use crate::high_water::{self, Marks};
use crate::index::{Follower, Index, Place};
use crate::keeper::{Backlog, Keeper};
use crate::key::{LogKey, LogPublicKey};
use crate::lifecycle::Lifecycle;
use crate::pool::Pool;
use crate::publish::{self, Durable, PublishError, Published};
use crate::reach::Reach;
use crate::release::Release;
use crate::scrub::{self, Scrub};
use crate::sequencer::Sequencer;
use crate::settings::LogSettings;
use crate::statistics::CommitClock;
use crate::storage::{
    self, Head, Journal, LockFile, Objects, OpenError, Opened, Opening, RecordBuffer, Storage, StoredLog,
    StoredParts, Tail, Upkeep,
};
use crate::threads::{self, JoinHandle, Mutex, channel};
use crate::tree::Frontier;
use crate::witness::Witnessing;

/// What a log runs on.
pub(crate) struct Platform {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What the handle and the threads of a log share. Locks are held for moments, and never across a write to the disk.
pub(crate) struct Shared {
    pub(crate) origin: Origin,
    pub(crate) key: LogKey,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) steps: Steps,
    pub(crate) guard: Arc<DiskGuard>,
    pub(crate) reach: Reach,
    pub(crate) scrub: Scrub,
    pub(crate) marks: Marks,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) failure: Failure,
    pub(crate) pool: Pool,
    /// Raised by the sequencer, lowered by the keeper.
    pub(crate) backlog: Backlog,
    pub(crate) commits: CommitClock,
    /// Written by the sequencer and the keeper.
    pub(crate) tail: RwLock<Tail>,
    /// Written by the sequencer.
    pub(crate) durable: Durable,
    /// For the publisher: the partial tiles that full ones replaced are removed for a checkpoint of that many entries.
    pub(crate) tidied: AtomicU64,
    pub(crate) index: Index,
    pub(crate) release: Release,
    pub(crate) witnessing: Witnessing,
    /// Written by the publisher. Never ahead of `durable`.
    published: watch::Sender<Arc<Published>>,
}

impl Shared {
    /// Poisons the log: nothing more is written, and nobody gets an SCT any more. What was acknowledged is remembered before the
    /// process is told to end: the storage may have lost it, and the next start must know.
    pub(crate) fn fail(&self, doing: &'static str, error: io::Error) {
        self.pool.abandon();
        if let Err(error) = self.remember_acknowledged() {
            tracing::error!(%error, "the log could not write down how far it was before it failed");
        }
        self.failure.set(doing, error);
        self.pool.abandon();
    }

    /// Writes the tree that was acknowledged or taken over down outside of the storage, where there is a place for that.
    pub(crate) fn remember_acknowledged(&self) -> io::Result<()> {
        let head = self.durable.head();
        self.marks.raise_acknowledged(&head)?;
        self.objects.remember(&head)
    }

    /// Closes the log if its time is over; for the sequencer alone. The clock is asked only if that matters.
    pub(crate) fn close_if_due(&self) {
        if self.lifecycle.window().is_some() {
            self.lifecycle.close_if_due(self.clock.now());
        }
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    pub(crate) fn set_published(&self, published: Published) {
        self.published.send_replace(Arc::new(published));
    }

    /// To be told of every checkpoint that is published from now on.
    pub(crate) fn watch_published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }
}

/// A log with its threads. Stopped when dropped.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    /// Nothing if the log is only read.
    writers: Option<Writers>,
    index: JoinHandle<()>,
    /// Nothing if the storage is not this log's alone: who keeps it for several looks after it.
    scrub: Option<JoinHandle<()>>,
    /// Held until no thread writes any more.
    locks: Vec<LockFile>,
}

struct Writers {
    sequencer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    publisher: JoinHandle<()>,
    #[cfg(feature = "client")]
    witnesses: JoinHandle<()>,
}

impl Writers {
    fn start(
        shared: &Arc<Shared>,
        (journal, head, frontier): (Box<dyn Journal>, Head, Frontier),
        upkeep: Box<dyn Upkeep>,
    ) -> Result<Writers, OpenError> {
        let (chores, to_do) = channel();
        let sequencer = Sequencer {
            shared: Arc::clone(shared),
            journal,
            chores,
            head,
            frontier,
            buffer: RecordBuffer::new(),
        };
        let keeper = Keeper::new(Arc::clone(shared), upkeep);
        Ok(Writers {
            keeper: spawn("ct-log-keeper", shared, move || keeper.run(&to_do))?,
            sequencer: spawn("ct-log-sequencer", shared, move || sequencer.run())?,
            publisher: spawn("ct-log-publisher", shared, {
                let shared = Arc::clone(shared);
                move || publish::run(&shared)
            })?,
            #[cfg(feature = "client")]
            witnesses: spawn("ct-log-witnesses", shared, {
                let shared = Arc::clone(shared);
                move || crate::witness::run(&shared)
            })?,
        })
    }
}

/// What the files hold, if it is of this log and not behind what was seen of it.
fn recover(
    storage: Box<dyn Storage>,
    settings: &LogSettings,
    key: &LogPublicKey,
    (clock, guard): (&dyn Clock, &Arc<DiskGuard>),
) -> Result<Opened, OpenError> {
    let opening = Opening {
        origin: &settings.origin,
        key,
        clock,
        guard: Arc::clone(guard),
    };
    let opened = storage.open(opening);
    let mut opened = opened.map_err(|error| error.in_directory(&settings.directory))?;
    for mark in &settings.high_water {
        mark.check(&mut opened, (&settings.origin, key))?;
    }
    high_water::check_given_out(&opened, &settings.given_out, key)?;
    let newest = opened.published.checkpoint.timestamp();
    let newest = newest.max(opened.journal.newest_checkpoint().unwrap_or(newest));
    storage::check_clock(newest, clock.now())?;
    guard.measure(&*opened.objects);
    Ok(opened)
}

impl Running {
    /// Recovers what the files hold, publishes a fresh checkpoint, and starts the threads.
    pub(crate) fn start(
        platform: Platform,
        settings: LogSettings,
        key: LogKey,
    ) -> Result<Running, OpenError> {
        let Platform { storage, clock } = platform;
        let began = clock.now();
        let steps = Steps::watch(&*clock);
        let guard = Arc::new(DiskGuard::new(settings.min_free_bytes));
        let Opened {
            head,
            frontier,
            tail,
            published,
            objects,
            journal,
            upkeep,
            locks,
        } = recover(storage, &settings, key.public(), (&*clock, &guard))?;
        let log_id = key.public().log_id();
        let witnessing = Witnessing::resume(settings.witnesses, &published.note);
        let alone = journal.look_every().is_none();
        let others = match alone {
            true => Others::None,
            false => Others::FollowedUntil(began),
        };
        let mut dates = Dates::new(published.checkpoint.timestamp(), others);
        if let Some(time) = journal.newest_checkpoint() {
            dates.saw_checkpoint(time);
        }
        let shared = Arc::new(Shared {
            origin: settings.origin,
            key,
            objects,
            clock,
            guard,
            reach: Reach::default(),
            scrub: Scrub::default(),
            steps,
            marks: Marks::new(settings.high_water, log_id),
            lifecycle: Lifecycle::new(settings.window),
            failure: Failure::none(),
            pool: Pool::new(settings.queue_entries),
            backlog: Backlog::default(),
            commits: CommitClock::new(),
            tail: RwLock::new(tail),
            durable: Durable::new(head, dates),
            tidied: AtomicU64::new(published.checkpoint.size()),
            index: Index::new(),
            release: settings.release,
            witnessing,
            published: watch::Sender::new(Arc::new(published)),
        });
        match publish::publish(&shared) {
            // The publisher comes to it, as soon as what others append is followed.
            Ok(()) | Err(PublishError::NotNow) => {}
            Err(error) => return Err(error.into()),
        }
        // The sequencer, which decides it otherwise, is not there yet.
        shared.close_if_due();
        let follower = Follower::new(Arc::clone(&shared), settings.index);
        let threads = Threads {
            writers: Some(Writers::start(&shared, (journal, head, frontier), upkeep)?),
            index: spawn("ct-log-index", &shared, move || follower.run())?,
            scrub: alone.then(|| scrub(&shared, settings.scrub_every)).transpose()?,
            locks,
        };
        Ok(Running {
            shared,
            threads: Mutex::new(Some(threads)),
        })
    }

    /// A log that is only read: no lock, and no thread but that of the index, which is in memory unless another file than the one
    /// in the directory is named for it.
    pub(crate) fn read_only(
        stored: StoredLog,
        settings: LogSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Running, OpenError> {
        let index = match settings.index {
            Place::File(path) if path.starts_with(&settings.directory) => Place::Memory,
            place => place,
        };
        let StoredParts {
            objects,
            key,
            published,
            tail,
        } = stored.into_parts();
        let checkpoint = published.checkpoint;
        let steps = Steps::watch(&*clock);
        let head = Head {
            size: checkpoint.size(),
            root: checkpoint.root(),
            timestamp: checkpoint.timestamp(),
        };
        let shared = Arc::new(Shared {
            origin: settings.origin,
            key: LogKey::public_only(key),
            objects,
            clock,
            guard: Arc::new(DiskGuard::new(0)),
            reach: Reach::default(),
            scrub: Scrub::default(),
            steps,
            marks: Marks::none(),
            lifecycle: Lifecycle::closed(settings.window),
            failure: Failure::none(),
            pool: Pool::new(0),
            backlog: Backlog::default(),
            commits: CommitClock::new(),
            tail: RwLock::new(tail),
            durable: Durable::new(head, Dates::new(checkpoint.timestamp(), Others::None)),
            tidied: AtomicU64::new(checkpoint.size()),
            index: Index::new(),
            release: Release::DURABLE,
            witnessing: Witnessing::none(),
            published: watch::Sender::new(Arc::new(published)),
        });
        shared.pool.close();
        let follower = Follower::new(Arc::clone(&shared), index);
        let threads = Threads {
            writers: None,
            index: spawn("ct-log-index", &shared, move || follower.run())?,
            scrub: Some(scrub(&shared, settings.scrub_every)?),
            locks: Vec::new(),
        };
        Ok(Running {
            shared,
            threads: Mutex::new(Some(threads)),
        })
    }

    /// Ends the threads in the order of the data: entries, tiles, checkpoint; then releases the lock. Whoever calls it
    /// meanwhile waits for the same end.
    pub(crate) fn stop(&self) {
        self.shared.pool.close();
        let mut running = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Threads {
            writers,
            index,
            scrub,
            locks,
        }) = running.take()
        else {
            return;
        };
        // A thread that panicked has poisoned the log; the locks are released all the same.
        if let Some(writers) = writers {
            let _ = writers.sequencer.join();
            let _ = writers.keeper.join();
            self.shared.durable.stop();
            let _ = writers.publisher.join();
            if let Err(error) = self.shared.remember_acknowledged() {
                tracing::error!(%error, "the log could not write down how far it was");
            }
            self.shared.witnessing.stop();
            #[cfg(feature = "client")]
            let _ = writers.witnesses.join();
        }
        self.shared.index.stop();
        let _ = index.join();
        self.shared.scrub.stop();
        if let Some(scrub) = scrub {
            let _ = scrub.join();
        }
        drop(locks);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn scrub(shared: &Arc<Shared>, every: Duration) -> Result<JoinHandle<()>, OpenError> {
    let shared = Arc::clone(shared);
    let guarded = move || {
        if panic::catch_unwind(AssertUnwindSafe(|| scrub::run(&shared, every))).is_err() {
            tracing::error!("the log goes on, but is not audited any more: the audit panicked");
        }
    };
    threads::start("ct-log-scrub", guarded).map_err(storage::io_error("start a thread"))
}

/// A thread without which the log cannot go on: if it panics, the log has failed, or submitters would wait for ever.
fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let shared = Arc::clone(shared);
    let guarded = move || {
        if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
            shared.fail("go on", io::Error::other("one of its threads panicked"));
        }
    };
    threads::start(name, guarded).map_err(storage::io_error("start a thread"))
}
