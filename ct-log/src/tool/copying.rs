//! Copying a log while it is audited: what the audit reads is what is kept, and only if it was right.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::failure::Failure;
use super::place::Place;
use crate::check::{Depth, Progress, Report, SignedCheckpoint, Source, SourceError, check_from};
use crate::storage::{Objects as _, Store};
use crate::tree::sha256;
use crate::{Checkpoint, Fingerprint, Tile, issuers};

/// Which tiles are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// What the checkpoint needs: also the partial tiles.
    Everything,
    /// Full tiles; partial ones are in [`Copied::partial`].
    FullTiles,
}

/// A log that was copied as a whole and is sound.
pub(super) struct Copied {
    pub(super) checkpoint: SignedCheckpoint,
    /// The partial data tile, if there is one.
    pub(super) partial: Vec<u8>,
    pub(super) report: Report,
}

/// The source of an audit, which keeps what it gives. What is in the copy already is not read again, but audited all the same.
struct Copying<'a> {
    place: &'a Place,
    note: &'a str,
    store: &'a Store,
    keep: Keep,
    /// Tiles that were read and not audited yet.
    held: Mutex<BTreeMap<Tile, Vec<u8>>>,
}

/// Copies the log up to that checkpoint of it.
pub(super) async fn copy(
    place: &Place,
    checkpoint: SignedCheckpoint,
    (store, keep): (&Store, Keep),
) -> Result<Copied, Failure> {
    let copying = Copying {
        place,
        note: &checkpoint.0,
        store,
        keep,
        held: Mutex::new(BTreeMap::new()),
    };
    let mut progress = Progress::new();
    let mut stored = Ok(());
    let watch = |progress: &Progress| {
        if stored.is_ok() {
            stored = copying.store(progress.entries());
        }
    };
    let log = (&place.origin, &place.key);
    let report = check_from(&copying, log, Depth::Certificates, (&mut progress, watch)).await;
    stored?;
    if !report.is_sound() {
        return Err(unsound(&report));
    }
    copying.store(checkpoint.1.size())?;
    let partial = copying
        .held()
        .iter()
        .find(|(tile, _)| is_partial_data(**tile))
        .map(|(_, bytes)| bytes.clone());
    Ok(Copied {
        partial: partial.unwrap_or_default(),
        checkpoint,
        report,
    })
}

/// The newest checkpoint of the log.
pub(super) async fn newest(place: &Place) -> Result<SignedCheckpoint, Failure> {
    let note = place.source.checkpoint().await?;
    match Checkpoint::verify(&note, &place.origin, &place.key) {
        Ok(checkpoint) => Ok((note, checkpoint)),
        Err(error) => Err(Failure::unsound(error)),
    }
}

fn unsound(report: &Report) -> Failure {
    let text = format!(
        "{report}\nThe source, or what the copy held of it before, is not sound; nothing was published from it"
    );
    if report.is_unsound() {
        Failure::unsound(text)
    } else {
        text.into()
    }
}

fn is_partial_data(tile: Tile) -> bool {
    tile.kind() == crate::TileKind::Entries && !tile.is_full()
}

impl Copying<'_> {
    /// Stores the tiles that were audited: those of the first `entries`.
    fn store(&self, entries: u64) -> io::Result<()> {
        let mut held = self.held();
        let audited =
            |tile: &Tile| tile.tree_size() <= entries && (self.keep == Keep::Everything || tile.is_full());
        let files: Vec<_> = held.iter().filter(|(tile, _)| audited(tile)).collect();
        let files: Vec<_> = files
            .into_iter()
            .map(|(tile, bytes)| (tile.to_string(), bytes.as_slice()))
            .collect();
        self.store.put_immutable(&files)?;
        held.retain(|tile, _| !audited(tile));
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Tile, Vec<u8>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        self.store.read(path).map_err(|error| failed(path, &error))
    }
}

fn failed(path: &str, error: &io::Error) -> SourceError {
    SourceError::Failed {
        what: path.to_owned(),
        reason: error.to_string(),
    }
}

impl Source for Copying<'_> {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        Ok(self.note.to_owned())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        if let Some(stored) = self.stored(&tile.to_string())? {
            return Ok(stored);
        }
        let bytes = self.place.source.tile(tile).await?;
        self.held().insert(tile, bytes.clone());
        Ok(bytes)
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        let path = issuers::path(&fingerprint);
        if let Some(stored) = self.stored(&path)? {
            return Ok(stored);
        }
        let der = self.place.source.issuer(fingerprint).await?;
        if sha256(&der) == *fingerprint.as_bytes() {
            let kept = self.store.put_immutable(&[(path.clone(), der.as_slice())]);
            kept.map_err(|error| failed(&path, &error))?;
        }
        Ok(der)
    }
}
