//! That a log only grows: of two checkpoints, the later tree begins with the earlier one (C1).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Problem, Source};
use crate::leaf::LeafIndex;
use crate::proof::Plan;
use crate::tree::{Hash, verify_consistency, verify_inclusion};
use crate::{Checkpoint, Tile};

/// A verified checkpoint and the note that it was read from.
pub type SignedCheckpoint = (String, Checkpoint);

/// Checks that `now` is a later checkpoint of the log that signed `before`: not an older one, not one with fewer entries, and of a
/// tree that begins with the other. The proof is made of the tiles that the log publishes.
///
/// # Errors
/// What contradicts it, or what could not be read.
pub async fn check_growth(
    source: &impl Source,
    before: &SignedCheckpoint,
    now: &SignedCheckpoint,
) -> Result<(), Problem> {
    compatible(before, now)?;
    let (old, new) = (&before.1, &now.1);
    check_prefix(source, (old.size(), old.root()), new)
        .await
        .map_err(|problem| match problem {
            Problem::Proof => Problem::Unproved {
                before: before.0.clone(),
            },
            other => other,
        })
}

/// Checks that the tree of `now` begins with the tree of that size and root.
pub(crate) async fn check_prefix(
    source: &impl Source,
    (size, root): (u64, Hash),
    now: &Checkpoint,
) -> Result<(), Problem> {
    let plan = Plan::consistency(size, now.size()).ok_or(Problem::Proof)?;
    let hashes = prove(source, &plan, &mut BTreeMap::new()).await?;
    let proof = verify_consistency((size, root), (now.size(), now.root()), &hashes);
    proof.map_err(|_| Problem::Proof)
}

/// Checks that the leaf at that index of the tree of `now` has this hash. `tiles` are those that were read already.
pub(crate) async fn check_leaf(
    source: &impl Source,
    (index, leaf): (LeafIndex, Hash),
    now: &Checkpoint,
    tiles: &mut BTreeMap<Tile, Vec<u8>>,
) -> Result<(), Problem> {
    let plan = Plan::inclusion(index, now.size()).ok_or(Problem::Proof)?;
    let hashes = prove(source, &plan, tiles).await?;
    let proof = verify_inclusion(leaf, index, (now.size(), now.root()), &hashes);
    proof.map_err(|_| Problem::Proof)
}

async fn prove(
    source: &impl Source,
    plan: &Plan,
    tiles: &mut BTreeMap<Tile, Vec<u8>>,
) -> Result<Vec<Hash>, Problem> {
    for tile in plan.tiles() {
        if let Entry::Vacant(unread) = tiles.entry(tile) {
            unread.insert(source.tile(tile).await.map_err(Problem::Unreadable)?);
        }
    }
    plan.hashes(tiles).ok_or(Problem::Proof)
}

/// Two checkpoints of one log, as far as they can be compared without the tree.
pub(super) fn compatible(before: &SignedCheckpoint, now: &SignedCheckpoint) -> Result<(), Problem> {
    let ((note_before, seen), (note, checkpoint)) = (before, now);
    if checkpoint.size() == seen.size() && checkpoint.root() != seen.root() {
        let before = note_before.clone();
        return Err(Problem::Forked { before });
    }
    if checkpoint.size() >= seen.size() {
        return Ok(());
    }
    if checkpoint.timestamp() > seen.timestamp() {
        return Err(Problem::RolledBack {
            before: note_before.clone(),
            now: note.clone(),
        });
    }
    Err(Problem::Stale {
        size: checkpoint.size(),
        before: seen.size(),
    })
}
