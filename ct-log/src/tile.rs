//! Tiles and their paths (C2SP tlog-tiles, static-ct-api).
//!
//! A full tile covers 256 entries or 256 full tiles of the level below. A partial tile of width w is the first w of them.

use std::fmt;
use std::str::FromStr;

/// Hashes or entries in a full tile.
pub const FULL_WIDTH: u16 = 256;

/// Levels that a log of 2^40 entries can have (static-ct-api: 0 to 5).
pub const MAX_LEVEL: u8 = 5;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Entries (`TileLeaf` structures).
    Entries,
    /// Hashes of one level of the tree, 0 being the leaf hashes.
    Hashes {
        /// At most [`MAX_LEVEL`].
        level: u8,
    },
}

/// One tile of the log. Ordered by kind, then by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// A path that names no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path")]
pub struct TilePathError;

impl Tile {
    /// A tile; nothing if the level is over [`MAX_LEVEL`], the width is not 1 to 256, or the entries it covers would need
    /// an index of more than 40 bits.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Tile> {
        let tile = Tile { kind, index, width };
        let valid = (1..=FULL_WIDTH).contains(&width) && tile.level() <= MAX_LEVEL;
        let end = tile.entries_covered()?;
        (valid && end <= 1 << 40).then_some(tile)
    }

    /// The full tile there.
    pub fn full(kind: TileKind, index: u64) -> Option<Tile> {
        Tile::new(kind, index, FULL_WIDTH)
    }

    /// What it holds.
    pub fn kind(self) -> TileKind {
        self.kind
    }

    /// Position among the tiles of its kind.
    pub fn index(self) -> u64 {
        self.index
    }

    /// Number of hashes or entries, 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether it has all its 256 hashes or entries.
    pub fn is_full(self) -> bool {
        self.width == FULL_WIDTH
    }

    /// Size of the smallest tree that has this tile.
    pub fn tree_size(self) -> u64 {
        self.entries_covered().unwrap_or(u64::MAX)
    }

    fn entries_covered(self) -> Option<u64> {
        let units = self
            .index
            .checked_mul(u64::from(FULL_WIDTH))?
            .checked_add(u64::from(self.width))?;
        units.checked_mul(1u64.checked_shl(u32::from(self.level()).checked_mul(8)?)?)
    }

    fn level(self) -> u8 {
        match self.kind {
            TileKind::Entries => 0,
            TileKind::Hashes { level } => level,
        }
    }
}

/// The path below the monitoring prefix: `tile/<L>/<N>[.p/<W>]` or `tile/data/<N>[.p/<W>]`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/data/")?,
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
        }
        let mut groups = Vec::new();
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups.iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() {
            Ok(())
        } else {
            write!(f, ".p/{}", self.width)
        }
    }
}

/// Reads exactly what [`fmt::Display`] writes: no other spelling of the same tile.
impl FromStr for Tile {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Tile, TilePathError> {
        let rest = path.strip_prefix("tile/").ok_or(TilePathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError)?;
        let kind = match kind {
            "data" => TileKind::Entries,
            level => TileKind::Hashes {
                level: level.parse().map_err(|_| TilePathError)?,
            },
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().map_err(|_| TilePathError)?),
            None => (rest, FULL_WIDTH),
        };
        let tile = Tile::new(kind, parse_index(index)?, width).ok_or(TilePathError)?;
        if tile.to_string() == path {
            Ok(tile)
        } else {
            Err(TilePathError)
        }
    }
}

fn parse_index(path: &str) -> Result<u64, TilePathError> {
    path.split('/').try_fold(0u64, |index, group| {
        let digits: u64 = group.trim_start_matches('x').parse().map_err(|_| TilePathError)?;
        index
            .checked_mul(1000)
            .and_then(|index| index.checked_add(digits))
            .ok_or(TilePathError)
    })
}
