//! The handle that everybody uses.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use tokio::sync::oneshot;

use crate::backend;
use crate::checkpoint::{Checkpoint, Origin};
use crate::clock::{Clock, SystemClock};
use crate::dates::ClockBehind;
use crate::failure::WriteFailure;
use crate::issuers::{IssuerChain, Issuers};
use crate::key::{LogKey, LogPublicKey};
use crate::leaf::{Entry, EntryTooLarge, MAX_ENTRY_BYTES, PendingEntry};
use crate::lifecycle::{Phase, Window};
use crate::pool::Waiting;
use crate::reach::is_away;
use crate::receipts::Receipts;
use crate::recent::{Answer, Recent};
use crate::running::{Platform, Running, Shared};
use crate::sct::Sct;
use crate::settings::LogSettings;
use crate::statistics::Statistics;
use crate::storage::{
    self, Disk, Files, Memory, OpenError, Sequenced, Storage, StorageError, Store, StoredLog,
};
use crate::submission::{SubmitError, Submitter, Unavailable};
use crate::threads;
use crate::tree::leaf_hash;

/// A Certificate Transparency log. Cheap to clone; all clones are the same log. When the last one goes, the log is shut down
/// as by [`Log::shutdown`].
#[derive(Clone)]
pub struct Log {
    open: Arc<Open>,
}

struct Open {
    running: Running,
    issuers: Issuers,
    recent: Recent,
    /// For an auditor, once there is one.
    receipts: OnceLock<Receipts>,
}

impl Log {
    /// Whether [`Log::create`] can make a log there, as far as that can be known before. To be asked before the key is made: a key
    /// without a log is refused for good.
    ///
    /// # Errors
    /// The place is not empty, or cannot be used.
    pub fn check_vacant(settings: &LogSettings) -> Result<(), OpenError> {
        settings.check_sct_after()?;
        backend::check_vacant(settings)
    }

    /// Birth: makes a log in an empty place; directories are created if need be. To be called only by the action that generated
    /// the key: a log that is created twice for one key is a fork.
    ///
    /// # Errors
    /// The place is not empty, or cannot be written.
    pub fn create(settings: LogSettings, key: LogKey) -> Result<Log, OpenError> {
        settings.check_sct_after()?;
        for mark in &settings.high_water {
            mark.begin()?;
        }
        let storage = backend::create(&settings, &key)?;
        Log::start(Platform::now(storage), settings, key)
    }

    /// Opens an existing log. This is recovery, whatever ended the log before, and returns once a fresh checkpoint is published.
    ///
    /// # Errors
    /// There is no log in the directory, it is another key's, it is open already, it is damaged, or the clock is behind.
    pub fn open(settings: LogSettings, key: LogKey) -> Result<Log, OpenError> {
        settings.check_sct_after()?;
        let storage = backend::open(&settings)?;
        Log::start(Platform::now(storage), settings, key)
    }

    /// Opens a log to be read only: one whose time is over, or whose writer is stopped. It is what the directory published last.
    /// Nothing is written or locked, and no private key is needed. Its index is made in memory, about 200 bytes for each entry, unless
    /// [`LogSettings::index_file`] names a file outside the directory.
    ///
    /// # Errors
    /// There is no log in the directory, it is another key's or has another name, or it is damaged.
    pub fn open_read_only(settings: LogSettings, key: Option<&LogPublicKey>) -> Result<Log, OpenError> {
        let stored = StoredLog::read(&settings.directory)?;
        stored.check(&settings.origin, key)?;
        let running = Running::read_only(stored, settings, Arc::new(SystemClock))?;
        let log = Log::of(running);
        log.open.issuers.close();
        Ok(log)
    }

    /// Whose log a directory says that it holds: the public key and the name in its `log.json`. Nothing else is read, and the log
    /// may be running meanwhile.
    ///
    /// # Errors
    /// [`OpenError::Absent`] without that file, or it is damaged.
    pub fn identify(directory: &Path) -> Result<(LogPublicKey, Origin), OpenError> {
        storage::identify(directory)
    }

