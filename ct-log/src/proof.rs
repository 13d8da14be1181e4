//! Merkle proofs from tiles. A tree of any published size is in the hash tiles of the log as it is now, so that every proof
//! comes from a few of them: one for each level on the way to the leaf, and one for each level at the right edge.
//!
//! Pure: [`Plan::tiles`] says which tiles to read, [`Plan::hashes`] makes the proof of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::leaf::LeafIndex;
use crate::tile::{FULL_WIDTH, MAX_LEVEL, Tile, TileKind};
use crate::tree::{self, Frontier, Hash};

/// Subtrees of the tree of a certain size, each of which is to become one hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    size: u64,
    subtrees: Vec<Vec<Node>>,
}

/// A complete subtree: `2^height` leaves, the first of them at `index * 2^height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    height: u32,
    index: u64,
}

/// Where the hashes below a node lie: a tile of the tree, and the place in it.
struct Place {
    tile: Tile,
    bytes: Range<usize>,
}

impl Plan {
    /// The inclusion proof of a leaf in the tree of `size` leaves (RFC 6962 section 2.1.1). Nothing if the leaf is not in it.
    pub fn inclusion(index: LeafIndex, size: u64) -> Option<Plan> {
        Some(Plan::new(tree::inclusion_ranges(index, size)?, size))
    }

    /// The consistency proof between the first `old` leaves and all `new` ones (RFC 6962 section 2.1.2). Nothing if
    /// `old > new`; an empty proof if `old` is 0 or equal to `new`.
    pub fn consistency(old: u64, new: u64) -> Option<Plan> {
        Some(Plan::new(tree::consistency_ranges(old, new)?, new))
    }

    /// One hash: the root of the tree of `size` leaves.
    pub fn root(size: u64) -> Plan {
        Plan::new(std::iter::once(0..size), size)
    }

    fn new(ranges: impl IntoIterator<Item = Range<u64>>, size: u64) -> Plan {
        let subtrees = ranges.into_iter().map(complete_subtrees).collect();
        Plan { size, subtrees }
    }

    /// The size of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tiles that are needed, as wide as they are in the tree of that size.
    pub fn tiles(&self) -> BTreeSet<Tile> {
        let places = self.subtrees.iter().flatten();
        places
            .filter_map(|node| node.place(self.size))
            .map(|place| place.tile)
            .collect()
    }

    /// The hashes, in the order of the proof. Nothing if a tile is missing or too short.
    pub fn hashes(&self, tiles: &BTreeMap<Tile, Vec<u8>>) -> Option<Vec<Hash>> {
        let subtree = |nodes: &Vec<Node>| {
            let mut frontier = Frontier::new();
            for node in nodes {
                frontier.push_subtree(node.hash(self.size, tiles)?, node.height);
            }
            Some(frontier.root())
        };
        self.subtrees.iter().map(subtree).collect()
    }
}

impl Node {
    fn place(self, size: u64) -> Option<Place> {
        let level = u8::try_from(self.height / 8).ok()?.min(MAX_LEVEL);
        let level_height = u32::from(level).checked_mul(8)?;
        let below = self.height.checked_sub(level_height)?;
        let first = self.index.checked_shl(below)?;
        let index = first / u64::from(FULL_WIDTH);
        let in_tree = size.checked_shr(level_height)?;
        let before = index.checked_mul(u64::from(FULL_WIDTH))?;
        let width = in_tree.checked_sub(before)?.min(u64::from(FULL_WIDTH));
        let start = usize::try_from(first.checked_sub(before)?).ok()?;
        let end = start.checked_add(1usize.checked_shl(below)?)?;
        Some(Place {
            tile: Tile::new(TileKind::Hashes { level }, index, u16::try_from(width).ok()?)?,
            bytes: start.checked_mul(HASH_BYTES)?..end.checked_mul(HASH_BYTES)?,
        })
    }

    fn hash(self, size: u64, tiles: &BTreeMap<Tile, Vec<u8>>) -> Option<Hash> {
        let place = self.place(size)?;
        let (hashes, []) = tiles.get(&place.tile)?.get(place.bytes)?.as_chunks() else {
            return None;
        };
        let hashes: Vec<_> = hashes.iter().copied().map(Hash::new).collect();
        Some(tree::root(&hashes))
    }
}

const HASH_BYTES: usize = 32;

/// The complete subtrees of a range of leaves, from left to right. In a proof a range begins at a multiple of a power of two
/// that is not below its length, so they get smaller.
fn complete_subtrees(range: Range<u64>) -> Vec<Node> {
    let Range { mut start, end } = range;
    let mut nodes = Vec::new();
    while start < end {
        let height = start.trailing_zeros().min((end - start).ilog2());
        nodes.push(Node {
            height,
            index: start >> height,
        });
        start += 1 << height;
    }
    nodes
}
