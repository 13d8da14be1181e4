//! The right edge of the log, in memory: every tile that is not full yet, and full ones that are not on disk yet.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::tile::{FULL_WIDTH, MAX_LEVEL, Tile, TileKind};
use crate::tree::{Frontier, Hash, root};

use super::Objects;

/// A tile that will never change again.
#[derive(Debug, Clone)]
pub(crate) struct FullTile {
    pub(crate) tile: Tile,
    pub(crate) bytes: Arc<Vec<u8>>,
}

impl FullTile {
    /// Its path and contents.
    pub(crate) fn file(&self) -> (String, &[u8]) {
        (self.tile.to_string(), &self.bytes)
    }
}

/// The hashes of one level, or the entries, since the last full tile.
#[derive(Debug, Clone)]
struct OpenTile {
    kind: TileKind,
    index: u64,
    bytes: Vec<u8>,
    /// Where each hash or entry ends in `bytes`.
    ends: Vec<usize>,
}

/// Bounded: per level less than one tile, and the full tiles that wait to be stored, whose number the queue to the keeper
/// bounds.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    entries: OpenTile,
    /// One for each level from 0; the last may be empty.
    levels: Vec<OpenTile>,
    full: BTreeMap<(TileKind, u64), Arc<Vec<u8>>>,
}

impl Tail {
    /// The edge of a log of `size` entries, before its partial tiles are filled in.
    pub(crate) fn at(size: u64) -> Tail {
        let mut levels = Vec::new();
        let mut units = size;
        for level in 0..=MAX_LEVEL {
            units /= u64::from(FULL_WIDTH);
            levels.push(OpenTile::new(TileKind::Hashes { level }, units));
        }
        let entries = OpenTile::new(TileKind::Entries, size / u64::from(FULL_WIDTH));
        Tail {
            entries,
            levels,
            full: BTreeMap::new(),
        }
    }

    /// Fills in a hash of a partial tile: recovery only, for a level whose tile is not full at this size.
    pub(crate) fn restore_hash(&mut self, level: usize, hash: Hash) {
        if let Some(tile) = self.levels.get_mut(level) {
            tile.push(hash.as_bytes());
        }
    }

    /// Fills in an entry of the partial data tile: recovery only.
    pub(crate) fn restore_entry(&mut self, tile_leaf: &[u8]) {
        self.entries.push(tile_leaf);
    }

    /// Appends one entry. Tiles that it completes are added to `completed` in the order in which they must be stored.
    pub(crate) fn push(&mut self, leaf: Hash, tile_leaf: &[u8], completed: &mut Vec<FullTile>) {
        self.entries.push(tile_leaf);
        if let Some(full) = self.entries.take_full() {
            completed.push(full);
        }
        let mut hash = leaf;
        for level in &mut self.levels {
            level.push(hash.as_bytes());
            let Some(full) = level.take_full() else { break };
            hash = root(&hashes(&full.bytes));
            completed.push(full);
        }
    }

    /// Holds full tiles until [`Tail::release`], so that readers find them.
    pub(crate) fn hold(&mut self, completed: &[FullTile]) {
        for full in completed {
            let key = (full.tile.kind(), full.tile.index());
            self.full.insert(key, Arc::clone(&full.bytes));
        }
    }

    /// Forgets a full tile that is on disk now.
    pub(crate) fn release(&mut self, tile: Tile) {
        self.full.remove(&(tile.kind(), tile.index()));
    }

    /// The bytes of a tile, full or partial, if the tail has it up to that width.
    pub(crate) fn read(&self, tile: Tile) -> Option<Vec<u8>> {
        let open = match tile.kind() {
            TileKind::Entries => Some(&self.entries),
            TileKind::Hashes { level } => self.levels.get(usize::from(level)),
        };
        if let Some(open) = open.filter(|open| open.index == tile.index()) {
            return open.first(tile.width());
        }
        let full = self.full.get(&(tile.kind(), tile.index()))?;
        first_of_full(tile, full)
    }

    /// The entries after the last full data tile.
    pub(crate) fn partial_entries(&self) -> &[u8] {
        &self.entries.bytes
    }

    /// The complete subtrees of the tree, from the partial tiles.
    pub(crate) fn frontier(&self) -> Frontier {
        self.frontier_above(0)
    }

    /// The same of the tree that ends with the last full tile.
    pub(crate) fn full_frontier(&self) -> Frontier {
        self.frontier_above(1)
    }

    fn frontier_above(&self, lowest: usize) -> Frontier {
        let mut frontier = Frontier::new();
        let heights = (0..=u32::from(MAX_LEVEL)).map(|level| level.saturating_mul(8));
        let levels: Vec<_> = heights.zip(&self.levels).skip(lowest).collect();
        for (height, level) in levels.into_iter().rev() {
            for hash in hashes(&level.bytes) {
                frontier.push_subtree(hash, height);
            }
        }
        frontier
    }
}

impl OpenTile {
    fn new(kind: TileKind, index: u64) -> OpenTile {
        OpenTile {
            kind,
            index,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// If full, the tile, leaving the next one in its place.
    fn take_full(&mut self) -> Option<FullTile> {
        if self.ends.len() < usize::from(FULL_WIDTH) {
            return None;
        }
        let tile = Tile::full(self.kind, self.index)?;
        let bytes = Arc::new(std::mem::take(&mut self.bytes));
        self.ends.clear();
        self.index = self.index.saturating_add(1);
        Some(FullTile { tile, bytes })
    }

    fn first(&self, width: u16) -> Option<Vec<u8>> {
        let last = usize::from(width).checked_sub(1)?;
        self.bytes.get(..*self.ends.get(last)?).map(<[u8]>::to_vec)
    }
}

/// The hashes of a tile.
pub(crate) fn hashes(bytes: &[u8]) -> Vec<Hash> {
    let (hashes, _) = bytes.as_chunks::<32>();
    hashes.iter().copied().map(Hash::new).collect()
}

/// A tile of any width from the full one on disk, where it must be, as it is there.
pub(super) fn read_stored_tile(objects: &dyn Objects, tile: Tile) -> io::Result<Vec<u8>> {
    let full = Tile::full(tile.kind(), tile.index()).unwrap_or(tile);
    let bytes = objects.read(&full.to_string())?.ok_or(ErrorKind::NotFound)?;
    let damaged = || io::Error::new(ErrorKind::InvalidData, format!("{full} is damaged"));
    first_of_full(tile, &bytes).ok_or_else(damaged)
}

/// As much of a full tile as the asked width takes; nothing if the bytes are not those of a full tile.
pub(super) fn first_of_full(tile: Tile, full: &[u8]) -> Option<Vec<u8>> {
    let end = match tile.kind() {
        _ if tile.is_full() => full.len(),
        TileKind::Hashes { .. } => usize::from(tile.width()).checked_mul(32)?,
        TileKind::Entries => {
            let mut rest = full;
            for _ in 0..tile.width() {
                rest = crate::leaf::SequencedEntry::decode(rest).ok()?.1;
            }
            full.len().checked_sub(rest.len())?
        }
    };
    full.get(..end).map(<[u8]>::to_vec)
}
