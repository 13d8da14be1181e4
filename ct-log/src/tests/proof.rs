//! C12: proofs that come from tiles are those of the tree, for every size that the log ever had.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::leaf_bytes;
use super::tree::{proof, reference_root};
use crate::leaf::LeafIndex;
use crate::proof::Plan;
use crate::storage::Tail;
use crate::tile::Tile;
use crate::tree::{
    Frontier, Hash, consistency_ranges, inclusion_ranges, verify_consistency, verify_inclusion,
};

/// A log that has all its tiles in memory, its leaf hashes, and its root at every size.
struct Tiles {
    tail: Tail,
    leaves: Vec<Hash>,
    roots: Vec<Hash>,
}

impl Tiles {
    fn of(size: u64) -> Tiles {
        let (mut tail, mut frontier, mut completed) = (Tail::at(0), Frontier::new(), Vec::new());
        let (mut leaves, mut roots) = (Vec::new(), vec![frontier.root()]);
        for index in 0..size {
            let (hash, bytes) = leaf_bytes(LeafIndex::new(index).unwrap());
            tail.push(hash, &bytes, &mut completed);
            frontier.push(hash);
            leaves.push(hash);
            roots.push(frontier.root());
        }
        tail.hold(&completed);
        Tiles { tail, leaves, roots }
    }

    fn read(&self, plan: &Plan) -> BTreeMap<Tile, Vec<u8>> {
        let tiles = plan.tiles().into_iter();
        tiles.map(|tile| (tile, self.tail.read(tile).unwrap())).collect()
    }

    fn hashes(&self, plan: &Plan) -> Vec<Hash> {
        plan.hashes(&self.read(plan)).unwrap()
    }
}

fn index(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

#[test]
fn every_inclusion_proof_of_small_trees() {
    let tiles = Tiles::of(600);
    for size in (1..=20).chain(250..=260).chain([511, 512, 513, 600]) {
        let leaves = &tiles.leaves[..size as usize];
        for leaf in 0..size {
            let expected = proof(leaves, inclusion_ranges(index(leaf), size).unwrap());
            let plan = Plan::inclusion(index(leaf), size).unwrap();
            assert_eq!(tiles.hashes(&plan), expected, "leaf {leaf} of {size}");
        }
        assert_eq!(Plan::inclusion(index(size), size), None);
    }
}

#[test]
fn every_root_and_consistency_proof_of_small_trees() {
    let tiles = Tiles::of(600);
    for size in 0..=600 {
        let leaves = &tiles.leaves[..size as usize];
        assert_eq!(tiles.hashes(&Plan::root(size)), [reference_root(leaves)]);
        for old in (0..=size).step_by(if size % 256 < 4 { 1 } else { 97 }) {
            let expected = proof(leaves, consistency_ranges(old, size).unwrap());
            let plan = Plan::consistency(old, size).unwrap();
            assert_eq!(tiles.hashes(&plan), expected, "{old} to {size}");
        }
        assert_eq!(Plan::consistency(size + 1, size), None);
    }
}

/// One tile of each level on the way to the leaf, one of each at the right edge.
#[test]
fn a_proof_needs_few_tiles() {
    for size in [1 << 16, (1 << 24) + 7, (1 << 32) - 1, 1 << 40] {
        for leaf in [0, 1, size / 3, size - 1] {
            let tiles = Plan::inclusion(index(leaf), size).unwrap().tiles();
            assert!(tiles.len() <= 10, "{} tiles for {leaf} of {size}", tiles.len());
            assert!(tiles.iter().all(|tile| tile.tree_size() <= size));
        }
        for old in [1, 255, size / 3, size - 1] {
            let tiles = Plan::consistency(old, size).unwrap().tiles();
            assert!(tiles.len() <= 10, "{} tiles for {old} to {size}", tiles.len());
        }
    }
}

#[test]
fn a_missing_or_short_tile_gives_no_proof() {
    let tiles = Tiles::of(300);
    let plan = Plan::inclusion(index(299), 300).unwrap();
    let whole = tiles.read(&plan);
    for tile in plan.tiles() {
        let mut damaged = whole.clone();
        damaged.remove(&tile);
        assert_eq!(plan.hashes(&damaged), None);
        damaged.insert(tile, whole[&tile][..31].to_vec());
        assert_eq!(plan.hashes(&damaged), None);
    }
}

/// Two levels of full tiles.
#[test]
fn proofs_of_a_large_tree_verify() {
    let tiles = Tiles::of(66_000);
    let mut runner = proptest::test_runner::TestRunner::default();
    let sizes = (1u64..=66_000).prop_flat_map(|size| (Just(size), 0..size));
    runner
        .run(&sizes, |(size, leaf)| {
            let head = (size, tiles.roots[size as usize]);
            let included = tiles.hashes(&Plan::inclusion(index(leaf), size).unwrap());
            verify_inclusion(tiles.leaves[leaf as usize], index(leaf), head, &included).unwrap();
            let consistent = tiles.hashes(&Plan::consistency(leaf, size).unwrap());
            let old = (leaf, tiles.roots[leaf as usize]);
            verify_consistency(old, head, &consistent).unwrap();
            Ok(())
        })
        .unwrap();
}
