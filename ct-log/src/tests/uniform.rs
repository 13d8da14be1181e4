//! Trees too large to build: all their leaves are equal, so that the hash of a subtree depends on nothing but the number of
//! its leaves. The oracle is RFC 6962 section 2.1 word for word.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use proptest::prelude::*;

use crate::leaf::LeafIndex;
use crate::proof::Plan;
use crate::storage::{Files, Memory, Objects, Store, Tail, Tiles};
use crate::tile::{FULL_WIDTH, MAX_LEVEL, Tile, TileKind};
use crate::tree::{Frontier, Hash, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion};

const MAX_SIZE: u64 = LeafIndex::MAX + 1;

/// Where one more entry fills a tile of one level, or of all.
pub(super) const BOUNDARIES: [u64; 5] = [1 << 8, 1 << 16, 1 << 24, 1 << 32, 1 << 40];

pub(super) struct Uniform {
    hashes: HashMap<u64, Hash>,
}

impl Uniform {
    pub(super) fn new() -> Uniform {
        Uniform {
            hashes: HashMap::from([(0, empty_root()), (1, leaf_hash(&[b"leaf"]))]),
        }
    }

    /// `MTH(D[n])`
    pub(super) fn root(&mut self, n: u64) -> Hash {
        if let Some(hash) = self.hashes.get(&n) {
            return *hash;
        }
        let k = split(n);
        let hash = node_hash(self.root(k), self.root(n - k));
        self.hashes.insert(n, hash);
        hash
    }

    /// `PATH(m, D[n])`
    fn path(&mut self, m: u64, n: u64) -> Vec<Hash> {
        if n == 1 {
            return Vec::new();
        }
        let k = split(n);
        let (mut path, last) = if m < k {
            (self.path(m, k), self.root(n - k))
        } else {
            (self.path(m - k, n - k), self.root(k))
        };
        path.push(last);
        path
    }

    /// `SUBPROOF(m, D[n], b)`
    fn subproof(&mut self, m: u64, n: u64, b: bool) -> Vec<Hash> {
        if m == n {
            return if b { Vec::new() } else { vec![self.root(m)] };
        }
        let k = split(n);
        let (mut proof, last) = if m <= k {
            (self.subproof(m, k, b), self.root(n - k))
        } else {
            (self.subproof(m - k, n - k, false), self.root(k))
        };
        proof.push(last);
        proof
    }

    /// A hash tile.
    pub(super) fn tile(&mut self, tile: Tile) -> Vec<u8> {
        let TileKind::Hashes { level } = tile.kind() else {
            unreachable!("only hash tiles are asked for")
        };
        let hash = self.root(1 << (8 * u32::from(level)));
        hash.as_bytes().repeat(usize::from(tile.width()))
    }

    fn proof(&mut self, plan: &Plan) -> Vec<Hash> {
        let tiles: BTreeMap<_, _> = plan
            .tiles()
            .into_iter()
            .map(|tile| (tile, self.tile(tile)))
            .collect();
        assert!(tiles.keys().all(|tile| tile.tree_size() <= plan.size()));
        plan.hashes(&tiles).unwrap()
    }

    /// The right edge of a tree of that size, as recovery fills it in.
    pub(super) fn tail(&mut self, size: u64) -> Tail {
        let mut tail = Tail::at(size);
        for level in 0..=MAX_LEVEL {
            let width = (size >> (8 * u32::from(level))) % u64::from(FULL_WIDTH);
            for _ in 0..width {
                tail.restore_hash(usize::from(level), self.root(1 << (8 * u32::from(level))));
            }
        }
        for _ in 0..size % u64::from(FULL_WIDTH) {
            tail.restore_entry(b"entry");
        }
        tail
    }
}

/// The largest power of two smaller than `n`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Sizes up to the largest, as many small as large ones, and those beside boundaries.
fn sizes() -> impl Strategy<Value = u64> {
    let of_a_length = (1u32..=40).prop_flat_map(|bits| (1 << (bits - 1))..=(1u64 << bits));
    let at_a_boundary = (0usize..5, -2i64..=2)
        .prop_map(|(boundary, step)| BOUNDARIES[boundary].saturating_add_signed(step).min(MAX_SIZE));
    prop_oneof![of_a_length, at_a_boundary]
}

