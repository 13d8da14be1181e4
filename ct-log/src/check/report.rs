//! What an audit found.

use std::fmt;

use super::SourceError;
use crate::chain::ChainError;
use crate::checkpoint::CheckpointError;
use crate::tree::Hash;
use crate::{Checkpoint, Fingerprint, LeafIndex, Tile};

/// Problems that are kept word for word; the rest are only counted.
const MAX_PROBLEMS: usize = 100;

/// A rule that the log breaks, or something that could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A resource is missing or could not be read.
    #[error(transparent)]
    Unreadable(SourceError),
    /// The checkpoint does not parse, or is not signed by the log's key.
    #[error("checkpoint: {0}")]
    Checkpoint(#[source] CheckpointError),
    /// The entries do not hash to the root that the checkpoint signs.
    #[error("the entries do not hash to the checkpoint's root")]
    Root,
    /// A hash tile differs from what the entries hash to.
    #[error("{0} differs from the hashes of the entries")]
    HashTile(Tile),
    /// A data tile is not as many entries as its name says.
    #[error("{0} is not a sequence of that many entries")]
    DataTile(Tile),
    /// Encoding the entries of a data tile again gives other bytes.
    #[error("{0} is not the canonical encoding of its entries")]
    Encoding(Tile),
    /// An entry has no leaf hash.
    #[error("entry {position} cannot be hashed")]
    Entry {
        /// Its place in the data tiles.
        position: u64,
    },
    /// The leaf_index extension is wrong.
    #[error("entry {position} says that its index is {}", index.get())]
    Index {
        /// Its place in the data tiles.
        position: u64,
        /// What the extension says.
        index: LeafIndex,
    },
    /// An entry is newer than the checkpoint that covers it.
    #[error("entry {position} is newer than the checkpoint")]
    Timestamp {
        /// Its place in the data tiles.
        position: u64,
    },
    /// An issuer certificate does not hash to its name.
    #[error("issuer/{0} does not hash to its name")]
    Issuer(Fingerprint),
    /// What was logged is not what the certificate says.
    #[error("entry {position} is not what its certificate says")]
    Content {
        /// Its place in the data tiles.
        position: u64,
    },
    /// The log signed a tree that does not begin with one that it signed before.
    #[error(
        "the log FORKED: its tree does not begin with that of a checkpoint which it signed before:\n{before}"
    )]
    Forked {
        /// That checkpoint, a signed note.
        before: String,
    },
    /// There is no proof that the tree begins with that of an earlier checkpoint.
    #[error(
        "the log FORKED, or its hash tiles are damaged: they do not prove that its tree begins with that of a checkpoint \
         which it signed before:\n{before}"
    )]
    Unproved {
        /// That checkpoint, a signed note.
        before: String,
    },
    /// The hash tiles do not prove what the checkpoint signs.
    #[error("the hash tiles do not lead to the checkpoint's root")]
    Proof,
    /// The log signed a smaller tree after a larger one.
    #[error("the log was ROLLED BACK: after the checkpoint\n{before}it signed\n{now}")]
    RolledBack {
        /// The older checkpoint, a signed note.
        before: String,
        /// The newer one, with fewer entries.
        now: String,
    },
    /// There are fewer entries than were checked before.
    #[error("the checkpoint covers {size} entries, but {before} were checked before")]
    Shrunk {
        /// What the checkpoint covers.
        size: u64,
        /// What was checked.
        before: u64,
    },
    /// A checkpoint that is older than one that was met before, such as a cache may have kept.
    #[error(
        "the checkpoint is an old one, of {size} entries: {before} were published already; a cache may be at fault"
    )]
    Stale {
        /// What the checkpoint covers.
        size: u64,
        /// What an earlier one covered.
        before: u64,
    },
    /// The certificate or its chain is not what a log may take.
    #[error("entry {position}: {error}")]
    Certificate {
        /// Its place in the data tiles.
        position: u64,
        /// What is wrong.
        #[source]
        error: ChainError,
    },
}

impl Problem {
    /// Whether the log breaks a rule. Otherwise something could not be checked, and may be right.
    pub fn is_the_logs(&self) -> bool {
        !matches!(
            self,
            Problem::Unreadable(SourceError::Failed { .. }) | Problem::Stale { .. }
        )
    }
}

/// The result of an audit: counts of what was checked, and what was wrong.
#[derive(Debug)]
pub struct Report {
    checkpoint: Option<Checkpoint>,
    before: u64,
    entries: u64,
    data_tiles: u64,
    hash_tiles: u64,
    issuers: u64,
    problems: Vec<Problem>,
    unlisted: u64,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            checkpoint: None,
            before: 0,
            entries: 0,
            data_tiles: 0,
            hash_tiles: 0,
            issuers: 0,
            problems: Vec::new(),
            unlisted: 0,
        }
    }

    pub(super) fn begin(&mut self, checkpoint: &Checkpoint, before: u64) {
        self.checkpoint = Some(*checkpoint);
        self.before = before;
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn count_entry(&mut self) {
        self.entries += 1;
    }

    pub(super) fn count_data_tile(&mut self) {
        self.data_tiles += 1;
    }

    pub(super) fn take_hash_tile(&mut self, compared: Result<(), Problem>) {
        match compared {
            Ok(()) => self.hash_tiles += 1,
            Err(problem) => self.add(problem),
        }
    }

    pub(super) fn set_issuers(&mut self, issuers: u64) {
        self.issuers = issuers;
    }

    /// Whether everything up to the checkpoint was checked and is right.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.size() == self.before.checked_add(self.entries)
    }

    /// Whether the log breaks a rule; if it does not, and is not sound either, something could not be checked.
    pub fn is_unsound(&self) -> bool {
        self.problems.iter().any(Problem::is_the_logs)
    }

    /// The size that the verified checkpoint signs; none if it did not verify.
    pub fn size(&self) -> Option<u64> {
        self.checkpoint.map(|checkpoint| checkpoint.size())
    }

    /// The root that the verified checkpoint signs; none if it did not verify.
    pub fn root(&self) -> Option<Hash> {
        self.checkpoint.map(|checkpoint| checkpoint.root())
    }

    /// The checkpoint, if it verified.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Entries that were read.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The first problems, in the order in which they were met.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// One line per problem, then one line of counts.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        if self.unlisted > 0 {
            writeln!(f, "and {} more problems", self.unlisted)?;
        }
        match &self.checkpoint {
            Some(checkpoint) => write!(f, "size {}, root {}: ", checkpoint.size(), checkpoint.root())?,
            None => f.write_str("no valid checkpoint: ")?,
        }
        if self.before > 0 {
            write!(f, "{} entries were checked before, now ", self.before)?;
        }
        let Self {
            entries,
            data_tiles,
            hash_tiles,
            issuers,
            ..
        } = self;
        write!(
            f,
            "read {entries} entries, {data_tiles} data tiles, {hash_tiles} hash tiles, {issuers} issuers"
        )
    }
}
