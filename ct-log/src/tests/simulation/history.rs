//! What clients and readers saw in a run, and what must be true of it.

use std::collections::BTreeMap;

use crate::leaf::{Entry, SequencedEntry};
use crate::sct::Sct;
use crate::submission::Submitter;
use crate::threads::schedule::note;
use crate::tree::{Frontier, Hash};

/// Within which every entry is to be in a checkpoint, in milliseconds.
pub(super) const MERGE_DELAY: u64 = 60_000;

/// What a run must not show. One of each kind is kept: one fault often shows in several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Violation {
    /// C2: an SCT left, and its entry is not there, or not so.
    Lost,
    /// C16: two SCTs of one index for two entries.
    SameIndex,
    /// C1: two checkpoints contradict each other, or one contradicts the tree.
    Fork,
    /// C4: checkpoints in the wrong order, or an entry later than the checkpoint above it.
    Order,
    /// An SCT that is dated before a checkpoint that was there before it was asked for and does not hold it.
    Backdated,
    /// C6, C7, C9: a tile of a published tree cannot be read, or is another.
    Unreadable,
    /// C8: an issuer that an entry names is not there.
    NoIssuer,
    /// C11: a duplicate got another SCT.
    Duplicate,
    /// C15: an older copy was started.
    OlderCopy,
    /// A writer ended without cause.
    Ended,
    /// A writer did not start without cause.
    Refused,
    /// A writer started although it had seen that the storage lost entries.
    StartedAfterLoss,
    /// A writer takes no entries although there are no faults any more.
    Stuck,
    /// Something panicked, or did not come to an end.
    Panicked,
}

/// An SCT that a client holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) writer: usize,
    pub(super) entry: Entry,
    pub(super) sct: Sct,
    /// The writer had noticed that the storage lost entries.
    pub(super) after_loss: bool,
}

/// A checkpoint that readers could see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) timestamp: u64,
}

#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) held: Vec<Held>,
    pub(super) by_index: BTreeMap<u64, usize>,
    pub(super) checkpoints: Vec<Seen>,
    /// What readers see: the last of them, or one before it that was put back.
    pub(super) current: Option<Seen>,
    pub(super) violations: BTreeMap<Violation, String>,
    /// How much earlier than a checkpoint that does not hold it an entry may be dated, in milliseconds.
    pub(super) late_by: u64,
    /// Writers of a bucket have different times: they learn of each other's checkpoints when they publish.
    pub(super) clocks_differ: bool,
    /// The storage lost what it had acknowledged: only what each writer knew itself can be asked of it.
    pub(super) storage_lost: bool,
}

impl History {
    pub(super) fn violated(&mut self, violation: Violation, how: String) {
        note(|| format!("VIOLATION {violation:?}: {how}"));
        self.violations.entry(violation).or_insert(how);
    }

    /// A client got an SCT. `newest` is the newest checkpoint that was there when it asked.
    pub(super) fn holds(&mut self, held: Held, newest: Option<Seen>, from: Submitter) {
        let (index, timestamp) = (held.sct.leaf_index().get(), held.sct.timestamp().get());
        note(|| format!("SCT of entry {index} dated {timestamp} by writer {}", held.writer));
        if let Some(newest) = newest
            && !self.clocks_differ
            && index >= newest.size
            && timestamp.saturating_add(self.late_by) < newest.timestamp
            && from == Submitter::Internal
            && !self.storage_lost
        {
            let early = newest.timestamp - timestamp;
            let size = newest.size;
            self.violated(
                Violation::Backdated,
                format!(
                    "the SCT of entry {index} is dated {early} ms before the checkpoint of {size} entries"
                ),
            );
        }
        let earlier = self.by_index.get(&index).map(|at| self.held[*at].clone());
        match earlier {
            Some(earlier) if earlier.entry != held.entry => {
                // Otherwise nobody could know.
                if !self.storage_lost || (earlier.writer == held.writer && held.after_loss) {
                    let how = format!(
                        "entry {index} has SCTs for two entries, of writers {} and {}",
                        earlier.writer, held.writer
                    );
                    self.violated(Violation::SameIndex, how);
                }
            }
            _ => drop(self.by_index.insert(index, self.held.len())),
        }
        self.held.push(held);
    }

