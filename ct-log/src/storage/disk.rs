//! A log in a directory that it has for itself.

use std::sync::Arc;

use super::files::{Files, LockFile};
use super::recovery::{Recovered, Recovery};
use super::store::Store;
use super::{OpenError, Opened, Opening, Storage};

/// Files of which this process is the one writer.
pub(crate) struct Disk {
    pub(crate) files: Arc<dyn Files>,
    /// The directory's; files in memory need none.
    pub(crate) lock: Option<LockFile>,
}

impl Storage for Disk {
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        let store = Arc::new(Store::new(self.files));
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
            now: opening.now,
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
            lock: self.lock,
        })
    }
}
