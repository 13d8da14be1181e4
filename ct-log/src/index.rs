//! The index: from a leaf hash to its entry, for `get-proof-by-hash`; and from what makes two submissions the same to the
//! entry, for duplicates (C11).
//!
//! It is derived: it follows the durable log from behind, on a thread of its own, and whatever is lost, stale or damaged is
//! made anew from the entries. Nothing that it says is believed before the entry was read (`lookup.rs`), so
//! damage costs answers and never makes wrong ones. What is not in the file yet is in memory, and bounded.

mod database;
mod follow;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub(crate) use database::{Database, Place};
pub(crate) use follow::Follower;

use crate::recent::Identity;
use crate::threads::{self, Condvar, Mutex, MutexGuard};
use crate::tree::Hash;
use database::Rows;

/// Most entries, and most signatures, that are in memory only; about 200 bytes each.
const MAX_FRESH: usize = 16_384;

/// How long a lookup waits for the index to catch up with what the log just took, or to open its file.
const PATIENCE: Duration = Duration::from_secs(2);

/// The index cannot say: it does not reach so far yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log's index is behind or being rebuilt; try again later")]
pub(crate) struct NotIndexed;

/// How far the index reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    /// It knows all entries below.
    size: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The file is not open yet.
    Opening,
    Following,
    /// There is no file to be had for now, or the log is shut down.
    Away,
}

/// What the lookups and the follower share.
pub(crate) struct Index {
    state: Mutex<State>,
    /// Tells the follower that somebody waits, or that it is to stop.
    called: Condvar,
    extent: watch::Sender<Extent>,
}

struct State {
    database: Option<Arc<Database>>,
    fresh: Fresh,
    called: bool,
    stopping: bool,
    /// Why the file cannot be right.
    damage: Option<String>,
}

/// What is not in the file yet.
#[derive(Default)]
struct Fresh {
    leaves: HashMap<Hash, u64>,
    identities: HashMap<Identity, u64>,
    signatures: BTreeMap<u64, Vec<u8>>,
}

impl Index {
    pub(crate) fn new() -> Index {
        let (size, phase) = (0, Phase::Opening);
        Index {
            state: Mutex::new(State {
                database: None,
                fresh: Fresh::default(),
                called: false,
                stopping: false,
                damage: None,
            }),
            called: Condvar::new(),
            extent: watch::Sender::new(Extent { size, phase }),
        }
    }

    /// The index of the entry with that leaf hash, if it is among the first `size` of the log. To be checked against the tile.
    pub(crate) async fn leaf(&self, hash: Hash, size: u64) -> Result<Option<u64>, NotIndexed> {
        let reached = self.reach(size).await;
        let fresh = self.state().fresh.leaves.get(&hash).copied();
        let found = match fresh {
            Some(index) => Some(index),
            None => self.stored(move |database| database.leaf(hash)).await?,
        };
        found.map_or(reached.map(|()| None), |index| Ok(Some(index)))
    }

    /// The index of the first entry that is the same submission, if it is among the first `size` of the log. To be checked
    /// against the entry.
    pub(crate) async fn identity(&self, identity: Identity, size: u64) -> Result<Option<u64>, NotIndexed> {
        let reached = self.reach(size).await;
        let fresh = self.state().fresh.identities.get(&identity).copied();
        let stored = self.stored(move |database| database.identity(identity)).await;
        match (stored, fresh) {
            (Ok(Some(index)), _) | (_, Some(index)) => Ok(Some(index)),
            (Ok(None), None) => reached.map(|()| None),
            (Err(not_indexed), None) => Err(not_indexed),
        }
    }

    /// The signature that was given to external submitters of that entry, if any. To be verified.
    pub(crate) async fn signature(&self, index: u64) -> Option<Vec<u8>> {
        let fresh = self.state().fresh.signatures.get(&index).cloned();
        match fresh {
            Some(signature) => Some(signature),
            None => self
                .stored(move |database| database.signature(index))
                .await
                .ok()
                .flatten(),
        }
    }

    /// Remembers a signature, so that the next submitter of the same gets the same. Not durable at once.
    pub(crate) fn keep_signature(&self, index: u64, signature: &[u8]) {
        let fresh = &mut self.state().fresh;
        if fresh.signatures.len() < MAX_FRESH {
            fresh.signatures.insert(index, signature.to_vec());
        }
    }

    /// The index said what is not so: it is made anew.
    pub(crate) fn report_damage(&self, what: String) {
        tracing::warn!(what, "the log's index is wrong");
        self.state().damage.get_or_insert(what);
        self.call();
    }

    /// Lets the follower put down what it has, and end.
    pub(crate) fn stop(&self) {
        self.state().stopping = true;
        self.called.notify_all();
    }

    /// Waits for a moment until the first `size` entries are known.
    async fn reach(&self, size: u64) -> Result<(), NotIndexed> {
        let mut extent = self.extent.subscribe();
        let current = *extent.borrow_and_update();
        if current.size < size {
            self.call();
            let decided = extent.wait_for(|extent| extent.size >= size || extent.is_too_far_from(size));
            // Whether in time or not: what counts is how far it is now.
            let _ = threads::timeout(PATIENCE, decided).await;
        }
        let reached = self.extent.borrow().size;
        if reached >= size { Ok(()) } else { Err(NotIndexed) }
    }

    async fn stored<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<Option<T>, redb::Error> + Send + 'static,
    ) -> Result<Option<T>, NotIndexed> {
        let database = self.state().database.clone().ok_or(NotIndexed)?;
        match tokio::task::spawn_blocking(move || read(&database)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                self.report_damage(error.to_string());
                Err(NotIndexed)
            }
            Err(ended) => {
                if ended.is_panic() {
                    self.report_damage("reading it panicked".to_owned());
                }
                Err(NotIndexed)
            }
        }
    }

    fn call(&self) {
        self.state().called = true;
        self.called.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file, for a test to spoil.
    #[cfg(test)]
    pub(crate) fn database(&self) -> Option<Arc<Database>> {
        self.state().database.clone()
    }
}

impl Extent {
    /// Whether waiting is in vain.
    fn is_too_far_from(self, size: u64) -> bool {
        match self.phase {
            Phase::Opening => false,
            Phase::Following => size.saturating_sub(self.size) > u64::try_from(MAX_FRESH).unwrap_or(u64::MAX),
            Phase::Away => true,
        }
    }
}

impl Fresh {
    fn rows(&self) -> Rows {
        Rows {
            leaves: pairs(&self.leaves),
            identities: pairs(&self.identities),
            signatures: self.signatures.clone().into_iter().collect(),
        }
    }

    fn forget(&mut self, rows: &Rows) {
        self.leaves.clear();
        self.identities.clear();
        for (index, _) in &rows.signatures {
            self.signatures.remove(index);
        }
    }
}

fn pairs<K: Copy>(map: &HashMap<K, u64>) -> Vec<(K, u64)> {
    map.iter().map(|(key, index)| (*key, *index)).collect()
}
