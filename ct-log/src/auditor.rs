//! The auditor of one's own SCTs: every entry that this process gave out an SCT for is looked up in the log as the world sees it.
//! A log that loses an entry is found out by its operator first, and within a minute.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::check::{self, Problem, SignedCheckpoint, Source};
use crate::leaf::{LeafIndex, SequencedEntry};
use crate::receipts::{Receipt, Receipts};
use crate::tile::FULL_WIDTH;
use crate::tree::Hash;
use crate::{Checkpoint, Log, Tile, TileKind};

/// An entry that is not in the public log after that time is an alarm: the log promises 60 s at most, and there is a round of
/// the auditor before the end of them.
pub const OVERDUE: Duration = Duration::from_secs(45);

/// Tiles that are looked at in one round for entries whose hashes were not remembered.
const MAX_RANGED_TILES: u64 = 256;

/// Looks up in a log, as it is published, the entries that SCTs were given out for since there is an auditor.
#[derive(Debug)]
pub struct Auditor<S> {
    log: Log,
    source: S,
    /// The newest checkpoint that was seen.
    last: Option<SignedCheckpoint>,
}

/// What a round found to be right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Entries that are in the public log at their index, as their SCTs say.
    pub found: u64,
    /// Entries that were looked at without knowing what they should be, because too many SCTs waited.
    pub ranged: u64,
    /// SCTs whose entries are not in the public log yet.
    pub waiting: u64,
}

/// What is wrong with the public log.
#[derive(Debug, thiserror::Error)]
pub enum Alarm {
    /// The checkpoint, or what the tiles say.
    #[error(transparent)]
    Log(#[from] Problem),
    /// The entry that an SCT was given out for is another one.
    #[error(
        "entry {index} is not the one that an SCT was given out for: the leaf hash is {found}, not {expected}"
    )]
    Other {
        /// Its index.
        index: u64,
        /// What the log has there.
        found: Hash,
        /// What it must have.
        expected: Hash,
    },
    /// Entries do not appear.
    #[error(
        "{waiting} entries are not in the public log, the first {} s after its SCT was given out{}",
        since.as_secs(), Because(reason.as_ref())
    )]
    Overdue {
        /// How many.
        waiting: u64,
        /// How long the first of them has been waiting.
        since: Duration,
        /// Why they could not be looked up, if that is known.
        reason: Option<Problem>,
    },
}

struct Because<'a>(Option<&'a Problem>);

impl std::fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(problem) => write!(f, ": {problem}"),
            None => Ok(()),
        }
    }
}

/// What one tile, or one round, came to.
#[derive(Default)]
struct Findings {
    round: Round,
    alarms: Vec<Alarm>,
    /// Something could not be read.
    unread: Option<Problem>,
}

impl<S: Source> Auditor<S> {
    /// The auditor of the SCTs of `log`, which it reads from `source`: the way that others read it.
    pub fn new(log: Log, source: S) -> Auditor<S> {
        log.keep_receipts();
        Auditor {
            log,
            source,
            last: None,
        }
    }

