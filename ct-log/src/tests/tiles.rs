//! Tile coordinates and paths (C2SP tlog-tiles), and the tail at the boundaries of tiles.

use proptest::prelude::*;

use crate::leaf::LeafIndex;
use crate::storage::Tail;
use crate::tests::support::leaf_bytes;
use crate::tile::{Tile, TileKind};
use crate::tree::{Frontier, root};

const HASHES: TileKind = TileKind::Hashes { level: 0 };

#[test]
fn paths_of_the_specification() {
    let full = |index| Tile::full(HASHES, index).unwrap().to_string();
    assert_eq!(full(0), "tile/0/000");
    assert_eq!(full(999), "tile/0/999");
    assert_eq!(full(1000), "tile/0/x001/000");
    assert_eq!(full(1_234_067), "tile/0/x001/x234/067");
    let level = TileKind::Hashes { level: 5 };
    assert_eq!(Tile::new(level, 0, 1).unwrap().to_string(), "tile/5/000.p/1");
    assert_eq!(
        Tile::new(TileKind::Entries, 1_234_067, 255).unwrap().to_string(),
        "tile/data/x001/x234/067.p/255"
    );
}

#[test]
fn other_spellings_are_refused() {
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/+0/000",
        "tile/6/000",
        "tile/256/000",
        "tile/data/x000/001",
        "tile/0/x01/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/xx001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/entries/000",
        "tile/0/-01",
        "tile/0/../000",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
}

#[test]
fn a_tile_beyond_forty_bits_does_not_exist() {
    let last = (1u64 << 32) - 1;
    assert_eq!(Tile::full(HASHES, last).unwrap().tree_size(), 1 << 40);
    assert_eq!(Tile::new(HASHES, last + 1, 1), None);
    assert_eq!(Tile::new(HASHES, u64::MAX, 1), None);
    assert_eq!(
        Tile::new(TileKind::Hashes { level: 4 }, 0, 256)
            .unwrap()
            .tree_size(),
        1 << 40
    );
    assert_eq!(Tile::new(TileKind::Hashes { level: 5 }, 0, 2), None);
}

proptest! {
    #[test]
    fn a_path_is_read_back(kind in 0u8..7, index in 0u64..1 << 40, width in 1u16..=256) {
        let kind = if kind == 6 { TileKind::Entries } else { TileKind::Hashes { level: kind } };
        if let Some(tile) = Tile::new(kind, index, width) {
            prop_assert_eq!(tile.to_string().parse::<Tile>(), Ok(tile));
        }
    }

    #[test]
    fn arbitrary_paths_do_not_panic(path in "tile/[0-9a-z/.x+-]{0,40}") {
        if let Ok(tile) = path.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }
}

/// 65,536 is where the first tile of level 1 fills up.
#[test]
fn the_tail_of_every_interesting_size() {
    let (mut tail, mut frontier) = (Tail::at(0), Frontier::new());
    let mut completed = Vec::new();
    let interesting = [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792];
    for index in 0..65_792u64 {
        let (hash, bytes) = leaf_bytes(LeafIndex::new(index).unwrap());
        frontier.push(hash);
        tail.push(hash, &bytes, &mut completed);
        let size = index + 1;
        if interesting.contains(&size) {
            assert_eq!(tail.frontier().root(), frontier.root(), "size {size}");
            assert_eq!(tail.frontier().size(), size);
            assert_eq!(tail.full_frontier().size(), size - size % 256);
            let full: u64 = completed.iter().filter(|full| full.tile.kind() == HASHES).count() as u64;
            assert_eq!(full, size / 256);
        }
    }
    let level_1: Vec<_> = completed
        .iter()
        .filter(|full| full.tile.kind() == (TileKind::Hashes { level: 1 }))
        .collect();
    assert_eq!(level_1.len(), 1);
    let below: Vec<_> = completed
        .iter()
        .filter(|full| full.tile.kind() == HASHES)
        .take(256)
        .collect();
    let (hashes, _) = level_1[0].bytes.as_chunks::<32>();
    for (hash, tile) in hashes.iter().zip(below) {
        let (leaves, _) = tile.bytes.as_chunks::<32>();
        let leaves: Vec<_> = leaves.iter().copied().map(crate::tree::Hash::new).collect();
        assert_eq!(root(&leaves).as_bytes(), hash);
    }
}

#[test]
fn a_partial_tile_is_the_beginning_of_a_wider_one() {
    let mut tail = Tail::at(0);
    let mut completed = Vec::new();
    let leaves: Vec<_> = (0..300)
        .map(|index| leaf_bytes(LeafIndex::new(index).unwrap()))
        .collect();
    for (hash, bytes) in &leaves {
        tail.push(*hash, bytes, &mut completed);
    }
    tail.hold(&completed);
    for width in [1u16, 2, 44] {
        let hashes = tail.read(Tile::new(HASHES, 1, width).unwrap()).unwrap();
        let entries = tail
            .read(Tile::new(TileKind::Entries, 1, width).unwrap())
            .unwrap();
        let expected = leaves[256..].iter().take(usize::from(width));
        assert_eq!(
            hashes,
            expected
                .clone()
                .flat_map(|(hash, _)| *hash.as_bytes())
                .collect::<Vec<_>>()
        );
        assert_eq!(
            entries,
            expected.flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
        );
    }
    assert_eq!(tail.read(Tile::new(HASHES, 1, 45).unwrap()), None);
    assert_eq!(tail.read(Tile::new(HASHES, 2, 1).unwrap()), None);
    let held = tail.read(Tile::new(TileKind::Entries, 0, 3).unwrap()).unwrap();
    assert_eq!(
        held,
        leaves[..3]
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect::<Vec<_>>()
    );
    for full in &completed {
        tail.release(full.tile);
    }
    assert_eq!(tail.read(Tile::full(HASHES, 0).unwrap()), None);
}

#[tokio::test]
async fn readers_of_a_tile_share_its_bytes() {
    use tower::ServiceExt as _;

    let log = super::support::in_memory();
    for number in 0..3 {
        super::support::submit(&log, number).await;
    }
    while log.published_size() < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let policy = crate::chain::Policy::new([root.der().as_ref()]).unwrap();
    let router = crate::http::router(log, policy);
    let read = async |path: &str| {
        let request = axum::http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(answer.into_body(), usize::MAX)
            .await
            .unwrap()
    };
    for path in ["/tile/data/000.p/3", "/tile/0/000.p/3"] {
        let (first, second) = (read(path).await, read(path).await);
        assert_eq!(first.as_ptr(), second.as_ptr(), "{path}");
        let others = read("/tile/data/000.p/2").await;
        assert_ne!(first, others);
    }
}
