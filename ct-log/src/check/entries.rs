//! One data tile: its encoding, every entry in it, and the leaf hashes that the log publishes beside it.

use std::sync::Arc;

use super::certificates::Chains;
use super::{Problem, Source, SourceError, edge};
use crate::chain::IssuerCertificates;
use crate::leaf::{Entry, SequencedEntry, UnixMillis};
use crate::tile::{FULL_WIDTH, MAX_LEVEL};
use crate::tree::Hash;
use crate::{Tile, TileKind};

/// A data tile that is a sequence of entries, each of which can be hashed.
pub(super) struct Examined {
    pub(super) leaves: Vec<Hash>,
    /// What is wrong with the entries.
    pub(super) problems: Vec<Problem>,
    /// Whether the log's own tile of leaf hashes is right.
    pub(super) hashes: Result<(), Problem>,
    /// The tiles of the levels above that end with this one, as the log has them.
    pub(super) above: Vec<(Tile, Result<Vec<u8>, SourceError>)>,
}

/// An entry and the issuers that must vouch for it, if that is to be checked.
type WithIssuers = (SequencedEntry, Option<Arc<IssuerCertificates>>);

/// Reads and checks a data tile of a log whose checkpoint was signed at `published`.
pub(super) async fn examine<S: Source>(
    source: &S,
    chains: &Chains<'_, S>,
    (tile, published): (Tile, UnixMillis),
) -> Result<Examined, Problem> {
    let hash_tile = Tile::new(TileKind::Hashes { level: 0 }, tile.index(), tile.width());
    let hash_tile = hash_tile.ok_or(Problem::DataTile(tile))?;
    let both = futures_util::future::join(source.tile(tile), source.tile(hash_tile));
    let (bytes, hashes) = both.await;
    let bytes = bytes.map_err(Problem::Unreadable)?;
    let entries = SequencedEntry::decode_all(&bytes).map_err(|_| Problem::DataTile(tile))?;
    if entries.len() != usize::from(tile.width()) {
        return Err(Problem::DataTile(tile));
    }
    let mut problems = Vec::new();
    let mut with_issuers = Vec::with_capacity(entries.len());
    for (position, entry) in (first_entry(tile)..).zip(entries) {
        let chain = chains.of(entry.issuers(), position, &mut problems).await;
        with_issuers.push((entry, chain));
    }
    let checked = tokio::task::spawn_blocking(move || {
        let leaves = check_entries(tile, published, &with_issuers, &mut problems)?;
        if encoded(&with_issuers) != Some(bytes) {
            problems.push(Problem::Encoding(tile));
        }
        Ok((leaves, problems))
    });
    let (leaves, problems) = checked.await.map_err(|error| ended(tile, &error))??;
    let mut above = Vec::new();
    for tile in tiles_above(tile) {
        above.push((tile, source.tile(tile).await));
    }
    Ok(Examined {
        hashes: compare(hash_tile, &leaves, hashes),
        above,
        leaves,
        problems,
    })
}

/// The full hash tiles from level 1 up that this full data tile completes.
fn tiles_above(tile: Tile) -> Vec<Tile> {
    let (mut above, mut count) = (Vec::new(), tile.index().saturating_add(1));
    for level in 1..=MAX_LEVEL {
        if !tile.is_full() || !count.is_multiple_of(u64::from(FULL_WIDTH)) {
            break;
        }
        count /= u64::from(FULL_WIDTH);
        above.extend(Tile::full(TileKind::Hashes { level }, count.saturating_sub(1)));
    }
    above
}

fn first_entry(tile: Tile) -> u64 {
    tile.index().saturating_mul(u64::from(FULL_WIDTH))
}

fn check_entries(
    tile: Tile,
    published: UnixMillis,
    entries: &[WithIssuers],
    problems: &mut Vec<Problem>,
) -> Result<Vec<Hash>, Problem> {
    let mut leaves = Vec::with_capacity(entries.len());
    for (position, (entry, issuers)) in (first_entry(tile)..).zip(entries) {
        if entry.index().get() != position {
            let index = entry.index();
            problems.push(Problem::Index { position, index });
        }
        if entry.timestamp() > published {
            problems.push(Problem::Timestamp { position });
        }
        if let Some(issuers) = issuers {
            match issuers.expected_entry(submitted(entry.entry())) {
                Ok(expected) if expected == *entry.entry() => {}
                Ok(_) => problems.push(Problem::Content { position }),
                Err(error) => problems.push(Problem::Certificate { position, error }),
            }
        }
        leaves.push(entry.leaf_hash().map_err(|_| Problem::Entry { position })?);
    }
    Ok(leaves)
}

fn encoded(entries: &[WithIssuers]) -> Option<Vec<u8>> {
    let mut encoded = Vec::new();
    for (entry, _) in entries {
        encoded.extend(entry.tile_leaf().ok()?);
    }
    Some(encoded)
}

/// Whether a hash tile of the log is what it must be.
pub(super) fn compare(
    tile: Tile,
    expected: &[Hash],
    published: Result<Vec<u8>, SourceError>,
) -> Result<(), Problem> {
    match published {
        Ok(bytes) if bytes == edge::concatenated(expected) => Ok(()),
        Ok(_) => Err(Problem::HashTile(tile)),
        Err(error) => Err(Problem::Unreadable(error)),
    }
}

/// The certificate as it was submitted.
fn submitted(entry: &Entry) -> &[u8] {
    match entry {
        Entry::Certificate { der } => der,
        Entry::Precertificate { precertificate, .. } => precertificate,
    }
}

fn ended(tile: Tile, error: &tokio::task::JoinError) -> Problem {
    Problem::Unreadable(SourceError::Failed {
        what: tile.to_string(),
        reason: format!("the check ended early: {error}"),
    })
}
