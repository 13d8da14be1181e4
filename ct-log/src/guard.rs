//! Whether there is space left on the disk.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::storage::Objects;

/// Says when the log must stop taking entries, long before a write could fail.
#[derive(Debug)]
pub(crate) struct DiskGuard {
    min_free_bytes: u64,
    low: AtomicBool,
    /// A high-water mark, on whatever disk it is, could not be written for want of space.
    mark_full: AtomicBool,
}

impl DiskGuard {
    pub(crate) fn new(min_free_bytes: u64) -> DiskGuard {
        DiskGuard {
            min_free_bytes,
            low: AtomicBool::new(false),
            mark_full: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed) || self.mark_full.load(Ordering::Relaxed)
    }

    /// Whether the last write of a high-water mark found no space.
    pub(crate) fn report_mark(&self, full: bool) {
        if self.mark_full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!("there is no space for a high-water mark: the log takes no entries");
            } else {
                tracing::info!("high-water marks are written again: the log takes entries");
            }
        }
    }

    /// Measures again. A file system that cannot tell is taken as having space: the next write will tell.
    pub(crate) fn measure(&self, objects: &dyn Objects) {
        let low = objects.free_bytes().is_ok_and(|free| free < self.min_free_bytes);
        self.set_low(low);
    }

    /// A write was refused for want of space.
    pub(crate) fn report_full(&self) {
        self.set_low(true);
    }

    fn set_low(&self, low: bool) {
        if self.low.swap(low, Ordering::Relaxed) != low {
            let min_free_bytes = self.min_free_bytes;
            if low {
                tracing::error!(min_free_bytes, "disk space is low: the log takes no entries");
            } else {
                tracing::info!("disk space is back: the log takes entries again");
            }
        }
    }
}
