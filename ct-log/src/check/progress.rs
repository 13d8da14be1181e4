//! How far an audit has come: what the next one can build on.

use serde::{Deserialize, Serialize};

use super::Problem;
use super::edge::Edge;
use super::growth::{SignedCheckpoint, compatible};
use crate::tree::Hash;
use crate::{Checkpoint, LogPublicKey, Origin};

const VERSION: u32 = 1;

/// Checkpoints that are remembered until their tree was recomputed. Each audit that is cut short adds one.
const MAX_SEEN: usize = 16;

/// The entries that were checked, as far as full tiles go, and the checkpoints that were met: a later tree must
/// have all of theirs as its beginning.
#[derive(Debug, Clone)]
pub struct Progress {
    edge: Edge,
    /// In the order in which they were met. Never empty after the first audit.
    seen: Vec<SignedCheckpoint>,
}

/// A text that is not the progress of an audit of this log.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Not what [`Progress::to_json`] writes.
    #[error("it is not the state of an audit")]
    Malformed,
    /// It is of another log.
    #[error("it is the state of an audit of another log, {0}")]
    OtherLog(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    origin: String,
    log_id: String,
    /// Number of entries that were checked.
    entries: u64,
    /// For each level from 1 up, the hashes of its partial tile: hexadecimal.
    hashes: Vec<Vec<String>>,
    /// Signed notes.
    checkpoints: Vec<String>,
}

impl Progress {
    /// Nothing was checked yet.
    #[expect(clippy::new_without_default, reason = "to begin anew is a deliberate choice")]
    pub fn new() -> Progress {
        Progress {
            edge: Edge::new(),
            seen: Vec::new(),
        }
    }

    /// Number of entries that were checked: a multiple of 256.
    pub fn entries(&self) -> u64 {
        self.edge.size()
    }

    /// Number of entries up to the newest checkpoint that was met.
    pub fn target(&self) -> u64 {
        self.seen.last().map_or(0, |(_, checkpoint)| checkpoint.size())
    }

    /// The newest checkpoint that was met, a signed note.
    pub fn newest(&self) -> Option<&str> {
        self.seen.last().map(|(note, _)| note.as_str())
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    pub(super) fn advance(&mut self, edge: &Edge) {
        self.edge = edge.clone();
    }

    /// Takes note of a checkpoint that is about to be checked.
    pub(super) fn meet(&mut self, now: SignedCheckpoint) -> Result<(), Problem> {
        for before in &self.seen {
            compatible(before, &now)?;
        }
        if self.entries() > now.1.size() {
            return Err(Problem::Shrunk {
                size: now.1.size(),
                before: self.entries(),
            });
        }
        let entries = self.entries();
        let newest = self.seen.len().saturating_sub(1);
        let mut number = 0..;
        self.seen
            .retain(|(_, seen)| number.next() == Some(newest) || seen.size() > entries);
        if self.seen.len() >= MAX_SEEN {
            // The first ones are the ones that matter: the others can only have grown from them.
            self.seen.truncate(MAX_SEEN.saturating_sub(1));
        }
        self.seen.push(now);
        Ok(())
    }

    /// The recomputed tree has this size now: a checkpoint of that size must have its root.
    pub(super) fn pass(&self, size: u64, root: impl Fn() -> Hash) -> Result<(), Problem> {
        // The last one is the one that the audit is about.
        let before = self.seen.split_last().map_or(&[][..], |(_, before)| before);
        for (note, seen) in before {
            if seen.size() == size && seen.root() != root() {
                return Err(Problem::Forked { before: note.clone() });
            }
        }
        Ok(())
    }

    /// The JSON form, for a file.
    ///
    /// # Errors
    /// None in practice; the signature is that of the encoder.
    pub fn to_json(&self, origin: &Origin, key: &LogPublicKey) -> serde_json::Result<Vec<u8>> {
        let hex = |hashes: Vec<Hash>| hashes.iter().map(Hash::to_string).collect();
        let mut json = serde_json::to_vec_pretty(&Stored {
            version: VERSION,
            origin: origin.to_string(),
            log_id: key.log_id().to_string(),
            entries: self.entries(),
            hashes: self.edge.upper().into_iter().map(hex).collect(),
            checkpoints: self.seen.iter().map(|(note, _)| note.clone()).collect(),
        })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads what [`Progress::to_json`] wrote for the same log. What it says of the tree is believed: keep the file where
    /// nobody else can write it.
    ///
    /// # Errors
    /// Another log's, or not what was written.
    pub fn from_json(json: &[u8], origin: &Origin, key: &LogPublicKey) -> Result<Progress, ProgressError> {
        let stored: Stored = serde_json::from_slice(json).map_err(|_| ProgressError::Malformed)?;
        if stored.version != VERSION {
            return Err(ProgressError::Malformed);
        }
        if stored.origin != origin.as_str() || stored.log_id != key.log_id().to_string() {
            let log = format!("{}, id {}", stored.origin, stored.log_id);
            return Err(ProgressError::OtherLog(log));
        }
        let upper: Option<Vec<Vec<Hash>>> = stored.hashes.iter().map(|level| unhex(level)).collect();
        let edge = upper.and_then(|upper| Edge::restore(stored.entries, &upper));
        let mut seen = Vec::new();
        for note in stored.checkpoints {
            let checkpoint = Checkpoint::verify(&note, origin, key).map_err(|_| ProgressError::Malformed)?;
            seen.push((note, checkpoint));
        }
        let edge = edge.ok_or(ProgressError::Malformed)?;
        Ok(Progress { edge, seen })
    }
}

fn unhex(level: &[String]) -> Option<Vec<Hash>> {
    let hash = |hex: &String| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).ok()?;
        Some(Hash::new(bytes))
    };
    level.iter().map(hash).collect()
}
