//! What a reader does with a log: it reads the published tree, and computes its root.

use std::io;

use crate::issuers;
use crate::leaf::SequencedEntry;
use crate::log::Log;
use crate::tests::support::checkpoint;
use crate::tile::{Tile, TileKind};
use crate::tree::Frontier;

/// Why a published tree cannot be read.
#[derive(Debug)]
pub(super) enum Trouble {
    Io(io::Error),
    /// What is read is not what was published.
    #[expect(dead_code, reason = "for people")]
    Wrong(&'static str),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

/// Every entry of the published tree, whose tiles lead to the root of its checkpoint (C6, C9).
pub(super) fn verify(log: &Log) -> Result<Vec<SequencedEntry>, Trouble> {
    let published = checkpoint(log);
    let (mut entries, mut frontier) = (Vec::new(), Frontier::new());
    for first in (0..published.size()).step_by(256) {
        let width = u16::try_from((published.size() - first).min(256)).unwrap();
        let tile = |kind| Tile::new(kind, first / 256, width).unwrap();
        let data = log.shared().durable_tile(tile(TileKind::Entries))?;
        let hashes = log.shared().durable_tile(tile(TileKind::Hashes { level: 0 }))?;
        let read = SequencedEntry::decode_all(&data).map_err(|_| Trouble::Wrong("a data tile"))?;
        let mut expected = Vec::new();
        for entry in &read {
            let hash = entry.leaf_hash().map_err(|_| Trouble::Wrong("an entry"))?;
            expected.extend_from_slice(hash.as_bytes());
            frontier.push(hash);
        }
        if expected != hashes {
            return Err(Trouble::Wrong("a data tile is not that of its hashes"));
        }
        entries.extend(read);
    }
    if frontier.root() != published.root() || entries.len() as u64 != published.size() {
        return Err(Trouble::Wrong("the tiles do not lead to the root"));
    }
    Ok(entries)
}

/// Whether every issuer that the entries name is there (C8).
pub(super) fn has_issuers(log: &Log, entries: &[SequencedEntry]) -> io::Result<bool> {
    let mut named: Vec<_> = entries.iter().flat_map(SequencedEntry::issuers).collect();
    named.sort();
    named.dedup();
    for fingerprint in named {
        if log.shared().objects.read(&issuers::path(fingerprint))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the storage itself has the tiles of the published tree: readers are served from it, without the log.
pub(super) fn stores_tiles(log: &Log) -> io::Result<bool> {
    let objects = &log.shared().objects;
    let size = checkpoint(log).size();
    for first in (0..size).step_by(256) {
        let width = u16::try_from((size - first).min(256)).unwrap();
        if width < 256 && !objects.serves_partials() {
            break;
        }
        for kind in [TileKind::Entries, TileKind::Hashes { level: 0 }] {
            let tile = Tile::new(kind, first / 256, width).unwrap();
            if objects.read(&tile.to_string())?.is_none() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
