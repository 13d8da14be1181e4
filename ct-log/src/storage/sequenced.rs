//! What a commit gives: the only values that an SCT can be signed from.

use crate::leaf::{LeafIndex, Position, SequencedEntry};

use super::Head;

/// The position of one entry that is durable. Only a commit makes one, or an entry that is read from what
/// was committed, and only one of these can be signed (C3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    position: Position,
}

impl Sequenced {
    /// The position of an entry that was read from the durable tree: as it was committed once. Nothing if it is beyond it (C3).
    pub(crate) fn read_again(stored: &SequencedEntry, durable: &Head) -> Option<Sequenced> {
        let position = stored.position();
        (position.index.get() < durable.size).then_some(Sequenced { position })
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }
}

/// A batch that is durable.
#[derive(Debug)]
pub(crate) struct Committed {
    first_index: u64,
    head: Head,
    needs_upkeep: bool,
}

impl Committed {
    /// To be called by a [`Journal`](super::Journal) alone, once the batch between these two trees is durable (C3).
    pub(super) fn after_sync(from: &Head, to: &Head) -> Committed {
        Committed {
            first_index: from.size,
            head: *to,
            needs_upkeep: false,
        }
    }

    /// The same, and the journal needs its upkeep soon.
    pub(super) fn and_needs_upkeep(self) -> Committed {
        Committed {
            needs_upkeep: true,
            ..self
        }
    }

    pub(crate) fn needs_upkeep(&self) -> bool {
        self.needs_upkeep
    }

    /// The entries of the batch, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Sequenced> {
        let timestamp = self.head.timestamp;
        let indices = (self.first_index..self.head.size).map_while(LeafIndex::new);
        indices.map(move |index| Sequenced {
            position: Position { index, timestamp },
        })
    }
}
