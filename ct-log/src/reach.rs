//! Whether the storage answers, and the key.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// The storage cannot be reached for now: the connection, not what was asked, is to blame, and the same may be asked again.
/// Made by storages behind a network, never for an error of the operating system about a file.
#[derive(Debug, thiserror::Error)]
#[error("the storage cannot be reached: {source}")]
pub(crate) struct Away {
    part: Part,
    source: Box<dyn Error + Send + Sync>,
}

/// What the log cannot reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Where the entries are, which is all of it unless its files are elsewhere. The key counts as part of that.
    Entries,
    /// Whole files in a place of their own: entries become durable without it.
    Files,
}

impl Away {
    #[cfg_attr(
        not(any(test, feature = "postgres", feature = "s3")),
        expect(dead_code, reason = "for storages behind a network")
    )]
    pub(crate) fn error(source: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
        let (part, source) = (Part::Entries, source.into());
        io::Error::new(io::ErrorKind::NotConnected, Away { part, source })
    }

    /// The same error of a place that has files only; any other error as it is.
    #[cfg(all(feature = "postgres", feature = "s3"))]
    pub(crate) fn of_files(error: io::Error) -> io::Error {
        if !is_away(&error) {
            return error;
        }
        let away = error.downcast::<Away>().map(|Away { source, .. }| Away {
            part: Part::Files,
            source,
        });
        match away {
            Ok(away) => io::Error::new(io::ErrorKind::NotConnected, away),
            Err(error) => error,
        }
    }
}

/// Whether an error is [`Away`].
pub(crate) fn is_away(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Away>)
}

/// What the threads of a log found out last.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    entries_away: AtomicBool,
    files_away: AtomicBool,
}

impl Reach {
    /// Whether entries cannot become durable.
    pub(crate) fn is_away(&self) -> bool {
        self.entries_away.load(Ordering::Relaxed)
    }

    /// Something was read, written or signed.
    pub(crate) fn report_there(&self, part: Part) {
        if self.flag(part).swap(false, Ordering::Relaxed) {
            match part {
                Part::Entries => tracing::info!("the log's storage and key can be reached again"),
                Part::Files => tracing::info!("the place of the log's files can be reached again"),
            }
        }
    }

    pub(crate) fn report_away(&self, error: &io::Error) {
        let away = error.get_ref().and_then(|error| error.downcast_ref::<Away>());
        let part = away.map_or(Part::Entries, |away| away.part);
        if !self.flag(part).swap(true, Ordering::Relaxed) {
            match part {
                Part::Entries => {
                    tracing::error!(%error, "the log's storage or key cannot be reached: the log takes no entries");
                }
                Part::Files => tracing::error!(
                    %error,
                    "the place of the log's files cannot be reached: the log takes entries, and publishes them later"
                ),
            }
        }
    }

    fn flag(&self, part: Part) -> &AtomicBool {
        match part {
            Part::Entries => &self.entries_away,
            Part::Files => &self.files_away,
        }
    }
}
