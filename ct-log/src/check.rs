//! Audit of a whole log from what it publishes: the tree, every tile, every entry, every issuer, and the
//! checkpoint over all of it (invariants C5 to C9).
//!
//! It trusts nothing but the log's public key and origin. Memory is bounded by a few tiles, whatever the size
//! of the log. Tiles are read ahead, and entries are checked on the blocking threads of the Tokio runtime that
//! an audit must run in: all cores have work, and the tree is put together in order.
//!
//! An audit can go on where an earlier one ended ([`Progress`]): then it also proves that the log has only
//! grown since (C1), because it recomputes the roots of the checkpoints it saw then.

mod certificates;
#[cfg(feature = "client")]
mod copy;
mod edge;
mod entries;
mod growth;
mod progress;
mod report;
mod source;

use futures_util::StreamExt as _;

#[cfg(feature = "client")]
pub use copy::StaticCopy;
pub(crate) use growth::check_leaf;
#[cfg(feature = "tools")]
pub(crate) use growth::check_prefix;
pub use growth::{SignedCheckpoint, check_growth};
pub use progress::{Progress, ProgressError};
pub use report::{Problem, Report};
pub use source::{Source, SourceError, StoredLog};

use crate::tile::FULL_WIDTH;
use crate::{Checkpoint, LogPublicKey, Origin, Tile, TileKind};
use certificates::Chains;
use edge::Edge;
use entries::Examined;

/// Data tiles that are read and checked at once: enough to hide a round trip to a remote log behind the
/// signatures of the tiles before. Each is at most 32 MiB.
const READ_AHEAD: usize = 8;

/// How much is checked of what the tree does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Tree, encodings, and that issuers are there and hash to their names.
    Structure,
    /// Also that every entry is a certificate signed by its issuers up to a root, and that the logged part
    /// of a precertificate is that precertificate's. A flipped bit of a precertificate's signature shows
    /// only here.
    Certificates,
}

/// Audits the log behind `source`, which must be that of `origin` and `key`.
pub async fn check(source: &impl Source, log: (&Origin, &LogPublicKey), depth: Depth) -> Report {
    let mut progress = Progress::new();
    check_from(source, log, depth, (&mut progress, |_: &Progress| ())).await
}

/// The same from where an earlier audit ended. `progress` is moved on with every tile that is right, and
/// `watch` sees it each time: whoever stores it can go on from there, also after an audit that was cut short.
pub async fn check_from(
    source: &impl Source,
    (origin, key): (&Origin, &LogPublicKey),
    depth: Depth,
    (progress, watch): (&mut Progress, impl FnMut(&Progress)),
) -> Report {
    let mut report = Report::new();
    let (note, checkpoint) = match checkpoint(source, origin, key).await {
        Ok(read) => read,
        Err(problem) => {
            report.add(problem);
            return report;
        }
    };
    report.begin(&checkpoint, progress.entries());
    if let Err(problem) = progress.meet((note, checkpoint)) {
        report.add(problem);
        return report;
    }
    watch_all(source, (checkpoint, depth), (progress, watch), &mut report).await;
    report
}

async fn checkpoint(
    source: &impl Source,
    origin: &Origin,
    key: &LogPublicKey,
) -> Result<(String, Checkpoint), Problem> {
    let note = source.checkpoint().await.map_err(Problem::Unreadable)?;
    let checkpoint = Checkpoint::verify(&note, origin, key).map_err(Problem::Checkpoint)?;
    Ok((note, checkpoint))
}

async fn watch_all<S: Source>(
    source: &S,
    (checkpoint, depth): (Checkpoint, Depth),
    (progress, mut watch): (&mut Progress, impl FnMut(&Progress)),
    report: &mut Report,
) {
    let chains = Chains::new(source, depth);
    let tiles = data_tiles(progress.entries(), checkpoint.size());
    let examine = |tile| entries::examine(source, &chains, (tile, checkpoint.timestamp()));
    let mut examined = futures_util::stream::iter(tiles)
        .map(examine)
        .buffered(READ_AHEAD);
    let mut edge = progress.edge().clone();
    // Nothing else may be waited for in this loop: what is read ahead would stand still meanwhile.
    while let Some(tile) = examined.next().await {
        match tile {
            Ok(tile) => append(tile, &mut edge, progress, report),
            // Without these leaf hashes nothing that follows can be recomputed.
            Err(problem) => return report.add(problem),
        }
        report.set_issuers(chains.issuers());
        if report.problems().is_empty() && edge.is_at_full_tile() {
            progress.advance(&edge);
            watch(progress);
        }
    }
    for (tile, hashes) in edge.partial() {
        // That of level 0 came with its entries.
        if tile.kind() != (TileKind::Hashes { level: 0 }) {
            report.take_hash_tile(entries::compare(tile, &hashes, source.tile(tile).await));
        }
    }
    if edge.root() != checkpoint.root() {
        report.add(Problem::Root);
    }
}

fn append(tile: Examined, edge: &mut Edge, progress: &Progress, report: &mut Report) {
    for problem in tile.problems {
        report.add(problem);
    }
    let mut above = tile.above.into_iter();
    report.count_data_tile();
    report.take_hash_tile(tile.hashes);
    for leaf in &tile.leaves {
        let completed = edge.push(*leaf);
        report.count_entry();
        if let Err(problem) = progress.pass(edge.size(), || edge.root()) {
            report.add(problem);
        }
        for (expected, hashes) in completed {
            // That of level 0 was compared.
            if expected.kind() != (TileKind::Hashes { level: 0 }) {
                report.take_hash_tile(match above.next() {
                    Some((tile, bytes)) if tile == expected => entries::compare(tile, &hashes, bytes),
                    _ => Err(Problem::HashTile(expected)),
                });
            }
        }
    }
}

/// The data tiles of the entries from `start`, which is where a tile begins, to `end`: the full ones, then the
/// partial one.
fn data_tiles(start: u64, end: u64) -> impl Iterator<Item = Tile> {
    let width = u64::from(FULL_WIDTH);
    let full = (start / width..end / width).filter_map(|index| Tile::full(TileKind::Entries, index));
    let partial = u16::try_from(end % width).ok();
    let partial = partial.and_then(|partial| Tile::new(TileKind::Entries, end / width, partial));
    full.chain(partial)
}
