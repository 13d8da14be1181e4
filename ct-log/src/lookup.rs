//! Looking entries up by what the index knows, and believing only what the entries themselves say.

use crate::leaf::{Entry, LeafIndex, SequencedEntry};
use crate::log::Log;
use crate::recent::Identity;
use crate::sct::Sct;
use crate::storage::{Sequenced, StorageError};
use crate::submission::SubmitError;
use crate::tile::{FULL_WIDTH, Tile, TileKind};
use crate::tree::Hash;

/// An entry that could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It may be among those that the index does not know yet. The index is behind only while it is being built.
    #[error("the log's index does not reach so far yet; try again later")]
    NotIndexed,
    /// The log could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Log {
    /// The position of the leaf with that hash in the first `size` entries, which must be published. Nothing if there is none.
    ///
    /// # Errors
    /// The index is being built, or the log could not be read.
    pub async fn find_leaf(&self, hash: Hash, size: u64) -> Result<Option<LeafIndex>, LookupError> {
        let index = &self.shared().index;
        let found = index.leaf(hash, size).await;
        let Some(number) = found.map_err(|_| LookupError::NotIndexed)? else {
            return Ok(None);
        };
        let leaf = LeafIndex::new(number).filter(|_| number < self.size());
        let there = match leaf {
            Some(leaf) => self.leaf_hash(leaf).await?,
            None => None,
        };
        if there != Some(hash) {
            index.report_damage(format!("entry {number} has another leaf hash"));
            return Err(LookupError::NotIndexed);
        }
        // What is durable but not published is not there yet (C7).
        Ok(leaf.filter(|leaf| leaf.get() < size))
    }

    /// What the level 0 tile says.
    async fn leaf_hash(&self, leaf: LeafIndex) -> Result<Option<Hash>, StorageError> {
        let kind = TileKind::Hashes { level: 0 };
        let (index, before) = (
            leaf.get() / u64::from(FULL_WIDTH),
            leaf.get() % u64::from(FULL_WIDTH),
        );
        let width = u16::try_from(before.saturating_add(1)).unwrap_or(FULL_WIDTH);
        let Some(tile) = Tile::new(kind, index, width) else {
            return Ok(None);
        };
        let bytes = self.read_durable_tile(tile).await?;
        let (hashes, _) = bytes.as_chunks();
        Ok(hashes.last().copied().map(Hash::new))
    }

    /// The SCT of a submission that is in the log already: same index, same time. The same bytes, too, as those that an external
    /// submitter got before, unless the log stopped before it had written them down (C11). Nothing if it is not there, or the
    /// index does not know: then it is logged, for the second time maybe, which a log may do.
    pub(crate) async fn logged_before(&self, entry: &Entry) -> Result<Option<Sct>, SubmitError> {
        let shared = self.shared();
        let identity = Identity::of(entry);
        let found = shared.index.identity(identity, self.size()).await;
        let Some(number) = found.ok().flatten() else {
            return Ok(None);
        };
        let Some((sequenced, stored)) = self.read_same(entry, number).await? else {
            shared
                .index
                .report_damage(format!("entry {number} is another submission"));
            return Ok(None);
        };
        if let Some(sct) = self.given_before(&stored).await {
            return Ok(Some(sct));
        }
        let sct = self.release(stored.entry(), &sequenced).await?;
        shared.index.keep_signature(number, sct.signature());
        Ok(Some(sct))
    }

    /// The entry with that number, if it is there and an SCT for it is one for `entry`.
    async fn read_same(
        &self,
        entry: &Entry,
        number: u64,
    ) -> Result<Option<(Sequenced, SequencedEntry)>, SubmitError> {
        let durable = self.shared().durable.head();
        let Some(index) = LeafIndex::new(number).filter(|_| number < durable.size) else {
            return Ok(None);
        };
        let stored = self.read_durable_entry(index).await.map_err(|error| {
            tracing::error!(?error, number, "cannot compare a duplicate with its entry");
            SubmitError::Unreachable
        })?;
        let same = stored.filter(|stored| stored.entry().is_same_submission(entry));
        Ok(same.and_then(|stored| Some((Sequenced::read_again(&stored, &durable)?, stored))))
    }

    async fn given_before(&self, stored: &SequencedEntry) -> Option<Sct> {
        let shared = self.shared();
        let signature = shared.index.signature(stored.index().get()).await?;
        let sct = Sct::given(shared.key.public().log_id(), stored.position(), signature);
        match sct.verify(stored.entry(), shared.key.public()) {
            Ok(()) => Some(sct),
            Err(error) => {
                let what = format!("the signature kept of entry {}: {error}", stored.index().get());
                shared.index.report_damage(what);
                None
            }
        }
    }
}
