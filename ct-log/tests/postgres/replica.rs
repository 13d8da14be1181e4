//! Replicas of one log, and what they must hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ct_log::check::{self, Depth, Source};
use ct_log::{
    Checkpoint, Entry, Log, LogKey, LogSettings, OpenError, Origin, PendingEntry, PostgresSettings, Sct,
    SequencedEntry, SubmitError, Submitter, Tile, TileKind,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::server::Server;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What was acknowledged.
pub(crate) type Ack = (Entry, Sct);

/// One log's key and the directories of its replicas.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    key: Vec<u8>,
}

pub(crate) fn origin() -> Origin {
    Origin::new("ca.example.com/ct").unwrap()
}

impl Site {
    pub(crate) fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let key = LogKey::generate().unwrap().to_pkcs8_der().unwrap().to_vec();
        std::fs::write(directory.path().join("key"), &key).unwrap();
        Site { directory, key }
    }

    /// A log that was just born; nobody has it open.
    pub(crate) async fn born(server: &Server) -> Site {
        let site = Site::new();
        site.create(server.settings()).unwrap().shutdown().await;
        site
    }

    pub(crate) fn key(&self) -> LogKey {
        LogKey::from_pkcs8_der(&self.key).unwrap()
    }

    pub(crate) fn create(&self, database: PostgresSettings) -> Result<Log, OpenError> {
        let settings = LogSettings::new(self.directory.path().join("first"), origin());
        Log::create(settings.in_postgres(database), self.key())
    }

    pub(crate) fn open(&self, name: &str, database: PostgresSettings) -> Log {
        self.try_open(name, database).unwrap()
    }

    pub(crate) fn try_open(&self, name: &str, database: PostgresSettings) -> Result<Log, OpenError> {
        open_in(self.directory.path(), name, database)
    }
}

/// Opens the log whose key lies in `site`.
pub(crate) fn open_in(site: &Path, name: &str, database: PostgresSettings) -> Result<Log, OpenError> {
    let key = LogKey::from_pkcs8_der(&std::fs::read(site.join("key")).unwrap()).unwrap();
    let settings = LogSettings::new(site.join(name), origin());
    Log::open(settings.in_postgres(database), key)
}

pub(crate) fn pending(log: &Log) -> Result<PendingEntry, ct_log::StorageError> {
    let issuers = log.store_issuers(&[b"not a certificate, but the log does not look"])?;
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let name = format!("entry {number} of {}", std::process::id());
    let tbs = name.repeat(1 + number as usize % 50).into_bytes();
    Ok(PendingEntry::precertificate(
        tbs,
        name.into_bytes(),
        [1; 32],
        issuers,
    ))
}

pub(crate) async fn submit(log: &Log) -> Result<Ack, SubmitError> {
    let pending = pending(log).map_err(|_| SubmitError::Unreachable)?;
    let entry = pending.entry().clone();
    let sct = log.submit(pending, Submitter::Internal).await?;
    sct.verify(&entry, log.public_key()).unwrap();
    Ok((entry, sct))
}

/// That many at once; every one must succeed.
pub(crate) async fn submit_all(log: &Log, count: usize) -> Vec<Ack> {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let log = log.clone();
        tasks.spawn(async move { submit(&log).await.unwrap() });
    }
    tasks.join_all().await
}

/// Submits with that many at once for a while; returns what was acknowledged, and how often it was refused.
pub(crate) async fn submit_for(log: &Log, submitters: usize, time: Duration) -> (Vec<Ack>, Vec<SubmitError>) {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for _ in 0..submitters {
        let log = log.clone();
        tasks.spawn(async move {
            let (mut acks, mut errors) = (Vec::new(), Vec::new());
            while Instant::now() < end {
                match submit(&log).await {
                    Ok(ack) => acks.push(ack),
                    Err(error) => {
                        errors.push(error);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
            (acks, errors)
        });
    }
    let results = tasks.join_all().await;
    let (acks, errors): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    (acks.concat(), errors.concat())
}

pub(crate) fn checkpoint(log: &Log) -> Checkpoint {
    Checkpoint::verify(&log.checkpoint(), log.origin(), log.public_key()).unwrap()
}

pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Every published entry.
pub(crate) async fn entries(log: &Log) -> Vec<SequencedEntry> {
    entries_of(log, checkpoint(log).size()).await
}

/// The first `size` entries, wherever they are read from.
pub(crate) async fn entries_of(source: &impl Source, size: u64) -> Vec<SequencedEntry> {
    let mut entries = Vec::new();
    for first in (0..size).step_by(256) {
        let width = u16::try_from((size - first).min(256)).unwrap();
        let tile = Tile::new(TileKind::Entries, first / 256, width).unwrap();
        let bytes = source.tile(tile).await.expect("a published tile");
        entries.extend(SequencedEntry::decode_all(&bytes).unwrap());
    }
    entries
}

/// C1, C2, C5, C6, C8, C9: the log as this replica publishes it is sound and has what was acknowledged by any.
pub(crate) async fn verify(log: &Log, acks: &[Ack]) {
    let last = acks.iter().map(|(_, sct)| sct.leaf_index().get() + 1).max();
    until("acknowledged entries are published", || {
        checkpoint(log).size() >= last.unwrap_or(0)
    })
    .await;
    let report = check::check(log, (log.origin(), log.public_key()), Depth::Structure).await;
    assert!(report.is_sound(), "{:?}", report.problems());
    let held = entries(log).await;
    let mut indices = BTreeMap::new();
    for (entry, sct) in acks {
        let index = sct.leaf_index().get();
        let found = held
            .get(index as usize)
            .unwrap_or_else(|| panic!("entry {index} is lost"));
        assert_eq!(found.entry(), entry, "C2: entry {index}");
        assert_eq!(found.timestamp(), sct.timestamp(), "C5: entry {index}");
        assert!(indices.insert(index, ()).is_none(), "C16: two SCTs for {index}");
    }
}

/// How often an entry is in the log.
pub(crate) async fn occurrences(log: &Log, entry: &Entry) -> usize {
    let held = entries(log).await;
    held.iter().filter(|held| held.entry() == entry).count()
}

/// Once the pause before connecting again is over.
pub(crate) async fn submit_at_last(log: &Log) -> Ack {
    for _ in 0..1_000 {
        match submit(log).await {
            Ok(ack) => return ack,
            Err(SubmitError::Unreachable) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never reached again");
}
