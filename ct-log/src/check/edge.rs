//! The hash tiles of a log, recomputed: each level from the one below. Only the right edge is kept.

use crate::tile::{FULL_WIDTH, MAX_LEVEL};
use crate::tree::{self, Frontier, Hash};
use crate::{Tile, TileKind};

/// Takes the leaf hashes in order and gives every hash tile as soon as it is complete.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    frontier: Frontier,
    levels: Vec<Level>,
}

/// The right edge of one level.
#[derive(Debug, Clone)]
struct Level {
    tiles: u64,
    hashes: Vec<Hash>,
}

impl Edge {
    pub(super) fn new() -> Self {
        Self {
            frontier: Frontier::new(),
            levels: Vec::new(),
        }
    }

    /// The edge of a tree of `size` leaves, a multiple of 256: the hashes of the partial tiles from level 1 up.
    /// Nothing if these are not as many as such a tree has.
    pub(super) fn restore(size: u64, upper: &[Vec<Hash>]) -> Option<Self> {
        let mut edge = Self::new();
        let mut units = size;
        for (level, hashes) in std::iter::once(&Vec::new()).chain(upper).enumerate() {
            let expected = units % u64::from(FULL_WIDTH);
            units /= u64::from(FULL_WIDTH);
            if u64::try_from(hashes.len()) != Ok(expected) || level > usize::from(MAX_LEVEL) {
                return None;
            }
            edge.levels.push(Level {
                tiles: units,
                hashes: hashes.clone(),
            });
        }
        for (level, hashes) in (1u32..).zip(upper).collect::<Vec<_>>().into_iter().rev() {
            for hash in hashes {
                edge.frontier.push_subtree(*hash, level.checked_mul(8)?);
            }
        }
        (units == 0 && edge.size() == size).then_some(edge)
    }

    /// What [`Edge::restore`] takes; only at a full tile.
    pub(super) fn upper(&self) -> Vec<Vec<Hash>> {
        let levels = self.levels.iter().skip(1);
        levels.map(|level| level.hashes.clone()).collect()
    }

    pub(super) fn is_at_full_tile(&self) -> bool {
        self.size().is_multiple_of(u64::from(FULL_WIDTH))
    }

    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over all hashes so far.
    pub(super) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Appends a leaf hash. Gives the tiles that it completes.
    pub(super) fn push(&mut self, leaf: Hash) -> Vec<(Tile, Vec<Hash>)> {
        self.frontier.push(leaf);
        let mut completed = Vec::new();
        let mut hash = leaf;
        for number in 0u8..=u8::MAX {
            let level = match self.levels.get_mut(usize::from(number)) {
                Some(level) => level,
                None => self.levels.push_mut(Level {
                    tiles: 0,
                    hashes: Vec::new(),
                }),
            };
            let Some((index, hashes)) = level.push(hash) else {
                break;
            };
            hash = tree::root(&hashes);
            // A log of 2^40 entries has tiles up to level 5 only.
            if let Some(tile) = Tile::full(TileKind::Hashes { level: number }, index) {
                completed.push((tile, hashes));
            }
        }
        completed
    }

    /// The partial tiles.
    pub(super) fn partial(&self) -> Vec<(Tile, Vec<Hash>)> {
        let levels = (0u8..).zip(&self.levels);
        let tile = |(number, level): (u8, &Level)| {
            let width = u16::try_from(level.hashes.len()).ok()?;
            let tile = Tile::new(TileKind::Hashes { level: number }, level.tiles, width)?;
            Some((tile, level.hashes.clone()))
        };
        levels.filter_map(tile).collect()
    }
}

impl Level {
    /// Gives the index and hashes of the tile that this hash completes.
    fn push(&mut self, hash: Hash) -> Option<(u64, Vec<Hash>)> {
        self.hashes.push(hash);
        if self.hashes.len() < usize::from(FULL_WIDTH) {
            return None;
        }
        self.tiles += 1;
        Some((self.tiles - 1, std::mem::take(&mut self.hashes)))
    }
}

pub(super) fn concatenated(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}
