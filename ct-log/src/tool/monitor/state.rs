//! How far a log was followed.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::failure::Failure;
use super::super::file::{self, StateFile};
use super::super::place::Place;
use crate::Checkpoint;
use crate::check::SignedCheckpoint;
use crate::leaf::UnixMillis;
use crate::tree::{Frontier, Hash};

const VERSION: u32 = 1;

/// The entries that were delivered, and the newest checkpoint that was met.
pub(super) struct State {
    frontier: Frontier,
    last: Option<SignedCheckpoint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    origin: String,
    log_id: String,
    /// Number of entries that were delivered.
    entries: u64,
    /// The roots of the complete subtrees of these entries, largest first: hexadecimal.
    subtrees: Vec<String>,
    /// A signed note.
    checkpoint: Option<String>,
}

impl State {
    /// Number of entries that were delivered.
    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    pub(super) fn last(&self) -> Option<&SignedCheckpoint> {
        self.last.as_ref()
    }

    pub(super) fn meet(&mut self, now: SignedCheckpoint) {
        self.last = Some(now);
    }

    pub(super) fn advance(&mut self, frontier: Frontier) {
        self.frontier = frontier;
    }
}

/// The file that it is kept in, which this process has for itself.
pub(super) struct StateFileOf(StateFile);

impl StateFileOf {
    pub(super) fn open(path: &Path) -> io::Result<StateFileOf> {
        StateFile::open(path).map(StateFileOf)
    }

    /// A log that was never followed before has delivered nothing.
    pub(super) fn read(&self, place: &Place) -> Result<State, Failure> {
        let Some(json) = self.0.read()? else {
            return Ok(State {
                frontier: Frontier::new(),
                last: None,
            });
        };
        let refused = |what: &str| Failure::from(format!("{}: {what}", self.0.path().display()));
        let stored: Option<Stored> = serde_json::from_slice(&json).ok();
        let stored = stored.filter(|stored| stored.version == VERSION);
        let stored = stored.ok_or_else(|| refused("it is not the state of a monitor"))?;
        if stored.origin != place.origin.as_str() || stored.log_id != place.key.log_id().to_string() {
            return Err(refused("it is the state of a monitor of another log"));
        }
        let damaged = || refused("it is damaged");
        let last = match stored.checkpoint {
            Some(note) => {
                let checkpoint = Checkpoint::verify(&note, &place.origin, &place.key);
                Some((note, checkpoint.map_err(|_| damaged())?))
            }
            None => None,
        };
        let subtrees: Option<Vec<Hash>> = stored.subtrees.iter().map(|hex| Hash::from_hex(hex)).collect();
        let frontier = Frontier::restore(stored.entries, subtrees.ok_or_else(damaged)?);
        Ok(State {
            frontier: frontier.ok_or_else(damaged)?,
            last,
        })
    }

    pub(super) fn write(&self, state: &State, place: &Place) -> io::Result<()> {
        let subtrees = state.frontier.subtrees().iter();
        let mut json = serde_json::to_vec_pretty(&Stored {
            version: VERSION,
            origin: place.origin.to_string(),
            log_id: place.key.log_id().to_string(),
            entries: state.size(),
            subtrees: subtrees.map(Hash::to_string).collect(),
            checkpoint: state.last.as_ref().map(|(note, _)| note.clone()),
        })?;
        json.push(b'\n');
        self.0.write(&json)
    }

    /// Stores both notes beside the state. Gives their paths.
    pub(super) fn keep_evidence(
        &self,
        before: Option<&SignedCheckpoint>,
        now: &SignedCheckpoint,
    ) -> io::Result<(String, String)> {
        let base = format!("{}.alarm-{}", self.0.path().display(), UnixMillis::now().get());
        let keep = |suffix: &str, note: &str| {
            let path = format!("{base}.{suffix}");
            file::replace(Path::new(&path), note.as_bytes()).map(|()| path)
        };
        let before = before.map_or("", |(note, _)| note);
        Ok((keep("before", before)?, keep("now", &now.0)?))
    }
}
