//! Tiles for readers who are served from the storage itself, without the log.

use std::io;
use std::sync::PoisonError;

use crate::running::Shared;
use crate::tile::{FULL_WIDTH, MAX_LEVEL, Tile, TileKind};

/// Stores every tile that a checkpoint of `size` entries has and one of `before` entries had not (C6). Durable on return.
pub(super) fn store(shared: &Shared, before: u64, size: u64) -> io::Result<()> {
    for tile in full_tiles(before, size).chain(partial_tiles(size)) {
        let held = shared
            .tail
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .read(tile);
        let bytes = match held {
            Some(bytes) => bytes,
            None if tile.is_full() => continue,
            // Full meanwhile, and stored.
            None => shared.durable_tile(tile)?,
        };
        shared.objects.put_immutable(&[(tile.to_string(), &bytes)])?;
    }
    Ok(())
}

/// Removes the partial tiles that full ones have replaced since a checkpoint of `before` entries. Readers of an older
/// checkpoint find the full ones (C2SP tlog-tiles, "Partial tiles").
pub(super) fn tidy(shared: &Shared, before: u64, size: u64) -> io::Result<()> {
    for tile in full_tiles(before, size) {
        shared.objects.drop_partials(tile)?;
    }
    Ok(())
}

fn kinds() -> impl Iterator<Item = (TileKind, u32)> {
    let hashes = (0..=MAX_LEVEL).map(|level| (TileKind::Hashes { level }, u32::from(level)));
    std::iter::once((TileKind::Entries, 0)).chain(hashes)
}

/// Hashes of a level in a tree of that size.
fn units(size: u64, level: u32) -> u64 {
    size.checked_shr(level.saturating_mul(8)).unwrap_or(0)
}

/// In the order in which they must be stored.
fn full_tiles(before: u64, size: u64) -> impl Iterator<Item = Tile> {
    kinds().flat_map(move |(kind, level)| {
        let width = u64::from(FULL_WIDTH);
        let new = units(before, level) / width..units(size, level) / width;
        new.filter_map(move |index| Tile::full(kind, index))
    })
}

fn partial_tiles(size: u64) -> impl Iterator<Item = Tile> {
    kinds().filter_map(move |(kind, level)| {
        let units = units(size, level);
        let width = u16::try_from(units % u64::from(FULL_WIDTH)).ok()?;
        Tile::new(kind, units / u64::from(FULL_WIDTH), width)
    })
}
