//! A log in a directory that it has for itself.

use std::path::PathBuf;
use std::sync::Arc;

use super::files::{Files, LockFile};
use super::mirror::Mirrored;
use super::reconcile::Pair;
use super::recovery::{Recovered, Recovery};
use super::store::Store;
use super::{OpenError, Opened, Opening, Storage};

/// Files of which this process is the one writer.
pub(crate) struct Disk {
    pub(crate) files: Arc<dyn Files>,
    /// A complete second copy on another device.
    pub(crate) mirror: Option<Mirror>,
    /// The directory's; files in memory need none.
    pub(crate) lock: Option<LockFile>,
}

/// The second directory of a log.
pub(crate) struct Mirror {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) directory: PathBuf,
    pub(crate) lock: Option<LockFile>,
}

impl Disk {
    /// What a new log is written to.
    pub(crate) fn files(&self) -> Arc<dyn Files> {
        match &self.mirror {
            Some(mirror) => Arc::new(Mirrored::new(Arc::clone(&self.files), Arc::clone(&mirror.files))),
            None => Arc::clone(&self.files),
        }
    }

    fn reconcile(&self, opening: &Opening<'_>) -> Result<(), OpenError> {
        let Some(mirror) = &self.mirror else {
            return Ok(());
        };
        let pair = Pair {
            main: &Store::new(Arc::clone(&self.files)),
            mirror: &Store::new(Arc::clone(&mirror.files)),
            origin: opening.origin,
            key: opening.key,
            mirror_directory: &mirror.directory,
        };
        pair.reconcile()
    }
}

impl Storage for Disk {
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        self.reconcile(&opening)?;
        let store = Arc::new(Store::new(self.files()));
        let Recovered {
            tail,
            frontier,
            head,
            published,
            wal,
        } = Recovery {
            store: &store,
            origin: opening.origin,
            key: opening.key,
            now: opening.clock.now(),
        }
        .run()?;
        let (journal, upkeep) = wal.start(Arc::clone(&store), opening.guard);
        Ok(Opened {
            head,
            frontier,
            tail,
            published,
            objects: store,
            journal: Box::new(journal),
            upkeep: Box::new(upkeep),
            locks: self
                .lock
                .into_iter()
                .chain(self.mirror.and_then(|mirror| mirror.lock))
                .collect(),
        })
    }
}
