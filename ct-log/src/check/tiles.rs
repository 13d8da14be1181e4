//! The hash tiles: each level is recomputed from the one below and compared.

use super::{Problem, Report, Source};
use crate::tile::FULL_WIDTH;
use crate::tree::{self, Frontier, Hash};
use crate::{Tile, TileKind};

/// Takes the leaf hashes in order and checks every hash tile as soon as it is complete.
pub(super) struct TileCheck<'a, S> {
    source: &'a S,
    frontier: Frontier,
    levels: Vec<Level>,
}

/// The right edge of one level.
struct Level {
    tiles: u64,
    hashes: Vec<Hash>,
}

impl<'a, S: Source> TileCheck<'a, S> {
    pub(super) fn new(source: &'a S) -> Self {
        Self {
            source,
            frontier: Frontier::new(),
            levels: Vec::new(),
        }
    }

    /// The root over all hashes so far.
    pub(super) fn root(&self) -> Hash {
        self.frontier.root()
    }

    pub(super) async fn push(&mut self, leaf: Hash, report: &mut Report) {
        self.frontier.push(leaf);
        let mut hash = leaf;
        for number in 0u8..=u8::MAX {
            let full = match self.levels.get_mut(usize::from(number)) {
                Some(level) => level.push(hash),
                None => {
                    self.levels.push(Level {
                        tiles: 0,
                        hashes: vec![hash],
                    });
                    None
                }
            };
            let Some((index, hashes)) = full else {
                return;
            };
            self.compare(
                Tile::full(TileKind::Hashes { level: number }, index),
                &hashes,
                report,
            )
            .await;
            hash = tree::root(&hashes);
        }
    }

    /// Checks the partial tiles at the right edge.
    pub(super) async fn finish(&mut self, report: &mut Report) {
        let levels = std::mem::take(&mut self.levels);
        for (number, level) in (0u8..).zip(&levels) {
            if level.hashes.is_empty() {
                continue;
            }
            let width = u16::try_from(level.hashes.len()).unwrap_or(FULL_WIDTH);
            let tile = Tile::new(TileKind::Hashes { level: number }, level.tiles, width);
            self.compare(tile, &level.hashes, report).await;
        }
    }

    async fn compare(&self, tile: Option<Tile>, hashes: &[Hash], report: &mut Report) {
        // A log of 2^40 entries has tiles up to level 5 only.
        let Some(tile) = tile else {
            return;
        };
        match self.source.tile(tile).await {
            Ok(bytes) if bytes == concatenated(hashes) => report.count_hash_tile(),
            Ok(_) => report.add(Problem::HashTile(tile)),
            Err(error) => report.add(Problem::Unreadable(error)),
        }
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

fn concatenated(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}
