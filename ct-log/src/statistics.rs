//! How a log is doing, for the operator's metrics.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::leaf::UnixMillis;
use crate::witness::WitnessStatistics;

/// Upper bounds of the classes of [`CommitTimes`], in microseconds: from a disk with a write cache to one that hangs.
const BOUNDS_US: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000,
];

/// A log at a moment.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Durable entries.
    pub entries: u64,
    /// The newest published checkpoint.
    pub published: Checkpoint,
    /// Entries of the CA in this process that wait for the sequencer.
    pub internal_waiting: usize,
    /// Entries from outside that wait for the sequencer.
    pub external_waiting: usize,
    /// Files that were read and are not what the log wrote, or are missing. Readers get an error for them, never other bytes.
    pub damages: usize,
    /// When the last audit of the whole log ended, if one did since this process opened it.
    pub audited: Option<UnixMillis>,
    /// How long batches took to become durable, since this process opened the log.
    pub commits: CommitTimes,
    /// When a quorum of the witnesses last had cosigned a checkpoint.
    pub witnessed_at: Option<UnixMillis>,
    /// How each witness is doing.
    pub witnesses: Vec<WitnessStatistics>,
}

/// Durations by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitTimes {
    /// Upper bound of a class and how many durations are at most that long; cumulative, ascending.
    pub classes: Vec<(Duration, u64)>,
    /// How many there are in all.
    pub count: u64,
    /// Of all of them.
    pub sum: Duration,
}

/// Counts durations; written by the sequencer, read by anybody.
#[derive(Debug)]
pub(crate) struct CommitClock {
    counts: [AtomicU64; BOUNDS_US.len()],
    longer: AtomicU64,
    sum_us: AtomicU64,
}

impl CommitClock {
    pub(crate) fn new() -> CommitClock {
        CommitClock {
            counts: array::from_fn(|_| AtomicU64::new(0)),
            longer: AtomicU64::new(0),
            sum_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut classes = BOUNDS_US.iter().zip(&self.counts);
        let class = classes.find(|(bound, _)| took <= **bound);
        class
            .map_or(&self.longer, |(_, count)| count)
            .fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> CommitTimes {
        let mut count = 0;
        let mut classes = Vec::with_capacity(BOUNDS_US.len());
        for (bound, of_class) in BOUNDS_US.iter().zip(&self.counts) {
            count += of_class.load(Ordering::Relaxed);
            classes.push((Duration::from_micros(*bound), count));
        }
        CommitTimes {
            classes,
            count: count.saturating_add(self.longer.load(Ordering::Relaxed)),
            sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_its_class_and_all_above() {
        let clock = CommitClock::new();
        for micros in [100, 101, 2_500_001, 60_000_000] {
            clock.add(Duration::from_micros(micros));
        }
        let times = clock.read();
        let counts: Vec<u64> = times.classes.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3]);
        assert_eq!((times.count, times.sum), (4, Duration::from_micros(62_500_202)));
    }
}