    /// The log whose SCTs are looked up.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Looks up all that waits. Entries that are right are done with; what is not is looked up again in the next round.
    ///
    /// What cannot be read is no alarm until [`OVERDUE`]: the next round may come through.
    pub async fn round(&mut self) -> (Round, Vec<Alarm>) {
        let mut findings = Findings::default();
        match self.checkpoint().await {
            Ok(checkpoint) => self.look_up(&checkpoint, &mut findings).await,
            Err(problem) => findings.problem(problem),
        }
        let Findings {
            mut round,
            mut alarms,
            unread,
        } = findings;
        let (waiting, since) = self
            .log
            .receipts()
            .map_or_else(Default::default, Receipts::waiting);
        round.waiting = waiting;
        if since >= OVERDUE {
            alarms.push(Alarm::Overdue {
                waiting,
                since,
                reason: unread,
            });
        }
        (round, alarms)
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint, Problem> {
        let note = self.source.checkpoint().await.map_err(Problem::Unreadable)?;
        let checkpoint = Checkpoint::verify(&note, self.log.origin(), self.log.public_key());
        let now = (note, checkpoint.map_err(Problem::Checkpoint)?);
        if let Some(before) = &self.last {
            check::check_growth(&self.source, before, &now).await?;
        }
        let checkpoint = now.1;
        self.last = Some(now);
        Ok(checkpoint)
    }

    async fn look_up(&self, checkpoint: &Checkpoint, findings: &mut Findings) {
        let Some(receipts) = self.log.receipts() else {
            return;
        };
        let (kept, ranged) = receipts.below(checkpoint.size());
        let mut hash_tiles = BTreeMap::new();
        let mut wanted: BTreeMap<u64, BTreeMap<u64, Receipt>> = BTreeMap::new();
        for (index, receipt) in kept {
            let tile = wanted.entry(index / u64::from(FULL_WIDTH)).or_default();
            tile.insert(index, receipt);
        }
        for (tile, wanted) in wanted {
            match self.read(tile, checkpoint, &mut hash_tiles).await {
                Ok(leaves) => receipts.found(findings.compare(&wanted, &leaves)),
                Err(problem) => findings.problem(problem),
            }
        }
        if let Some(range) = ranged {
            match self.look_over(&range, checkpoint, &mut hash_tiles).await {
                Ok(end) => {
                    findings.round.ranged = end.saturating_sub(range.start);
                    receipts.looked_at(end);
                }
                Err(problem) => findings.problem(problem),
            }
        }
    }

    /// Checks that entries are there, at their indices and in the tree. Gives the end of what was checked.
    async fn look_over(
        &self,
        range: &Range<u64>,
        checkpoint: &Checkpoint,
        hash_tiles: &mut BTreeMap<Tile, Vec<u8>>,
    ) -> Result<u64, Problem> {
        let width = u64::from(FULL_WIDTH);
        let first = range.start / width;
        let last = (range.end.saturating_sub(1) / width).min(first.saturating_add(MAX_RANGED_TILES));
        for tile in first..=last {
            self.read(tile, checkpoint, hash_tiles).await?;
        }
        Ok(range.end.min(last.saturating_add(1).saturating_mul(width)))
    }

    /// The leaf hashes of a data tile, by index: each entry says that index, and all are in the tree.
    async fn read(
        &self,
        number: u64,
        checkpoint: &Checkpoint,
        hash_tiles: &mut BTreeMap<Tile, Vec<u8>>,
    ) -> Result<BTreeMap<u64, Hash>, Problem> {
        let first = number.saturating_mul(u64::from(FULL_WIDTH));
        let width = checkpoint.size().saturating_sub(first).min(u64::from(FULL_WIDTH));
        let width = u16::try_from(width).unwrap_or(FULL_WIDTH);
        let kinds = [TileKind::Entries, TileKind::Hashes { level: 0 }];
        let [Some(data), Some(hashes)] = kinds.map(|kind| Tile::new(kind, number, width)) else {
            return Err(Problem::Proof);
        };
        let bytes = self.source.tile(data).await.map_err(Problem::Unreadable)?;
        let entries = SequencedEntry::decode_all(&bytes).map_err(|_| Problem::DataTile(data))?;
        if entries.len() != usize::from(width) {
            return Err(Problem::DataTile(data));
        }
        let mut leaves = BTreeMap::new();
        for (position, entry) in (first..).zip(&entries) {
            if entry.index().get() != position {
                let index = entry.index();
                return Err(Problem::Index { position, index });
            }
            let leaf = entry.leaf_hash().map_err(|_| Problem::Entry { position })?;
            leaves.insert(position, leaf);
        }
        // The proof of one leaf takes in the hashes of all others of its tile.
        let own: Vec<u8> = leaves.values().flat_map(Hash::as_bytes).copied().collect();
        hash_tiles.insert(hashes, own);
        if let Some((index, leaf)) = leaves.first_key_value()
            && let Some(index) = LeafIndex::new(*index)
        {
            check::check_leaf(&self.source, (index, *leaf), checkpoint, hash_tiles).await?;
        }
        Ok(leaves)
    }
}

impl Findings {
    fn problem(&mut self, problem: Problem) {
        if problem.is_the_logs() {
            self.alarms.push(problem.into());
        } else {
            self.unread = Some(problem);
        }
    }

    /// Gives the indices of the entries that are right.
    fn compare(&mut self, wanted: &BTreeMap<u64, Receipt>, leaves: &BTreeMap<u64, Hash>) -> Vec<u64> {
        let mut right = Vec::new();
        for (index, receipt) in wanted {
            match leaves.get(index) {
                Some(leaf) if *leaf == receipt.leaf => right.push(*index),
                Some(leaf) => self.alarms.push(Alarm::Other {
                    index: *index,
                    found: *leaf,
                    expected: receipt.leaf,
                }),
                // Not possible below the size of the checkpoint; and if it were, the entry waits on.
                None => {}
            }
        }
        let count = u64::try_from(right.len()).unwrap_or(u64::MAX);
        self.round.found = self.round.found.saturating_add(count);
        right
    }
}
