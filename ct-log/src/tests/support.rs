//! A log on the model file system, and what it must hold.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use super::model::Model;
use crate::check::{self, Depth};
use crate::checkpoint::{Checkpoint, Origin};
use crate::clock::Clock;
use crate::guard::DiskGuard;
use crate::issuers::{IssuerChain, Issuers};
use crate::key::LogKey;
use crate::leaf::{Entry, LeafIndex, PendingEntry, Position, SequencedEntry, UnixMillis};
use crate::lifecycle::Window;
use crate::log::Log;
use crate::running::Platform;
use crate::sct::Sct;
use crate::settings::LogSettings;
use crate::storage::{Disk, Memory, OpenError, Opened, Opening, Storage, Store, create};
use crate::submission::{SubmitError, Submitter};
use crate::tile::{Tile, TileKind};
use crate::tree::{Frontier, Hash, leaf_hash};

pub(super) const ISSUER: &[u8] = b"not a certificate, but the log does not look";

const BROKEN: u64 = u64::MAX;

/// Real time in steps of nothing: every test moves it by hand.
#[derive(Debug, Clone)]
pub(super) struct ManualClock {
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
}

impl ManualClock {
    fn at(millis: u64) -> ManualClock {
        ManualClock {
            wall: Arc::new(AtomicU64::new(millis)),
            steady: Arc::default(),
        }
    }

    /// Waits until then.
    pub(super) fn set(&self, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let before = self.wall.swap(since, Ordering::SeqCst);
        self.steady
            .fetch_add(since.saturating_sub(before), Ordering::SeqCst);
    }

    /// Time passes, or the clock is set back.
    pub(super) fn move_by(&self, millis: i64) {
        self.jump_by(millis);
        self.steady
            .fetch_add(millis.try_into().unwrap_or(0), Ordering::SeqCst);
    }

    /// Somebody sets the clock.
    pub(super) fn jump_by(&self, millis: i64) {
        self.wall.fetch_add(millis as u64, Ordering::SeqCst);
    }

    pub(super) fn jump_to(&self, millis: u64) {
        self.wall.store(millis, Ordering::SeqCst);
    }

    /// From now on, whoever asks panics.
    pub(super) fn break_down(&self) {
        self.jump_to(BROKEN);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        let now = self.wall.load(Ordering::SeqCst);
        assert_ne!(now, BROKEN, "the clock is broken");
        UnixMillis::new(now)
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.steady.load(Ordering::SeqCst))
    }
}

/// An entry that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Ack {
    pub(super) entry: Entry,
    pub(super) sct: Sct,
}

/// One log across its lives.
pub(super) struct Harness {
    pub(super) model: Model,
    pub(super) clock: ManualClock,
    pub(super) queue_entries: usize,
    /// Bytes in each entry besides what tells it from others.
    pub(super) padding: usize,
    pub(super) window: Option<Window>,
    key: Vec<u8>,
    /// In the order in which they came; never shorter than `acknowledged`.
    pub(super) acks: Arc<Mutex<Vec<Ack>>>,
    /// Length of `acks`, for the model to look at in the middle of a call.
    pub(super) acknowledged: Arc<AtomicUsize>,
    /// Every checkpoint that was seen.
    pub(super) checkpoints: Mutex<Vec<Checkpoint>>,
}

pub(super) fn origin() -> Origin {
    Origin::new("ca.example.com/ct").unwrap()
}

impl Harness {
    pub(super) fn new() -> Harness {
        Harness {
            model: Model::new(),
            clock: ManualClock::at(1_795_000_000_000),
            queue_entries: 2048,
            padding: 0,
            window: None,
            key: LogKey::generate().unwrap().to_pkcs8_der().unwrap().to_vec(),
            acks: Arc::default(),
            acknowledged: Arc::default(),
            checkpoints: Mutex::default(),
        }
    }

