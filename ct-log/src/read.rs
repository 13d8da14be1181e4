//! What readers get of a log: what its published checkpoint covers, and nothing else (C7).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::{CheckpointError, SignedTreeHead};
use crate::issuers;
use crate::leaf::{Fingerprint, LeafIndex, SequencedEntry};
use crate::log::Log;
use crate::proof::Plan;
use crate::running::Shared;
use crate::scrub::is_damage;
use crate::storage::{StorageError, Tiles};
use crate::tile::{FULL_WIDTH, Tile, TileKind};
use crate::tree::{Hash, sha256};

impl Log {
    /// The newest published checkpoint, a signed note.
    pub fn checkpoint(&self) -> Arc<str> {
        Arc::clone(&self.shared().published().note)
    }

    /// The newest checkpoint that a quorum of the witnesses cosigned. [`Log::checkpoint`] may be of a later tree, whose cosignatures are
    /// under way. Nothing if there is none since the log was opened.
    pub fn witnessed_checkpoint(&self) -> Option<Arc<str>> {
        self.shared().witnessing.witnessed()
    }

    /// Number of entries that the newest published checkpoint covers.
    pub fn published_size(&self) -> u64 {
        self.shared().published().checkpoint.size()
    }

    /// The newest published checkpoint as an RFC 6962 tree head: the same size, root, time and signature.
    ///
    /// # Errors
    /// The note has no signature of this log, which the storage damaged then.
    pub fn tree_head(&self) -> Result<SignedTreeHead, CheckpointError> {
        let (shared, published) = (self.shared(), self.shared().published());
        SignedTreeHead::of_note(
            published.checkpoint,
            &published.note,
            (&shared.origin, shared.key.public()),
        )
    }

    /// A tile of hashes or entries, or nothing if the published checkpoint does not cover it (C7). A partial tile can be read
    /// at every width, also when the full one exists.
    ///
    /// # Errors
    /// A tile that must be there could not be read.
    pub async fn read_tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StorageError> {
        if tile.tree_size() > self.published_size() {
            return Ok(None);
        }
        self.read_durable_tile(tile).await.map(Some)
    }

    /// The published entries from `first` to `last` that are in the data tile of `first`: at most 256, at least one if `first`
    /// is published.
    ///
    /// # Errors
    /// A tile that must be there could not be read.
    pub async fn read_entries(
        &self,
        first: LeafIndex,
        last: u64,
    ) -> Result<Vec<SequencedEntry>, StorageError> {
        let end = last.saturating_add(1).min(self.published_size());
        let Some(tile) = data_tile(first.get()..end) else {
            return Ok(Vec::new());
        };
        let bytes = self.read_durable_tile(tile).await?;
        let entries = SequencedEntry::decode_all(&bytes).map_err(|_| damaged_entry())?;
        let before = entries.iter().take_while(|entry| entry.index() < first).count();
        Ok(entries.into_iter().skip(before).collect())
    }

    /// The hashes of an inclusion or consistency proof, or nothing if the published checkpoint does not cover it (C7, C12).
    ///
    /// # Errors
    /// A tile that must be there could not be read.
    pub async fn prove(&self, plan: &Plan) -> Result<Option<Vec<Hash>>, StorageError> {
        if plan.size() > self.published_size() {
            return Ok(None);
        }
        let mut tiles = BTreeMap::new();
        for tile in plan.tiles() {
            tiles.insert(tile, self.read_durable_tile(tile).await?);
        }
        let damaged = || StorageError::damaged("make a proof", "a hash tile is damaged");
        plan.hashes(&tiles).ok_or_else(damaged).map(Some)
    }

    /// An issuer certificate (DER), or nothing if the log has none of that fingerprint.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn read_issuer(&self, fingerprint: Fingerprint) -> Result<Option<Vec<u8>>, StorageError> {
        let path = issuers::path(&fingerprint);
        let what = path.clone();
        let read = move |shared: &Shared| shared.objects.read(&path);
        let der = self.blocking("read an issuer", read).await?;
        if der
            .as_ref()
            .is_some_and(|der| sha256(der) != *fingerprint.as_bytes())
        {
            self.shared().scrub.report_damage(format!("{what} is damaged"));
            return Err(StorageError::damaged("read an issuer", "an issuer is damaged"));
        }
        Ok(der)
    }

    /// A tile of the durable tree, which may be ahead of the published one.
    pub(crate) async fn read_durable_tile(&self, tile: Tile) -> Result<Vec<u8>, StorageError> {
        if let Some(held) = self.shared().tiles().held(tile) {
            return Ok(held);
        }
        self.blocking("read a tile", move |shared| shared.durable_tile(tile))
            .await
    }

    /// An entry of the durable tree.
    pub(crate) async fn read_durable_entry(
        &self,
        index: LeafIndex,
    ) -> Result<Option<SequencedEntry>, StorageError> {
        let Some(tile) = data_tile(index.get()..index.get().saturating_add(1)) else {
            return Ok(None);
        };
        let bytes = self.read_durable_tile(tile).await?;
        let entries = SequencedEntry::decode_all(&bytes).map_err(|_| damaged_entry())?;
        Ok(entries.into_iter().find(|entry| entry.index() == index))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let shared = Arc::clone(self.shared());
        let read = tokio::task::spawn_blocking(move || read(&shared)).await;
        read.unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|source| StorageError { doing, source })
    }
}

impl Shared {
    fn tiles(&self) -> Tiles<'_> {
        Tiles::new(&*self.objects, &self.tail)
    }

    /// A tile of the durable tree, which may be ahead of the published one. Blocks.
    pub(crate) fn durable_tile(&self, tile: Tile) -> io::Result<Vec<u8>> {
        let read = self.tiles().read(tile);
        if let Err(error) = &read
            && is_damage(error)
        {
            self.scrub.report_damage(error.to_string());
        }
        read
    }
}

/// The data tile of the first of these entries, as wide as they need it. Nothing if there are none.
pub(crate) fn data_tile(entries: Range<u64>) -> Option<Tile> {
    if entries.is_empty() {
        return None;
    }
    let index = entries.start / u64::from(FULL_WIDTH);
    let before = index.checked_mul(u64::from(FULL_WIDTH))?;
    let width = entries.end.checked_sub(before)?.min(u64::from(FULL_WIDTH));
    Tile::new(TileKind::Entries, index, u16::try_from(width).ok()?)
}

fn damaged_entry() -> StorageError {
    StorageError::damaged("read an entry", "a data tile is damaged")
}
