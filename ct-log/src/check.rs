//! Audit of a whole log from what it publishes: the tree, every tile, every entry, every issuer, and the
//! checkpoint over all of it (invariants C5 to C9).
//!
//! It trusts nothing but the log's public key and origin. Memory is bounded by one tile per level,
//! whatever the size of the log.

mod certificates;
mod report;
mod source;
mod tiles;

pub use report::{Problem, Report};
pub use source::{Source, SourceError, StoredLog};

use crate::leaf::SequencedEntry;
use crate::tile::FULL_WIDTH;
use crate::tree::Hash;
use crate::{Checkpoint, LogPublicKey, Origin, Tile, TileKind};
use certificates::Certificates;
use tiles::TileCheck;

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
pub async fn check(source: &impl Source, (origin, key): (&Origin, &LogPublicKey), depth: Depth) -> Report {
    let mut report = Report::new();
    match checkpoint(source, origin, key).await {
        Ok(checkpoint) => Audit::new(source, checkpoint, depth).run(&mut report).await,
        Err(problem) => report.add(problem),
    }
    report
}

async fn checkpoint(
    source: &impl Source,
    origin: &Origin,
    key: &LogPublicKey,
) -> Result<Checkpoint, Problem> {
    let note = source.checkpoint().await.map_err(Problem::Unreadable)?;
    Checkpoint::verify(&note, origin, key).map_err(Problem::Checkpoint)
}

struct Audit<'a, S> {
    source: &'a S,
    checkpoint: Checkpoint,
    tree: TileCheck<'a, S>,
    certificates: Certificates<'a, S>,
}

impl<'a, S: Source> Audit<'a, S> {
    fn new(source: &'a S, checkpoint: Checkpoint, depth: Depth) -> Self {
        let (tree, certificates) = (TileCheck::new(source), Certificates::new(source, depth));
        Self {
            source,
            checkpoint,
            tree,
            certificates,
        }
    }

    async fn run(mut self, report: &mut Report) {
        report.begin(&self.checkpoint);
        for tile in data_tiles(self.checkpoint.size()) {
            if let Err(problem) = self.check_data_tile(tile, report).await {
                // Without these leaf hashes nothing that follows can be recomputed.
                report.add(problem);
                return;
            }
        }
        self.tree.finish(report).await;
        if self.tree.root() != self.checkpoint.root() {
            report.add(Problem::Root);
        }
    }

    async fn check_data_tile(&mut self, tile: Tile, report: &mut Report) -> Result<(), Problem> {
        let bytes = self.source.tile(tile).await.map_err(Problem::Unreadable)?;
        let entries = SequencedEntry::decode_all(&bytes).map_err(|_| Problem::DataTile(tile))?;
        if entries.len() != usize::from(tile.width()) {
            return Err(Problem::DataTile(tile));
        }
        let mut encoded = Vec::with_capacity(bytes.len());
        for entry in &entries {
            encoded.extend(entry.tile_leaf().map_err(|_| Problem::DataTile(tile))?);
            let leaf = self.check_entry(entry, report).await?;
            self.tree.push(leaf, report).await;
        }
        if encoded != bytes {
            report.add(Problem::Encoding(tile));
        }
        report.count_data_tile();
        Ok(())
    }

    async fn check_entry(&mut self, entry: &SequencedEntry, report: &mut Report) -> Result<Hash, Problem> {
        let position = report.entries();
        if entry.index().get() != position {
            report.add(Problem::Index {
                position,
                index: entry.index(),
            });
        }
        if entry.timestamp() > self.checkpoint.timestamp() {
            report.add(Problem::Timestamp { position });
        }
        self.certificates.check(entry, report).await;
        report.count_entry();
        entry.leaf_hash().map_err(|_| Problem::Entry { position })
    }
}

/// The data tiles of a log with `size` entries: the full ones, then the partial one.
fn data_tiles(size: u64) -> impl Iterator<Item = Tile> {
    let width = u64::from(FULL_WIDTH);
    let full = (0..size / width).filter_map(|index| Tile::full(TileKind::Entries, index));
    let partial = u16::try_from(size % width).ok();
    let partial = partial.and_then(|partial| Tile::new(TileKind::Entries, size / width, partial));
    full.chain(partial)
}
