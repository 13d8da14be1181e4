//! Whether the storage answers, and the key.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// The storage cannot be reached for now: the connection, not what was asked, is to blame, and the same may be asked again.
/// Made by storages behind a network, never for an error of the operating system about a file.
#[derive(Debug, thiserror::Error)]
#[error("the storage cannot be reached: {0}")]
pub(crate) struct Away(#[source] Box<dyn Error + Send + Sync>);

impl Away {
    #[cfg_attr(
        not(any(test, feature = "postgres", feature = "s3")),
        expect(dead_code, reason = "for storages behind a network")
    )]
    pub(crate) fn error(source: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, Away(source.into()))
    }
}

/// Whether an error is [`Away`].
pub(crate) fn is_away(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Away>)
}

/// What the threads of a log found out last.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    away: AtomicBool,
}

impl Reach {
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Something was read, written or signed.
    pub(crate) fn report_there(&self) {
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the log's storage and key can be reached again");
        }
    }

    pub(crate) fn report_away(&self, error: &io::Error) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the log's storage or key cannot be reached: the log takes no entries");
        }
    }
}
