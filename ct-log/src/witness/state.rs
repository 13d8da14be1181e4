//! The cosignatures of the newest checkpoint, and how the witnesses are doing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::checkpoint::{Origin, SIGNATURE_LINE};
use crate::leaf::UnixMillis;

use super::cosigner::Cosignature;
use super::{Witness, Witnesses};

/// How a request to a witness ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WitnessOutcome {
    /// With a cosignature that holds.
    Cosigned,
    /// It had seen another checkpoint meanwhile, of the same log; it is asked again with the next one.
    Conflict,
    /// It says to have cosigned more entries than this log has. Either it is wrong, or this log was rolled back or forked.
    Ahead,
    /// It finds the checkpoint inconsistent with what it has seen (422).
    Inconsistent,
    /// It does not know the log or its key, or will not have the checkpoint (any other status).
    Refused,
    /// No answer in time.
    Unreachable,
    /// An answer without a cosignature that holds.
    Invalid,
}

/// How one witness is doing, since this process opened the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessStatistics {
    /// The name in its key.
    pub name: String,
    /// How many requests ended how; every outcome once.
    pub outcomes: Vec<(WitnessOutcome, u64)>,
    /// When it last cosigned, by its own clock.
    pub cosigned: Option<UnixMillis>,
}

/// What the publisher and the rounds share. Without witnesses it does nothing.
#[derive(Debug)]
pub(crate) struct Witnessing {
    settings: Option<Witnesses>,
    current: Mutex<Current>,
    /// Entries of the largest checkpoint that a quorum cosigned.
    size: watch::Sender<u64>,
    counts: Vec<[AtomicU64; WitnessOutcome::ALL.len()]>,
    last: Mutex<BTreeMap<usize, UnixMillis>>,
    pub(super) stopping: watch::Sender<Stopping>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    No,
    Yes,
}

/// The checkpoint that is with the witnesses.
#[derive(Debug, Default)]
struct Current {
    /// Its text, which is what they cosign.
    text: String,
    lines: BTreeMap<usize, Cosignature>,
    /// The newest note that a quorum cosigned.
    witnessed: Option<Arc<str>>,
    /// When the quorum was complete.
    witnessed_at: Option<UnixMillis>,
}

impl WitnessOutcome {
    pub(super) const ALL: [WitnessOutcome; 7] = [
        WitnessOutcome::Cosigned,
        WitnessOutcome::Conflict,
        WitnessOutcome::Ahead,
        WitnessOutcome::Inconsistent,
        WitnessOutcome::Refused,
        WitnessOutcome::Unreachable,
        WitnessOutcome::Invalid,
    ];

    /// For metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            WitnessOutcome::Cosigned => "cosigned",
            WitnessOutcome::Conflict => "conflict",
            WitnessOutcome::Ahead => "ahead",
            WitnessOutcome::Inconsistent => "inconsistent",
            WitnessOutcome::Refused => "refused",
            WitnessOutcome::Unreachable => "unreachable",
            WitnessOutcome::Invalid => "invalid",
        }
    }
}

impl Witnessing {
    pub(crate) fn none() -> Witnessing {
        Witnessing::of(None)
    }

    fn of(settings: Option<Witnesses>) -> Witnessing {
        let witnesses = settings.as_ref().map_or(0, |settings| settings.witnesses.len());
        let counts = (0..witnesses).map(|_| Default::default()).collect();
        Witnessing {
            settings,
            current: Mutex::default(),
            size: watch::Sender::new(0),
            counts,
            last: Mutex::default(),
            stopping: watch::Sender::new(Stopping::No),
        }
    }

    /// Takes over what the stored note has of cosignatures that hold.
    pub(crate) fn resume(settings: Option<Witnesses>, note: &str) -> Witnessing {
        let witnessing = Witnessing::of(settings);
        let Some((text, lines)) = split(note) else {
            return witnessing;
        };
        let found: Vec<_> = witnessing
            .witnesses()
            .iter()
            .enumerate()
            .filter_map(|(number, witness)| Some((number, witness.key.find(lines, text)?)))
            .collect();
        witnessing.begin(note);
        for (number, cosignature) in found {
            witnessing.accept(number, cosignature, note);
        }
        witnessing
    }

