//! A log directory as an auditor sees it: the reading half of recovery. Takes no lock and writes nothing, so the log may be
//! running meanwhile.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, Origin};
use crate::issuers;
use crate::key::LogPublicKey;
use crate::leaf::{Fingerprint, UnixMillis};
use crate::publish::Published;
use crate::tile::Tile;

use super::files::Directory;
use super::identity::Identity;
use super::recovery::{OpenError, corrupt, io_error, read_checkpoint, segments};
use super::replay::WalReplay;
use super::store::Store;
use super::tail::{Tail, read_stored_tile};
use super::{Objects, Replaced, StorageError};

/// The key and the name that a directory claims.
pub(crate) fn identify(directory: &Path) -> Result<(LogPublicKey, Origin), OpenError> {
    let store = Store::new(Arc::new(Directory::new(directory)));
    read_identity(&store, directory)?.claimed()
}

fn read_identity(store: &Store, directory: &Path) -> Result<Identity, OpenError> {
    Identity::read(store).map_err(|error| match error {
        // Nothing is known here of a key that would exist without its log.
        OpenError::Missing { .. } => OpenError::Absent {
            directory: directory.to_owned(),
        },
        error => error,
    })
}

/// What a directory held when it was read.
pub(crate) struct StoredLog {
    store: Store,
    key: LogPublicKey,
    origin: Origin,
    note: String,
    published: Checkpoint,
    tail: Tail,
}

/// A [`StoredLog`] in pieces.
pub(crate) struct StoredParts {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) key: LogPublicKey,
    pub(crate) published: Published,
    pub(crate) tail: Tail,
}

impl StoredLog {
    /// Reads the identity, the last published checkpoint, and the entries that are in no full tile yet.
    pub(crate) fn read(directory: &Path) -> Result<StoredLog, OpenError> {
        let store = Store::new(Arc::new(Directory::new(directory)));
        let (key, origin) = read_identity(&store, directory)?.claimed()?;
        let (note, published) = read_checkpoint(&store, &origin, &key)?;
        let segments = segments(&store)?;
        let mut replay = WalReplay::begin(&store, key.log_id(), published, &segments)?;
        let mut completed = Vec::new();
        for number in &segments {
            completed.extend(replay.segment(*number)?.completed);
        }
        let (mut tail, ..) = replay.finish()?;
        for full in &completed {
            // Recovery stores a tile that is missing, and refuses one that is different.
            let path = full.tile.to_string();
            let stored = store.read(&path).map_err(io_error("read a tile"))?;
            if stored.is_some_and(|stored| stored != *full.bytes) {
                return Err(corrupt(format!("{path} differs from the write-ahead log")));
            }
        }
        tail.hold(&completed);
        Ok(StoredLog {
            store,
            key,
            origin,
            note,
            published,
            tail,
        })
    }

    /// Refuses the log of another name, and of another key than the world knows, if that is given.
    pub(crate) fn check(&self, origin: &Origin, key: Option<&LogPublicKey>) -> Result<(), OpenError> {
        let key = key.unwrap_or(&self.key);
        Identity::new(&self.key, &self.origin, UnixMillis::new(0)).check_owner(key.log_id(), origin)
    }

    /// What a log needs to serve it.
    pub(crate) fn into_parts(self) -> StoredParts {
        StoredParts {
            objects: Arc::new(ReadOnly(self.store)),
            key: self.key,
            published: Published {
                checkpoint: self.published,
                note: self.note.into(),
            },
            tail: self.tail,
        }
    }

    /// The name that the directory claims.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key that the directory claims.
    pub(crate) fn public_key(&self) -> &LogPublicKey {
        &self.key
    }

    /// The last published note.
    pub(crate) fn checkpoint(&self) -> &str {
        &self.note
    }

    /// As [`Log::read_tile`](crate::Log::read_tile).
    pub(crate) fn read_tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StorageError> {
        if tile.tree_size() > self.published.size() {
            return Ok(None);
        }
        if let Some(held) = self.tail.read(tile) {
            return Ok(Some(held));
        }
        let stored = read_stored_tile(&self.store, tile);
        stored.map(Some).map_err(|source| StorageError {
            doing: "read a tile",
            source,
        })
    }

    /// As [`Log::read_issuer`](crate::Log::read_issuer).
    pub(crate) fn read_issuer(&self, fingerprint: Fingerprint) -> Result<Option<Vec<u8>>, StorageError> {
        let read = self.store.read(&issuers::path(&fingerprint));
        read.map_err(|source| StorageError {
            doing: "read an issuer",
            source,
        })
    }
}

/// Whole files that are read and never written.
struct ReadOnly(Store);

impl Objects for ReadOnly {
    fn put_immutable(&self, _new: &[(String, &[u8])]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(path)
    }

    fn replace_checkpoint(&self, _checkpoint: &Checkpoint, _note: &str) -> io::Result<Replaced> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