    /// The newest checkpoint that readers can see.
    pub(super) fn newest(&self) -> Option<Seen> {
        self.checkpoints.last().copied()
    }

    /// A checkpoint took the place of the one before.
    pub(super) fn published(&mut self, note_text: &str) {
        let Some(seen) = parse(note_text) else {
            self.violated(Violation::Fork, format!("not a checkpoint: {note_text}"));
            return;
        };
        note(|| format!("checkpoint of {} entries dated {}", seen.size, seen.timestamp));
        if let Some(last) = self.current
            && !self.storage_lost
        {
            // Recovery may put the same one into its place again.
            let again = (seen.size, seen.root, seen.timestamp) == (last.size, last.root, last.timestamp);
            if (seen.timestamp <= last.timestamp || seen.size < last.size) && !again {
                self.violated(Violation::Order, format!("after {last:?} came {seen:?}"));
            }
            if seen.size == last.size && seen.root != last.root {
                self.violated(Violation::Fork, format!("after {last:?} came {seen:?}"));
            }
        }
        self.checkpoints.push(seen);
        self.current = Some(seen);
    }

    /// The storage was put back to a state with this checkpoint: who saw a later one is not asked.
    pub(super) fn put_back(&mut self, note_text: &str) {
        self.current = parse(note_text);
    }

    /// Compares all of it with the tree at the end.
    pub(super) fn compare(&mut self, entries: &[SequencedEntry]) {
        if self.storage_lost {
            return;
        }
        for held in self.held.clone() {
            let (index, timestamp) = (held.sct.leaf_index().get(), held.sct.timestamp());
            let found = entries.get(index as usize);
            let formal = |seen: &&Seen| {
                seen.size <= index && seen.timestamp > timestamp.get().saturating_add(MERGE_DELAY)
            };
            if !self.clocks_differ
                && let Some(seen) = self.checkpoints.iter().find(formal).copied()
            {
                self.violated(
                    Violation::Backdated,
                    format!("entry {index}, dated {timestamp:?}, is not in {seen:?}"),
                );
            }
            if !found.is_some_and(|found| *found.entry() == held.entry && found.timestamp() == timestamp) {
                let what = if found.is_some() {
                    "is another"
                } else {
                    "is not there"
                };
                self.violated(Violation::Lost, format!("entry {index}, whose SCT left, {what}"));
            }
        }
        let mut frontier = Frontier::new();
        let mut trees = vec![(frontier.root(), 0)];
        let mut last = 0;
        for entry in entries {
            if entry.timestamp().get() < last || entry.index().get() + 1 != trees.len() as u64 {
                self.violated(
                    Violation::Order,
                    format!("entry {} is misplaced", entry.index().get()),
                );
            }
            last = entry.timestamp().get();
            frontier.push(entry.leaf_hash().unwrap());
            trees.push((frontier.root(), last));
        }
        for seen in self.checkpoints.clone() {
            match trees.get(seen.size as usize) {
                Some((root, _)) if *root != seen.root => {
                    self.violated(Violation::Fork, format!("{seen:?} is not of the tree"));
                }
                Some((_, newest)) if *newest > seen.timestamp => {
                    self.violated(Violation::Order, format!("{seen:?} is older than its entries"));
                }
                Some(_) => {}
                None => self.violated(
                    Violation::Lost,
                    format!("{seen:?} was published, {} entries are left", entries.len()),
                ),
            }
        }
    }
}

/// What a checkpoint says; its signature is the log's affair.
fn parse(note: &str) -> Option<Seen> {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
    let mut lines = note.lines();
    let (_, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    let signature = lines.find(|line| line.starts_with('\u{2014}'))?;
    let line = decode(signature.rsplit(' ').next()?)?;
    Some(Seen {
        size: size.parse().ok()?,
        root: Hash::new(decode(root)?.try_into().ok()?),
        timestamp: u64::from_be_bytes(line.get(4..12)?.try_into().ok()?),
    })
}
