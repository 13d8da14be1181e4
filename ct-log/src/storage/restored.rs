//! A log's directory made of what the log published, after the original was lost.

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::LogPublicKey;
use crate::leaf::UnixMillis;
use crate::tile::FULL_WIDTH;

use super::identity::Identity;
use super::record::{Chain, Header, Kind, RecordBuffer};
use super::recovery::{OpenError, incarnation, io_error};
use super::replay::tail_of_tiles;
use super::store::Store;
use super::wal::Wal;
use super::{Head, Objects as _};

/// What goes into the directory besides full tiles and issuers, which must be there already. All of it was audited.
pub(crate) struct Restored {
    /// The newest checkpoint, a signed note.
    pub(crate) note: String,
    pub(crate) checkpoint: Checkpoint,
    /// The entries after the last full tile: `TileLeaf` structures.
    pub(crate) partial: Vec<u8>,
}

impl Restored {
    /// Writes it. The identity comes last: without it there is no log. Run again after any failure, it does the same again.
    pub(crate) fn write(
        &self,
        store: &Store,
        (origin, key): (&Origin, &LogPublicKey),
    ) -> Result<(), OpenError> {
        let (size, timestamp) = (self.checkpoint.size(), self.checkpoint.timestamp());
        let full = size - size % u64::from(FULL_WIDTH);
        let header = Header {
            kind: Kind::Snapshot,
            chain: Chain {
                log_id: key.log_id(),
                epoch: 0,
                incarnation: incarnation()?,
                number: 0,
                previous: [0; 32],
            },
            first_index: full,
            previous_root: tail_of_tiles(store, full)?.frontier().root(),
            // No entry is newer, and none that follows may be older.
            head: Head {
                size,
                root: self.checkpoint.root(),
                timestamp,
            },
        };
        let mut snapshot = RecordBuffer::new();
        snapshot.body_mut().extend_from_slice(&self.partial);
        let identity = Identity::new(key, origin, UnixMillis::now());
        let written = || {
            Wal::begin(store, 0, header, snapshot)?;
            store.replace_checkpoint(&self.checkpoint, &self.note)?;
            store.files().sync_directory(".")?;
            store.put_immutable(&[(Identity::PATH.to_owned(), &identity.to_json()?)])
        };
        written().map_err(io_error("write the log"))
    }
}
