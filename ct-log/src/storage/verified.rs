//! Tiles from the storage, believed only if they lead to the tree in memory.
//!
//! The right edge of the tree is in memory, and its root was compared with what was written before the log opened. Every full
//! tile has its hash in the tile of the level above, up to one that is in memory; entries have theirs in the tile of level 0. So
//! a bit that changed where it is kept costs an answer, and never makes a wrong one.

use std::io::{self, ErrorKind};
use std::sync::{PoisonError, RwLock};

use crate::leaf::SequencedEntry;
use crate::tile::{FULL_WIDTH, Tile, TileKind};
use crate::tree::{Hash, root};

use super::Objects;
use super::tail::{Tail, first_of_full, hashes};

/// The tiles of a tree whose right edge is in memory.
pub(crate) struct Tiles<'a> {
    objects: &'a dyn Objects,
    edge: &'a RwLock<Tail>,
}

impl<'a> Tiles<'a> {
    pub(crate) fn new(objects: &'a dyn Objects, edge: &'a RwLock<Tail>) -> Tiles<'a> {
        Tiles { objects, edge }
    }

    /// A tile that is in memory. The keeper removes one from there only once it is stored: it is in one of the two.
    pub(crate) fn held(&self, tile: Tile) -> Option<Vec<u8>> {
        let edge = self.edge.read().unwrap_or_else(PoisonError::into_inner);
        edge.read(tile)
    }

    /// A tile of any width. Its contents are verified, but for what the tree does not cover: the precertificates and the
    /// fingerprints of issuers in entries.
    ///
    /// # Errors
    /// It could not be read; with [`ErrorKind::InvalidData`] if it is damaged or missing.
    pub(crate) fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        if let Some(held) = self.held(tile) {
            return Ok(held);
        }
        let full = Tile::full(tile.kind(), tile.index()).unwrap_or(tile);
        let bytes = self.objects.read(&full.to_string())?;
        let bytes = bytes.ok_or_else(|| damaged(full, "is missing"))?;
        if !self.is_of_the_tree(full, &bytes)? {
            return Err(damaged(full, "is damaged"));
        }
        first_of_full(tile, &bytes).ok_or_else(|| damaged(full, "is damaged"))
    }

    fn is_of_the_tree(&self, full: Tile, bytes: &[u8]) -> io::Result<bool> {
        match full.kind() {
            TileKind::Entries => {
                let below = Tile::full(TileKind::Hashes { level: 0 }, full.index());
                let expected = below.map(|tile| self.read(tile)).transpose()?;
                Ok(leaf_hashes(bytes).is_some_and(|found| Some(found) == expected))
            }
            TileKind::Hashes { level } => {
                let whole = bytes.len() == usize::from(FULL_WIDTH).saturating_mul(HASH_BYTES);
                Ok(whole && Some(root(&hashes(bytes))) == self.hash_above(level, full.index())?)
            }
        }
    }

    /// The hash of a full tile, from the tile above it.
    fn hash_above(&self, level: u8, index: u64) -> io::Result<Option<Hash>> {
        let kind = TileKind::Hashes {
            level: level.saturating_add(1),
        };
        let place = index % u64::from(FULL_WIDTH);
        let width = u16::try_from(place.saturating_add(1)).unwrap_or(FULL_WIDTH);
        let Some(above) = Tile::new(kind, index / u64::from(FULL_WIDTH), width) else {
            return Ok(None);
        };
        Ok(hashes(&self.read(above)?).last().copied())
    }
}

const HASH_BYTES: usize = 32;

/// What the tile of level 0 must be. Nothing if these are not entries.
fn leaf_hashes(data: &[u8]) -> Option<Vec<u8>> {
    let entries = SequencedEntry::decode_all(data).ok()?;
    let mut hashes = Vec::with_capacity(entries.len().saturating_mul(HASH_BYTES));
    for entry in entries {
        hashes.extend_from_slice(entry.leaf_hash().ok()?.as_bytes());
    }
    Some(hashes)
}

fn damaged(tile: Tile, what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{tile} {what}"))
}