    pub(super) fn witnesses(&self) -> &[Witness] {
        self.settings.as_ref().map_or(&[], |settings| &settings.witnesses)
    }

    pub(super) fn quorum(&self) -> usize {
        self.settings
            .as_ref()
            .map_or(usize::MAX, |settings| settings.quorum)
    }

    /// Adds to a note that the log signed the line for witnesses, and the cosignatures that there are of the same tree.
    pub(crate) fn complete(&self, mut note: String, origin: &Origin) -> String {
        let (Some(settings), Some((text, _))) = (&self.settings, split(&note)) else {
            return note;
        };
        let text = text.to_owned();
        note.push_str(&settings.note_key.sign(&text, origin));
        let current = self.current();
        if current.text == text {
            note.extend(
                current
                    .lines
                    .values()
                    .map(|cosignature| cosignature.line.as_str()),
            );
        }
        note
    }

    /// To be told when more entries are covered by a checkpoint with a quorum.
    pub(crate) fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    /// From now on it is this note that is to be cosigned.
    pub(super) fn begin(&self, note: &str) {
        let Some((text, _)) = split(note) else { return };
        let mut current = self.current();
        if current.text != text {
            text.clone_into(&mut current.text);
            current.lines.clear();
        }
    }

    /// Keeps a cosignature of `note`, unless another checkpoint is in its place by now. Says whether it was kept.
    pub(super) fn accept(&self, number: usize, cosignature: Cosignature, note: &str) -> Kept {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(number, cosignature.time);
        drop(last);
        let mut current = self.current();
        let Some((text, _)) = split(note).filter(|(text, _)| *text == current.text) else {
            return Kept::No;
        };
        let time = cosignature.time;
        current.lines.insert(number, cosignature);
        if current.lines.len() >= self.quorum() {
            let mut witnessed = self.without_cosignatures(note);
            witnessed.extend(
                current
                    .lines
                    .values()
                    .map(|cosignature| cosignature.line.as_str()),
            );
            current.witnessed = Some(witnessed.into());
            current.witnessed_at = Some(time);
            let size = text
                .split('\n')
                .nth(1)
                .and_then(|size| size.parse().ok())
                .unwrap_or(0);
            self.size.send_if_modified(|before| {
                let more = size > *before;
                *before = size.max(*before);
                more
            });
        }
        Kept::Yes
    }

    /// What a note is before anybody cosigned it.
    fn without_cosignatures(&self, note: &str) -> String {
        let of_witness = |line: &str| {
            let name = line
                .strip_prefix(SIGNATURE_LINE)
                .and_then(|line| line.split_once(' '));
            name.is_some_and(|(name, _)| self.witnesses().iter().any(|witness| witness.key.name() == name))
        };
        note.split_inclusive('\n')
            .filter(|line| !of_witness(line))
            .collect()
    }

    /// The newest checkpoint that a quorum cosigned, a signed note.
    pub(crate) fn witnessed(&self) -> Option<Arc<str>> {
        self.current().witnessed.clone()
    }

    /// When the newest one was complete, by the clock of the witness that completed it.
    pub(crate) fn witnessed_at(&self) -> Option<UnixMillis> {
        self.current().witnessed_at
    }

    pub(super) fn count(&self, number: usize, outcome: WitnessOutcome) {
        let position = WitnessOutcome::ALL.iter().position(|known| *known == outcome);
        let count = position.and_then(|position| self.counts.get(number)?.get(position));
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn statistics(&self) -> Vec<WitnessStatistics> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let witnesses = self.witnesses().iter().zip(&self.counts).enumerate();
        witnesses
            .map(|(number, (witness, counts))| WitnessStatistics {
                name: witness.key.name().to_owned(),
                outcomes: WitnessOutcome::ALL
                    .into_iter()
                    .zip(counts.iter().map(|count| count.load(Ordering::Relaxed)))
                    .collect(),
                cosigned: last.get(&number).copied(),
            })
            .collect()
    }

    pub(crate) fn stop(&self) {
        self.stopping.send_replace(Stopping::Yes);
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a cosignature is of the checkpoint that is still asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    No,
}

/// The text of a note with its last newline, and its signature lines.
fn split(note: &str) -> Option<(&str, &str)> {
    let end = note.rfind("\n\n")?;
    Some((note.get(..=end)?, note.get(end.checked_add(2)?..)?))
}
