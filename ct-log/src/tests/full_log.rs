//! The last entry that a log can hold (C5): index 2^40 - 1. The log before it is made up of equal tiles.

use crate::checkpoint::Checkpoint;
use crate::leaf::{LeafIndex, PendingEntry, Position};
use crate::proof::Plan;
use crate::storage::{Chain, Files, Head, Header, Kind, Objects, RecordBuffer};
use crate::submission::SubmitError;
use crate::tests::support::{Harness, chain_of, checkpoint, entry, origin, submit};
use crate::tests::uniform::Uniform;
use crate::tile::{Tile, TileKind};
use crate::tree::{Frontier, Hash, root, verify_inclusion};

const MAX_SIZE: u64 = LeafIndex::MAX + 1;

/// Entries in full tiles; the tile after them is the last one.
const FULL: u64 = MAX_SIZE - 256;

/// `count` entries from `first`, encoded, and their leaf hashes.
fn entries(first: u64, count: u64, harness: &Harness) -> (Vec<u8>, Vec<Hash>) {
    let (mut bytes, mut hashes) = (Vec::new(), Vec::new());
    for index in first..first + count {
        let pending = PendingEntry::certificate(index.to_be_bytes().to_vec(), chain_of(&[]));
        let position = Position {
            index: LeafIndex::new(index).unwrap(),
            timestamp: harness.now(),
        };
        hashes.push(pending.put_tile_leaf(position, &mut bytes).unwrap());
    }
    (bytes, hashes)
}

/// A log with room for one entry.
fn nearly_full() -> Harness {
    let harness = Harness::new();
    drop(harness.create().unwrap());
    let store = harness.store();
    let mut tree = Uniform::new();
    let (data, leaves) = entries(FULL - 256, 256, &harness);
    let leaf_tile: Vec<u8> = leaves.iter().flat_map(|hash| *hash.as_bytes()).collect();
    let last = (FULL >> 8) - 1;
    let put = |tile: Tile, bytes: &[u8]| store.put_immutable(&[(tile.to_string(), bytes)]).unwrap();
    put(Tile::full(TileKind::Entries, last).unwrap(), &data);
    let mut frontier = Frontier::new();
    for level in (0..=3u8).rev() {
        let full = FULL >> (8 * (u32::from(level) + 1));
        for index in full - 255..full {
            let tile = Tile::full(TileKind::Hashes { level }, index).unwrap();
            let bytes = if (level, index) == (0, last) {
                leaf_tile.clone()
            } else {
                tree.tile(tile)
            };
            put(tile, &bytes);
            let (hashes, _) = bytes.as_chunks();
            let hashes: Vec<_> = hashes.iter().copied().map(Hash::new).collect();
            frontier.push_subtree(root(&hashes), 8 * (u32::from(level) + 1));
        }
    }
    assert_eq!(frontier.size(), FULL);
    let previous_root = frontier.root();
    let (body, leaves) = entries(FULL, 255, &harness);
    leaves.into_iter().for_each(|leaf| frontier.push(leaf));
    let head = Head {
        size: MAX_SIZE - 1,
        root: frontier.root(),
        timestamp: harness.now(),
    };
    let chain = Chain {
        log_id: harness.key().public().log_id(),
        epoch: 1,
        incarnation: [1; 16],
        number: 1,
        previous: [0; 32],
    };
    let header = Header {
        kind: Kind::Snapshot,
        chain,
        first_index: FULL,
        previous_root,
        head,
    };
    let mut record = RecordBuffer::new();
    record.body_mut().extend_from_slice(&body);
    let segments: Vec<_> = harness
        .model
        .paths()
        .into_iter()
        .filter(|path| path.starts_with("wal/"))
        .collect();
    segments.iter().for_each(|path| harness.model.delete(path));
    harness.model.create("wal/00000000000000000007", 0).unwrap();
    let sealed = record.seal(&header).0.to_vec();
    harness
        .model
        .damage("wal/00000000000000000007", |bytes| *bytes = sealed);
    let published = Checkpoint::new(head.size, head.root, head.timestamp);
    let note = published.sign(&origin(), &harness.key()).unwrap();
    harness
        .model
        .damage("checkpoint", |bytes| *bytes = note.into_bytes());
    harness
}

#[tokio::test]
async fn the_last_entry_is_taken_and_no_other() {
    let harness = nearly_full();
    let log = harness.open().unwrap();
    assert_eq!(log.size(), MAX_SIZE - 1);
    let pending = entry(&log, 1);
    let sct = submit(&log, 1).await;
    assert_eq!(sct.leaf_index().get(), LeafIndex::MAX);
    sct.verify(pending.entry(), log.public_key()).unwrap();
    let refused = harness.submit(&log, 2..5).await;
    assert_eq!(refused, [const { SubmitError::Unavailable }; 3]);
    log.shutdown().await;

    for _ in 0..2 {
        let log = harness.open().unwrap();
        let head = checkpoint(&log);
        assert_eq!((log.size(), head.size()), (MAX_SIZE, MAX_SIZE));
        let last = LeafIndex::new(LeafIndex::MAX).unwrap();
        let stored = log.read_entries(last, LeafIndex::MAX).await.unwrap();
        let leaf = stored[0].leaf_hash().unwrap();
        let path = log
            .prove(&Plan::inclusion(last, MAX_SIZE).unwrap())
            .await
            .unwrap()
            .unwrap();
        verify_inclusion(leaf, last, (head.size(), head.root()), &path).unwrap();
        assert_eq!(harness.submit(&log, 5..6).await, [SubmitError::Unavailable]);
        log.shutdown().await;
    }
}
