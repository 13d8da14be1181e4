//! The thread that keeps the index: it reads the durable log as readers do, from behind.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{fs, io};

use super::database::{Covered, Database, Place, is_damage};
use super::{Extent, Index, MAX_FRESH, Phase};
use crate::leaf::SequencedEntry;
use crate::proof::Plan;
use crate::read::data_tile;
use crate::recent::Identity;
use crate::running::Shared;
use crate::threads::Instant;
use crate::tree::Hash;

/// How often it looks for new entries, unless somebody asks for one.
const TICK: Duration = Duration::from_secs(1);

/// How often what is in memory is written down: rarely, because it shares the disk with the log. Sooner if [`MAX_FRESH`]
/// entries are there.
const COMMIT_EVERY: Duration = Duration::from_secs(10);

/// How long a file that cannot be had, or was made anew so shortly before, is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// How often the progress of a long way is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Keeps the index of a log, on its own thread.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    place: Place,
}

/// Why the index cannot go on with its file.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("{0}")]
    Database(redb::Error),
    #[error("the log could not be read: {0}")]
    Log(io::Error),
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Trouble {
        if is_damage(&error) {
            Trouble::Damaged(error.to_string())
        } else {
            Trouble::Database(error)
        }
    }
}

/// One open file, and when it was written last.
struct Session<'a> {
    shared: &'a Shared,
    database: Arc<Database>,
    size: u64,
    committed: Instant,
    told: Instant,
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, place: Place) -> Follower {
        Follower { shared, place }
    }

    /// Works until the index is told to stop. Never fails the log: an index that cannot be had is done without.
    pub(crate) fn run(self) {
        let mut made_anew: Option<Instant> = None;
        while !self.index().state().stopping {
            let session = AssertUnwindSafe(|| self.session());
            // The database may panic over a file that somebody else changed.
            let ended = panic::catch_unwind(session)
                .unwrap_or_else(|_| Err(Trouble::Damaged("a panic while it was in use".to_owned())));
            let Err(trouble) = ended else { break };
            if let Trouble::Damaged(_) = trouble {
                tracing::warn!(%trouble, place = ?self.place, "the log's index is made anew");
                self.index().close(Phase::Opening);
                self.remove();
                let before = made_anew.replace(Instant::now());
                if before.is_none_or(|before| before.elapsed() >= RETRY) {
                    continue;
                }
            } else {
                tracing::warn!(%trouble, place = ?self.place, "the log goes on without its index; it is tried again");
            }
            self.index().close(Phase::Away);
            self.index().rest(RETRY);
        }
        self.index().close(Phase::Away);
    }

    fn session(&self) -> Result<(), Trouble> {
        let shared = Arc::clone(&self.shared);
        let wanted = move || !shared.index.state().stopping;
        let database = Arc::new(Database::open(&self.place, wanted)?);
        let size = self.start(&database)?;
        self.index().open(Arc::clone(&database), size);
        let now = Instant::now();
        let mut session = Session {
            shared: &self.shared,
            database,
            size,
            committed: now,
            told: now,
        };
        session.run()
    }

    /// How many entries the file covers, if it is of this log as it is now.
    fn start(&self, database: &Database) -> Result<u64, Trouble> {
        let Some(covered) = database.covered()? else {
            return Ok(0);
        };
        let foreign = || Trouble::Damaged("it is of another log, version or copy".to_owned());
        let covered = covered.map_err(|_| foreign())?;
        let durable = self.shared.durable.head().size;
        if covered.log_id != self.shared.key.public().log_id() || covered.size > durable {
            return Err(foreign());
        }
        if root(&self.shared, covered.size)? != covered.root {
            return Err(foreign());
        }
        Ok(covered.size)
    }

    fn remove(&self) {
        if let Place::File(path) = &self.place
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "the log's index cannot be removed");
        }
    }

    fn index(&self) -> &Index {
        &self.shared.index
    }
}

