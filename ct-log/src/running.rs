//! How the threads of a log start and end, and what they share.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::{io, thread};

use crate::checkpoint::Origin;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::guard::DiskGuard;
use crate::keeper::{Keeper, MAX_CHORES};
use crate::key::LogKey;
use crate::pool::Pool;
use crate::publish::{self, Durable, PublishError, Published};
use crate::sequencer::Sequencer;
use crate::settings::LogSettings;
use crate::storage::{
    self, Files, Head, LockFile, OpenError, RecordBuffer, Recovered, Recovery, Store, Tail, WalStart,
};
use crate::tree::Frontier;

/// What a log runs on.
pub(crate) struct Platform {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lock: Option<LockFile>,
}

/// What the handle and the threads of a log share. Locks are held for moments, and never across a write to the disk.
pub(crate) struct Shared {
    pub(crate) origin: Origin,
    pub(crate) key: LogKey,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) guard: Arc<DiskGuard>,
    pub(crate) failure: Failure,
    pub(crate) pool: Pool,
    /// Written by the sequencer and the keeper.
    pub(crate) tail: RwLock<Tail>,
    /// Written by the sequencer.
    pub(crate) durable: Durable,
    /// Written by the publisher. Never ahead of `durable`.
    published: RwLock<Arc<Published>>,
}

impl Shared {
    /// Poisons the log: nothing more is written, and nobody gets an SCT any more.
    pub(crate) fn fail(&self, doing: &'static str, error: io::Error) {
        self.failure.set(doing, error);
        self.pool.abandon();
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_published(&self, published: Published) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(published);
    }
}

/// A log with its threads. Stopped when dropped.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    sequencer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    publisher: JoinHandle<()>,
    /// Held until no thread writes any more.
    lock: Option<LockFile>,
}

impl Running {
    /// Recovers what the files hold, publishes a fresh checkpoint, and starts the threads.
    pub(crate) fn start(
        platform: Platform,
        settings: LogSettings,
        key: LogKey,
    ) -> Result<Running, OpenError> {
        let LogSettings {
            directory,
            origin,
            queue_entries,
            min_free_bytes,
        } = settings;
        let Platform { files, clock, lock } = platform;
        let store = Store::new(files);
        let recovery = Recovery {
            store: &store,
            origin: &origin,
            key: key.public(),
            now: clock.now(),
        };
        let recovered = recovery.run().map_err(|error| error.in_directory(&directory))?;
        let Recovered {
            tail,
            frontier,
            head,
            published,
            wal,
        } = recovered;
        let guard = Arc::new(DiskGuard::new(min_free_bytes));
        guard.measure(store.files());
        let shared = Arc::new(Shared {
            origin,
            key,
            store,
            clock,
            guard,
            failure: Failure::none(),
            pool: Pool::new(queue_entries),
            tail: RwLock::new(tail),
            durable: Durable::new(head),
            published: RwLock::new(Arc::new(published)),
        });
        publish::publish(&shared, &head).map_err(|error| match error {
            PublishError::Key(error) => OpenError::Key(error),
            PublishError::Io(error) => storage::io_error("write a checkpoint")(error),
        })?;
        let threads = Threads::spawn(&shared, wal, (head, frontier), lock)?;
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
            sequencer,
            keeper,
            publisher,
            lock,
        }) = running.take()
        else {
            return;
        };
        // A thread that panicked has poisoned the log; the lock is released all the same.
        let _ = sequencer.join();
        let _ = keeper.join();
        self.shared.durable.stop();
        let _ = publisher.join();
        drop(lock);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Threads {
    fn spawn(
        shared: &Arc<Shared>,
        wal: WalStart,
        (head, frontier): (Head, Frontier),
        lock: Option<LockFile>,
    ) -> Result<Threads, OpenError> {
        let (chores, to_do) = sync_channel(MAX_CHORES);
        let (spares, supply) = sync_channel(1);
        let keeper = Keeper::new(Arc::clone(shared), spares, wal.next_segment());
        let wal = wal.start(supply, Arc::clone(&shared.guard));
        let (publisher, all) = (Arc::clone(shared), Arc::clone(shared));
        let shared = Arc::clone(shared);
        let sequencer = Sequencer {
            shared,
            wal,
            chores,
            head,
            frontier,
            buffer: RecordBuffer::new(),
        };
        Ok(Threads {
            keeper: spawn("ct-log-keeper", Arc::clone(&all), move || keeper.run(&to_do))?,
            sequencer: spawn("ct-log-sequencer", Arc::clone(&all), move || sequencer.run())?,
            publisher: spawn("ct-log-publisher", all, move || publish::run(&publisher))?,
            lock,
        })
    }
}

/// A thread without which the log cannot go on: if it panics, the log has failed, or submitters would wait for ever.
fn spawn(
    name: &str,
    shared: Arc<Shared>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let guarded = move || {
        if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
            shared.fail("go on", io::Error::other("one of its threads panicked"));
        }
    };
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(guarded).map_err(storage::io_error("start a thread"))
}
