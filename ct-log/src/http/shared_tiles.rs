//! Tiles that are being sent: whoever asks for one of them gets the same bytes, not a copy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Bytes;

use crate::{Log, StorageError, Tile};

/// Entries from which on those are forgotten whose tile nobody is sent any more.
const SWEEP_FROM: usize = 256;

/// The tiles that are being sent.
#[derive(Clone, Default)]
pub(super) struct SharedTiles(Arc<Mutex<HashMap<Tile, Weak<Vec<u8>>>>>);

/// The bytes of a tile, for as long as somebody is sent them.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl SharedTiles {
    /// As [`Log::read_tile`]. A tile never changes, so that it can be shared.
    pub(super) async fn read(&self, log: &Log, tile: Tile) -> Result<Option<Bytes>, StorageError> {
        if let Some(shared) = self.shared(tile) {
            return Ok(Some(Bytes::from_owner(Shared(shared))));
        }
        let Some(read) = log.read_tile(tile).await? else {
            return Ok(None);
        };
        let shared = Arc::new(read);
        let mut tiles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tiles.len() >= tiles.capacity() && tiles.len() >= SWEEP_FROM {
            tiles.retain(|_, tile| tile.strong_count() > 0);
        }
        tiles.insert(tile, Arc::downgrade(&shared));
        drop(tiles);
        Ok(Some(Bytes::from_owner(Shared(shared))))
    }

    fn shared(&self, tile: Tile) -> Option<Arc<Vec<u8>>> {
        let tiles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tiles.get(&tile)?.upgrade()
    }
}