impl Session<'_> {
    fn run(&mut self) -> Result<(), Trouble> {
        let behind = self.shared.durable.head().size.saturating_sub(self.size);
        let far = behind > u64::try_from(MAX_FRESH).unwrap_or(u64::MAX);
        if far {
            tracing::info!(from = self.size, behind, "the log's index is being built");
        }
        self.catch_up()?;
        if far {
            tracing::info!(size = self.size, "the log's index is complete");
        }
        loop {
            let stopping = self.shared.index.wait(TICK);
            self.catch_up()?;
            if stopping || self.committed.elapsed() >= COMMIT_EVERY {
                self.commit()?;
            }
            if stopping {
                return Ok(());
            }
        }
    }

    /// Follows the log to its end, unless there is no room for more or somebody wants to stop.
    fn catch_up(&mut self) -> Result<(), Trouble> {
        loop {
            let (full, interrupted) = self.shared.index.look()?;
            let head = self.shared.durable.head().size;
            if interrupted || self.size >= head {
                return Ok(());
            }
            if full {
                if self.shared.guard.is_low() {
                    // The space that is left is the log's.
                    return Ok(());
                }
                self.commit()?;
            }
            self.take(head)?;
            if self.told.elapsed() >= PROGRESS_EVERY {
                self.told = Instant::now();
                tracing::info!(size = self.size, of = head, "the log's index is catching up");
            }
        }
    }

    /// Takes the entries of the next data tile, as far as it goes.
    fn take(&mut self, head: u64) -> Result<(), Trouble> {
        let beyond = || Trouble::Log(io::Error::other("the index would need more than 40 bits"));
        let tile = data_tile(self.size..head).ok_or_else(beyond)?;
        let bytes = self.shared.durable_tile(tile).map_err(Trouble::Log)?;
        let damaged = || {
            Trouble::Log(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{tile} is damaged"),
            ))
        };
        let mut rest = bytes.as_slice();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = SequencedEntry::decode(rest).map_err(|_| damaged())?;
            rest = after;
            if entry.index().get() < self.size {
                continue;
            }
            let hash = entry.leaf_hash().map_err(|_| damaged())?;
            found.push((hash, Identity::of(entry.entry()), entry.index().get()));
        }
        self.size = tile.tree_size();
        self.shared.index.add(&found, self.size);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Trouble> {
        self.committed = Instant::now();
        let index = &self.shared.index;
        let mut rows = index.state().fresh.rows();
        if rows.leaves.is_empty() && rows.signatures.is_empty() {
            return Ok(());
        }
        let covered = Covered {
            log_id: self.shared.key.public().log_id(),
            size: self.size,
            root: root(self.shared, self.size)?,
        };
        self.database.commit(&mut rows, &covered)?;
        // In the file first, out of memory then: a lookup finds it in one of the two.
        index.state().fresh.forget(&rows);
        Ok(())
    }
}

impl Index {
    fn open(&self, database: Arc<Database>, size: u64) {
        self.state().database = Some(database);
        let phase = Phase::Following;
        self.extent.send_replace(Extent { size, phase });
    }

    fn close(&self, phase: Phase) {
        let mut state = self.state();
        state.database = None;
        state.damage = None;
        state.fresh.leaves.clear();
        state.fresh.identities.clear();
        drop(state);
        let size = 0;
        self.extent.send_replace(Extent { size, phase });
    }

    fn add(&self, found: &[(Hash, Identity, u64)], size: u64) {
        let fresh = &mut self.state().fresh;
        for (hash, identity, index) in found {
            fresh.leaves.insert(*hash, *index);
            fresh.identities.entry(*identity).or_insert(*index);
        }
        let phase = Phase::Following;
        self.extent.send_replace(Extent { size, phase });
    }

    /// Whether memory holds as much as it may, and whether the follower is to stop.
    fn look(&self) -> Result<(bool, bool), Trouble> {
        let mut state = self.state();
        if let Some(damage) = state.damage.take() {
            return Err(Trouble::Damaged(damage));
        }
        let full = state.fresh.leaves.len() >= MAX_FRESH || state.fresh.signatures.len() >= MAX_FRESH;
        Ok((full, state.stopping))
    }

    /// Waits until somebody calls, or for that long. Whether it is time to stop.
    fn wait(&self, at_most: Duration) -> bool {
        let mut state = self.state();
        if !state.called && !state.stopping {
            let waited = self.called.wait_timeout(state, at_most);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.called = false;
        state.stopping
    }

    /// The same, but only stopping ends it early.
    fn rest(&self, duration: Duration) {
        let state = self.state();
        let waited = self
            .called
            .wait_timeout_while(state, duration, |state| !state.stopping);
        drop(waited);
    }
}

fn root(shared: &Shared, size: u64) -> Result<Hash, Trouble> {
    let plan = Plan::root(size);
    let read = |tile| Ok((tile, shared.durable_tile(tile)?));
    let tiles = plan.tiles().into_iter().map(read).collect::<io::Result<_>>();
    let hashes = plan.hashes(&tiles.map_err(Trouble::Log)?);
    let damaged = || {
        Trouble::Log(io::Error::new(
            io::ErrorKind::InvalidData,
            "a hash tile is damaged",
        ))
    };
    hashes
        .and_then(|hashes| hashes.first().copied())
        .ok_or_else(damaged)
}
