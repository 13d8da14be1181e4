//! What an auditor of this very process must find in the log: every entry that an SCT was given out for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::tree::Hash;

/// Entries that are remembered with their hashes, some 10 MB: 40 s of the fastest issuance that was measured, four rounds of
/// the auditor. Of what comes beyond that only the indices are remembered.
const MAX_KEPT: usize = 131_072;

/// SCTs that were given out and not found in the public log yet. Bounded, and nothing is forgotten: of entries beyond the bound
/// the range of their indices is kept.
#[derive(Debug)]
pub(crate) struct Receipts {
    pending: Mutex<Pending>,
    most: usize,
}

#[derive(Debug, Default)]
struct Pending {
    kept: BTreeMap<u64, Receipt>,
    /// Indices that are to be looked at without a hash to compare, and since when.
    ranged: Option<(Range<u64>, Instant)>,
}

/// One SCT that was given out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub(crate) leaf: Hash,
    since: Instant,
}

impl Receipts {
    pub(crate) fn new() -> Receipts {
        Receipts::of_most(MAX_KEPT)
    }

    pub(crate) fn of_most(most: usize) -> Receipts {
        Receipts {
            pending: Mutex::new(Pending::default()),
            most,
        }
    }

    pub(crate) fn keep(&self, index: u64, leaf: Hash) {
        let mut pending = self.pending();
        let since = Instant::now();
        if pending.kept.len() < self.most {
            pending.kept.insert(index, Receipt { leaf, since });
            return;
        }
        let end = index.saturating_add(1);
        let (range, since) = pending.ranged.take().unwrap_or((index..end, since));
        pending.ranged = Some((range.start.min(index)..range.end.max(end), since));
    }

    /// What a tree of that size must hold.
    pub(crate) fn below(&self, size: u64) -> (BTreeMap<u64, Receipt>, Option<Range<u64>>) {
        let pending = self.pending();
        let kept = pending.kept.range(..size);
        let kept = kept.map(|(index, receipt)| (*index, *receipt)).collect();
        let ranged = pending.ranged.as_ref();
        let ranged = ranged.map(|(range, _)| range.start..range.end.min(size));
        (kept, ranged.filter(|range| !range.is_empty()))
    }

    /// Forgets entries that were found.
    pub(crate) fn found(&self, indices: impl IntoIterator<Item = u64>) {
        let mut pending = self.pending();
        for index in indices {
            pending.kept.remove(&index);
        }
    }

    /// Forgets the indices below `end`, which were looked at.
    pub(crate) fn looked_at(&self, end: u64) {
        let mut pending = self.pending();
        pending.ranged = pending.ranged.take().and_then(|(range, since)| {
            let rest = range.start.max(end)..range.end;
            (!rest.is_empty()).then_some((rest, since))
        });
    }

    /// How many entries wait, at least, and for how long the first of them.
    pub(crate) fn waiting(&self) -> (u64, Duration) {
        let pending = self.pending();
        let ranged = pending.ranged.as_ref();
        let count = ranged.map_or(0, |(range, _)| range.end.saturating_sub(range.start));
        let kept = u64::try_from(pending.kept.len()).unwrap_or(u64::MAX);
        let first = pending.kept.values().map(|receipt| receipt.since).min();
        let first = first.into_iter().chain(ranged.map(|(_, since)| *since)).min();
        (
            kept.saturating_add(count),
            first.map_or(Duration::ZERO, |first| first.elapsed()),
        )
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_remembered_as_a_range() {
        let receipts = Receipts::of_most(2);
        for index in [7, 3, 9, 5, 12] {
            receipts.keep(index, Hash::new([0; 32]));
        }
        let (kept, ranged) = receipts.below(100);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), [3, 7]);
        assert_eq!(ranged, Some(5..13));
        let (kept, ranged) = receipts.below(6);
        assert_eq!((kept.len(), ranged), (1, Some(5..6)));
        assert_eq!(receipts.waiting().0, 10);
        receipts.found([3]);
        receipts.looked_at(10);
        let (kept, ranged) = receipts.below(100);
        assert_eq!(
            (kept.into_keys().collect::<Vec<_>>(), ranged),
            (vec![7], Some(10..13))
        );
        receipts.looked_at(13);
        receipts.found([7]);
        assert_eq!(receipts.waiting(), (0, Duration::ZERO));
    }
}