    /// The same log on other files.
    pub(super) fn on(&self, model: Model) -> Harness {
        let acks = self.acks.lock().unwrap().clone();
        let checkpoints = self.checkpoints.lock().unwrap().clone();
        Harness {
            model,
            clock: self.clock.clone(),
            queue_entries: self.queue_entries,
            padding: self.padding,
            window: self.window,
            key: self.key.clone(),
            acknowledged: Arc::new(AtomicUsize::new(acks.len())),
            acks: Arc::new(Mutex::new(acks)),
            checkpoints: Mutex::new(checkpoints),
        }
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(super) fn key(&self) -> LogKey {
        LogKey::from_pkcs8_der(&self.key).unwrap()
    }

    pub(super) fn store(&self) -> Store {
        Store::new(Arc::new(self.model.clone()))
    }

    pub(super) fn create(&self) -> Result<Log, OpenError> {
        create(&self.store(), &origin(), &self.key(), self.clock.now())?;
        self.open()
    }

    pub(super) fn open(&self) -> Result<Log, OpenError> {
        self.open_as(origin(), self.key())
    }

    /// Recovery alone.
    pub(super) fn recover(&self) -> Result<Opened, OpenError> {
        let storage = Disk {
            files: Arc::new(self.model.clone()),
            mirror: None,
            lock: None,
        };
        Box::new(storage).open(Opening {
            origin: &origin(),
            key: self.key().public(),
            clock: &self.clock,
            guard: Arc::new(DiskGuard::new(0)),
        })
    }

    pub(super) fn open_as(&self, origin: Origin, key: LogKey) -> Result<Log, OpenError> {
        let storage = Disk {
            files: Arc::new(self.model.clone()),
            mirror: None,
            lock: None,
        };
        let platform = Platform {
            storage: Box::new(storage),
            clock: Arc::new(self.clock.clone()),
        };
        let settings = LogSettings::new("the model", origin).queue_entries(self.queue_entries);
        // The index does not come up: the model counts calls, and its reads are not the log's.
        let settings = settings.index_file("");
        let settings = match self.window {
            Some(window) => settings.window(window),
            None => settings,
        };
        Log::start(platform, settings, key)
    }

    /// Submits entries at once, keeps the acknowledgements, and returns how the others failed.
    pub(super) async fn submit(&self, log: &Log, numbers: std::ops::Range<u64>) -> Vec<SubmitError> {
        let mut tasks = JoinSet::new();
        let Ok(issuers) = log.store_issuers(&[ISSUER]) else {
            return vec![SubmitError::Unavailable];
        };
        for number in numbers {
            let (log, issuers, padding) = (log.clone(), issuers.clone(), self.padding);
            let (acks, acknowledged) = (Arc::clone(&self.acks), Arc::clone(&self.acknowledged));
            tasks.spawn(async move {
                let pending = numbered(number, padding, issuers);
                let entry = pending.entry().clone();
                let sct = log.submit(pending, Submitter::Internal).await?;
                let mut acks = acks.lock().unwrap();
                acks.push(Ack { entry, sct });
                acknowledged.store(acks.len(), Ordering::SeqCst);
                Ok(())
            });
        }
        let results: Vec<Result<(), SubmitError>> = tasks.join_all().await;
        self.see_checkpoint(log);
        results.into_iter().filter_map(Result::err).collect()
    }

    pub(super) fn see_checkpoint(&self, log: &Log) {
        let checkpoint = checkpoint(log);
        self.checkpoints.lock().unwrap().push(checkpoint);
    }

    /// C1, C2, C4, C5, C6, C8, C9, C10 for everything that was ever acknowledged or published.
    pub(super) async fn verify(&self, log: &Log) {
        let acks = self.acks.lock().unwrap().clone();
        self.verify_these(log, &acks).await;
    }

    pub(super) async fn verify_these(&self, log: &Log, acks: &[Ack]) {
        let report = check::check(log, (log.origin(), log.public_key()), Depth::Structure).await;
        assert!(report.is_sound(), "{:?}", report.problems());
        let entries = entries(log).await;
        for ack in acks {
            let position = ack.sct.leaf_index().get() as usize;
            let entry = entries
                .get(position)
                .unwrap_or_else(|| panic!("entry {position} is lost"));
            assert_eq!(entry.entry(), &ack.entry, "entry {position}");
            assert_eq!(entry.timestamp(), ack.sct.timestamp(), "entry {position}");
            ack.sct.verify(&ack.entry, log.public_key()).unwrap();
        }
        let mut frontier = Frontier::new();
        let mut roots = vec![frontier.root()];
        for entry in &entries {
            frontier.push(entry.leaf_hash().unwrap());
            roots.push(frontier.root());
        }
        assert!(entries.is_sorted_by_key(SequencedEntry::timestamp));
        for seen in self.checkpoints.lock().unwrap().iter() {
            let size = seen.size() as usize;
            let root = roots
                .get(size)
                .unwrap_or_else(|| panic!("published size {size} is lost"));
            assert_eq!(&seen.root(), root, "fork at size {size}");
        }
    }
}

/// What the log published last.
pub(super) fn checkpoint(log: &Log) -> Checkpoint {
    Checkpoint::verify(&log.checkpoint(), log.origin(), log.public_key()).unwrap()
}

/// Every published entry.
pub(super) async fn entries(log: &Log) -> Vec<SequencedEntry> {
    let size = checkpoint(log).size();
    let mut entries = Vec::new();
    for first in (0..size).step_by(256) {
        let width = u16::try_from((size - first).min(256)).unwrap();
        let tile = Tile::new(TileKind::Entries, first / 256, width).unwrap();
        let bytes = log.read_tile(tile).await.unwrap().expect("a published tile");
        entries.extend(SequencedEntry::decode_all(&bytes).unwrap());
    }
    assert_eq!(entries.len() as u64, size);
    entries
}

/// A chain stored in a log of its own.
pub(super) fn chain_of(chain: &[&[u8]]) -> IssuerChain {
    let store = Store::new(Arc::new(Memory::new()));
    Issuers::new().store(&store, chain).unwrap()
}

fn numbered(number: u64, padding: usize, issuers: IssuerChain) -> PendingEntry {
    let mut name = format!("entry {number}").into_bytes();
    name.resize(name.len() + padding, b' ');
    PendingEntry::precertificate([b"tbs of ", name.as_slice()].concat(), name, [9; 32], issuers)
}

pub(super) fn entry(log: &Log, number: u64) -> PendingEntry {
    numbered(number, 0, log.store_issuers(&[ISSUER]).unwrap())
}

pub(super) async fn submit(log: &Log, number: u64) -> Sct {
    log.submit(entry(log, number), Submitter::Internal).await.unwrap()
}

pub(super) fn in_memory() -> Log {
    Log::in_memory(origin(), LogKey::generate().unwrap()).unwrap()
}

/// Leaf hash and encoding of a small entry.
pub(super) fn leaf_bytes(index: LeafIndex) -> (Hash, Vec<u8>) {
    let timestamp = UnixMillis::new(index.get());
    let pending = PendingEntry::certificate(index.get().to_be_bytes().to_vec(), no_issuers());
    let mut bytes = Vec::new();
    let hash = pending
        .put_tile_leaf(Position { index, timestamp }, &mut bytes)
        .unwrap();
    assert_ne!(hash, leaf_hash(&[]));
    (hash, bytes)
}

fn no_issuers() -> IssuerChain {
    static NONE: std::sync::OnceLock<IssuerChain> = std::sync::OnceLock::new();
    NONE.get_or_init(|| chain_of(&[])).clone()
}