    /// A log that lives as long as the process: the same code on files in memory.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn in_memory(origin: Origin, key: LogKey) -> Result<Log, OpenError> {
        let files: Arc<dyn Files> = Arc::new(Memory::new());
        storage::create(&Store::new(Arc::clone(&files)), &origin, &key, SystemClock.now())?;
        let memory = Disk {
            files,
            mirror: None,
            lock: None,
        };
        let settings = LogSettings::new("", origin).index_in_memory();
        Log::start(Platform::now(Box::new(memory)), settings, key)
    }

    pub(crate) fn start(platform: Platform, settings: LogSettings, key: LogKey) -> Result<Log, OpenError> {
        Running::start(platform, settings, key).map(Log::of)
    }

    fn of(running: Running) -> Log {
        let (issuers, recent) = (Issuers::new(), Recent::new());
        Log {
            open: Arc::new(Open {
                running,
                issuers,
                recent,
                receipts: OnceLock::new(),
            }),
        }
    }

    /// The log's public key and id.
    pub fn public_key(&self) -> &LogPublicKey {
        self.shared().key.public()
    }

    /// The log's name in its checkpoints.
    pub fn origin(&self) -> &Origin {
        &self.shared().origin
    }

    /// The notAfter times that the log takes; nothing if it takes all.
    pub fn window(&self) -> Option<&Window> {
        self.shared().lifecycle.window()
    }

    /// Where the log stands in its life, by its clock.
    pub fn phase(&self) -> Phase {
        let shared = self.shared();
        shared.lifecycle.phase(&*shared.clock)
    }

    /// The last tree head of all, once the log is read-only (C13).
    pub fn final_checkpoint(&self) -> Option<Checkpoint> {
        let shared = self.shared();
        let closed = shared.lifecycle.is_closed();
        let (published, size) = (shared.published().checkpoint, self.size());
        (closed && published.size() >= size).then_some(published)
    }

    /// Stores issuer certificates and gives the value that entries carry. `chain` is DER, the leaf's issuer first, the root
    /// last. Blocks on the disk the first time it sees a certificate.
    ///
    /// # Errors
    /// The write failed, or the log is shut down. After a failed write, unless for want of space or because the storage is
    /// away, the log is poisoned.
    pub fn store_issuers(&self, chain: &[&[u8]]) -> Result<IssuerChain, StorageError> {
        let shared = self.shared();
        let stored = self.open.issuers.store(&*shared.objects, chain);
        stored.map_err(|source| {
            let refused = source.kind() == io::ErrorKind::InvalidInput || shared.pool.is_closed();
            if !refused && !storage::is_full(&source) && !is_away(&source) {
                let copy = io::Error::new(source.kind(), source.to_string());
                shared.fail("store an issuer", copy);
            }
            StorageError {
                doing: "store an issuer",
                source,
            }
        })
    }

    /// Logs an entry: sequenced and durable before this returns. Dropped early, the entry may be logged nevertheless.
    ///
    /// # Errors
    /// See [`SubmitError`]. Only after [`SubmitError::Unavailable`] and [`SubmitError::Unreachable`] the entry may be in the log
    /// all the same.
    pub async fn submit(&self, entry: PendingEntry, from: Submitter) -> Result<Sct, SubmitError> {
        if self.phase() == Phase::ReadOnly {
            return Err(SubmitError::ReadOnly);
        }
        if from == Submitter::Internal {
            let entry = Arc::new(entry);
            let sequenced = self.sequence(&entry, from).await?;
            return self.release(entry.entry(), &sequenced).await;
        }
        let answer = self.open.recent.answer(entry.entry());
        // A task of its own: an impatient submitter must not undo what a concurrent duplicate waits for.
        let log = self.clone();
        let submission = async move {
            let once = || log.sequence_once(Arc::new(entry), &answer);
            answer.sct.get_or_try_init(once).await.cloned()
        };
        threads::detached(submission)
            .await
            .unwrap_or(Err(SubmitError::Unavailable))
    }

    async fn sequence_once(&self, entry: Arc<PendingEntry>, answer: &Answer) -> Result<Sct, SubmitError> {
        let shared = self.shared();
        if shared.pool.is_closed() {
            return Err(SubmitError::Unavailable);
        }
        if !answer.place.initialized()
            && let Some(sct) = self.logged_before(entry.entry()).await?
        {
            return Ok(sct);
        }
        let place = || self.sequence(&entry, Submitter::External);
        let sequenced = answer.place.get_or_try_init(place).await?;
        let sct = self.release(entry.entry(), sequenced).await?;
        shared
            .index
            .keep_signature(sct.leaf_index().get(), sct.signature());
        Ok(sct)
    }

    async fn sequence(&self, entry: &Arc<PendingEntry>, from: Submitter) -> Result<Sequenced, SubmitError> {
        let shared = self.shared();
        if entry.weight() > MAX_ENTRY_BYTES {
            return Err(EntryTooLarge.into());
        }
        if shared.guard.is_low() {
            return Err(SubmitError::DiskFull);
        }
        let (answer, sequenced) = oneshot::channel();
        shared.pool.push(Waiting {
            entry: Arc::clone(entry),
            from,
            answer,
        })?;
        sequenced.await.unwrap_or(Err(SubmitError::Unavailable))
    }

    /// The SCT, once it may be signed.
    pub(crate) async fn release(&self, entry: &Entry, sequenced: &Sequenced) -> Result<Sct, SubmitError> {
        let (shared, position) = (self.shared(), sequenced.position());
        let releasable = shared.release.wait(sequenced, shared).await?;
        let sct = Sct::sign(entry, &releasable, &shared.key)
            .await
            .map_err(|error| {
                tracing::error!(%error, index = position.index.get(), "cannot sign an SCT");
                SubmitError::Unavailable
            })?;
        if let Some(receipts) = self.open.receipts.get() {
            receipts.keep(
                position.index.get(),
                leaf_hash(&[&entry.merkle_tree_leaf(position)?]),
            );
        }
        Ok(sct)
    }

    /// Remembers from now on what SCTs are given out for, until an [`Auditor`](crate::auditor::Auditor) has found it.
    pub(crate) fn keep_receipts(&self) {
        self.open.receipts.get_or_init(Receipts::new);
    }

    pub(crate) fn receipts(&self) -> Option<&Receipts> {
        self.open.receipts.get()
    }

    /// Whether the log takes entries now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn health(&self) -> Result<(), Unavailable> {
        let shared = self.shared();
        if let Some(failure) = shared.failure.get() {
            return Err(failure.into());
        }
        self.check_clock()?;
        if self.phase() == Phase::ReadOnly {
            return Err(Unavailable::ReadOnly);
        }
        if shared.pool.is_closed() {
            return Err(Unavailable::ShutDown);
        }
        if shared.guard.is_low() {
            return Err(Unavailable::DiskFull);
        }
        if shared.reach.is_away() {
            return Err(Unavailable::Unreachable);
        }
        Ok(())
    }

    fn check_clock(&self) -> Result<(), Unavailable> {
        let shared = self.shared();
        let now = shared.steps.now(&*shared.clock).ok_or(Unavailable::ClockAhead)?;
        let checked = shared.durable.check_clock(now);
        checked.map_err(|ClockBehind| Unavailable::ClockBehind)
    }

    /// Number of durable entries. The published checkpoint may be a little behind.
    pub fn size(&self) -> u64 {
        self.shared().durable.head().size
    }

    /// How the log is doing.
    pub fn statistics(&self) -> Statistics {
        let shared = self.shared();
        let (internal_waiting, external_waiting) = shared.pool.waiting();
        let (damages, audited) = shared.scrub.read();
        Statistics {
            entries: shared.durable.head().size,
            published: shared.published().checkpoint,
            internal_waiting,
            external_waiting,
            damages,
            audited,
            commits: shared.commits.read(),
            witnessed_at: shared.witnessing.witnessed_at(),
            witnesses: shared.witnessing.statistics(),
        }
    }

    /// Takes no more entries, works off those that wait, stores full tiles, publishes a last checkpoint and releases the
    /// directory. Reads go on.
    pub async fn shutdown(&self) {
        let open = Arc::clone(&self.open);
        let stop = move || {
            open.running.shared.pool.close();
            open.issuers.close();
            open.running.stop();
        };
        let stopped = tokio::task::spawn_blocking(stop).await;
        if stopped.is_err() {
            tracing::error!("the log could not be shut down in order; recovery will do the rest");
        }
    }

    /// Resolves when a write failed and the log poisoned itself. The process should end then: only a restart helps.
    pub async fn failed(&self) -> WriteFailure {
        self.shared().failure.wait().await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.open.running.shared
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({}, {})", self.origin(), self.public_key().log_id())
    }
}

impl Platform {
    fn now(storage: Box<dyn Storage>) -> Platform {
        Platform {
            storage,
            clock: Arc::new(SystemClock),
        }
    }
}
