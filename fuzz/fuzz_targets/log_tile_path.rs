//! The path of a tile, as a reader sends it: each tile has one spelling, and is inside what a log can hold.
#![no_main]

use ct_log::{LeafIndex, Tile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    let Ok(tile) = path.parse::<Tile>() else {
        return;
    };
    assert_eq!(tile.to_string(), path);
    assert!((1..=256).contains(&tile.width()));
    assert!(tile.tree_size() <= LeafIndex::MAX + 1);
    assert_eq!(Tile::new(tile.kind(), tile.index(), tile.width()), Some(tile));
});