proptest! {
    /// C12
    #[test]
    fn proofs_of_trees_up_to_the_largest((size, at) in (sizes(), any::<u64>())) {
        let mut tree = Uniform::new();
        let (head, at) = ((size, tree.root(size)), at % size);
        prop_assert_eq!(tree.proof(&Plan::root(size)), [head.1]);

        let leaf = LeafIndex::new(at).unwrap();
        let path = tree.proof(&Plan::inclusion(leaf, size).unwrap());
        prop_assert_eq!(&path, &tree.path(at, size));
        verify_inclusion(tree.root(1), leaf, head, &path).unwrap();
        prop_assert!(verify_inclusion(empty_root(), leaf, head, &path).is_err());

        let old = at + 1;
        let proof = tree.proof(&Plan::consistency(old, size).unwrap());
        prop_assert_eq!(&proof, &tree.subproof(old, size, true));
        verify_consistency((old, tree.root(old)), head, &proof).unwrap();
        prop_assert!(verify_consistency((old, empty_root()), head, &proof).is_err());
    }

    #[test]
    fn the_frontier_of_trees_up_to_the_largest(size in sizes()) {
        let mut tree = Uniform::new();
        let mut frontier = Frontier::new();
        for height in (0..=40).rev().filter(|height| size >> height & 1 == 1) {
            frontier.push_subtree(tree.root(1 << height), height);
        }
        prop_assert_eq!(frontier.size(), size);
        prop_assert_eq!(frontier.root(), tree.root(size));
        prop_assert_eq!(tree.tail(size).frontier(), frontier);
    }
}

/// The tiles that entry 2^8k completes are one of each level up to k, in the order in which they must be stored.
#[test]
fn the_tail_across_every_boundary() {
    let mut tree = Uniform::new();
    for (boundary, levels) in BOUNDARIES.into_iter().zip(1u8..) {
        let mut tail = tree.tail(boundary - 2);
        for size in boundary - 1..=boundary + 1 {
            let mut completed = Vec::new();
            tail.push(tree.root(1), b"entry", &mut completed);
            assert_eq!(tail.frontier().size(), size);
            assert_eq!(tail.frontier().root(), tree.root(size), "size {size}");
            let completed: Vec<_> = completed
                .into_iter()
                .map(|full| (full.tile, full.bytes))
                .collect();
            let mut expected = Vec::new();
            if size == boundary {
                let last = Tile::full(TileKind::Entries, (boundary >> 8) - 1).unwrap();
                expected.push((last, b"entry".repeat(256).into()));
                expected.extend((0..levels).map(|level| {
                    let index = (boundary >> (8 * (u32::from(level) + 1))) - 1;
                    let full = Tile::full(TileKind::Hashes { level }, index).unwrap();
                    (full, tree.tile(full).into())
                }));
            }
            assert_eq!(completed, expected, "size {size}");
        }
    }
}

/// C9: no tile is believed but by way of those above it.
#[test]
fn a_damaged_tile_on_the_way_up_is_noticed() {
    let size = (1 << 24) + (1 << 16);
    let mut tree = Uniform::new();
    let edge = RwLock::new(tree.tail(size));
    let files = Arc::new(Memory::new());
    let store = Store::new(Arc::clone(&files) as Arc<dyn Files>);
    let tiles = Tiles::new(&store, &edge);
    let way: Vec<_> = [(0, 999), (1, 3), (2, 0)]
        .into_iter()
        .map(|(level, index)| Tile::full(TileKind::Hashes { level }, index).unwrap())
        .collect();
    for tile in &way {
        store
            .put_immutable(&[(tile.to_string(), &tree.tile(*tile))])
            .unwrap();
    }
    let lowest = Tile::new(TileKind::Hashes { level: 0 }, 999, 7).unwrap();
    assert_eq!(tiles.read(lowest).unwrap(), tree.tile(lowest));
    for tile in &way {
        let path = tile.to_string();
        let good = tree.tile(*tile);
        let flips = (0..good.len()).step_by(5).map(|at| {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            flipped
        });
        let short = good[32..].to_vec();
        for bad in flips.chain([short, Vec::new()]) {
            files.remove(&path).unwrap();
            files.create(&path, 0).unwrap().write_at(&bad, 0).unwrap();
            let error = tiles.read(lowest).unwrap_err();
            assert_eq!(error.to_string(), format!("{path} is damaged"));
        }
        files.remove(&path).unwrap();
        let error = tiles.read(lowest).unwrap_err();
        assert_eq!(error.to_string(), format!("{path} is missing"));
        files.create(&path, 0).unwrap().write_at(&good, 0).unwrap();
    }
    assert_eq!(tiles.read(lowest).unwrap(), tree.tile(lowest));
}

/// C5
#[test]
fn indices_have_forty_bits() {
    for index in BOUNDARIES
        .into_iter()
        .flat_map(|boundary| [boundary - 2, boundary - 1, boundary])
    {
        let Some(leaf) = LeafIndex::new(index) else {
            assert_eq!(index, MAX_SIZE);
            continue;
        };
        let extensions = leaf.extensions();
        assert_eq!(extensions[..3], [0, 0, 5]);
        assert_eq!(extensions[3..], index.to_be_bytes()[3..]);
        assert_eq!(LeafIndex::from_extensions(&extensions), Some(leaf));
    }
}
