//! Why a log does not start.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::Origin;
use crate::key::KeyError;
use crate::release::SctAfter;

/// Why a log was not created or opened. Nothing was changed that matters.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The lock is held.
    #[error("the log in {} is open in another process; stop that one first", directory.display())]
    Locked {
        /// The log's directory.
        directory: PathBuf,
    },
    /// [`Log::create`](crate::Log::create) in a directory that is not empty.
    #[error("{} is not empty; a new log needs an empty directory of its own", directory.display())]
    Exists {
        /// The log's directory.
        directory: PathBuf,
    },
    /// A log was to be read in a directory that holds none.
    #[error("there is no log in {}", directory.display())]
    Absent {
        /// The directory.
        directory: PathBuf,
    },
    /// [`Log::open`](crate::Log::open) of a directory without a log.
    #[error(
        "there is no log in {}, but its key exists: restore the directory, or start a new log with a new key",
        directory.display()
    )]
    Missing {
        /// The log's directory.
        directory: PathBuf,
    },
    /// The directory holds the log of another key.
    #[error("the directory holds the log with id {found}, not that of the key, {expected}")]
    OtherKey {
        /// Log id of the directory, hexadecimal.
        found: String,
        /// Log id of the key, hexadecimal.
        expected: String,
    },
    /// The directory holds the log of another name.
    #[error("the directory holds the log named {found}, not {expected}")]
    OtherOrigin {
        /// Origin in the directory.
        found: String,
        /// Origin in the settings.
        expected: Origin,
    },
    /// [`Log::create`](crate::Log::create) in a shared place that has a log.
    #[error("{place} is not empty; a new log named {origin} needs a place of its own")]
    Taken {
        /// The place.
        place: String,
        /// The name of the log that was to be made.
        origin: Origin,
    },
    /// The storage lost what this writer acknowledged or saw.
    #[error(
        "the log's storage is older than what was acknowledged or seen from here, {seen} entries, or holds another tree: restore \
         the newest state; if there is none, retire the log"
    )]
    RolledBack {
        /// Entries that were acknowledged or seen.
        seen: u64,
    },
    /// An SCT was given out for an entry that the log does not hold.
    #[error(
        "an SCT was given out for entry {index} of the log, which {}: the log is an older copy, or another one, and would give the \
         same places to other entries. Restore the newest copy; if there is none, retire the log",
        Lacking(*size, *index)
    )]
    LacksEntry {
        /// The index in the SCT.
        index: u64,
        /// Number of entries in the log.
        size: u64,
    },
    /// A database lost what the bucket beside it shows.
    #[error(
        "the checkpoint in {place} is of {published} entries that the database does not hold: the database is older than what was \
         published, or has another tree. Restore its newest state; if there is none, retire the log"
    )]
    BehindBucket {
        /// The bucket.
        place: String,
        /// Size of the tree that it shows.
        published: u64,
    },
    /// The entries of a log and its files are not where the settings say.
    #[error("{place} {what}")]
    OtherPlaces {
        /// The place that was asked.
        place: String,
        /// What it holds, and what to do.
        what: String,
    },
    /// The clock is behind the log's last timestamp.
    #[error("the clock is {behind_ms} ms behind the log's last timestamp; set the clock, then start again")]
    ClockBehind {
        /// By how much, in milliseconds.
        behind_ms: u64,
    },
    /// The clock is in a time that no certificate can name.
    #[error("the clock is after the year 9999; set it, then start again")]
    ClockAhead,
    /// A high-water mark knows of more, or of something else, than the log holds.
    #[error(
        "the log holds {size} entries, but {} shows that it gave out a tree of {published} that it does not hold: it is an older \
         copy, or another one, and would give the same places to other entries. Restore the newest copy; if there is none, \
         retire the log",
        mark.display()
    )]
    BehindHighWaterMark {
        /// The file.
        mark: PathBuf,
        /// Size of the tree in the mark.
        published: u64,
        /// Number of entries in the log.
        size: u64,
    },
    /// A high-water mark is not there.
    #[error(
        "the high-water mark {} is missing, so that nobody can tell whether the log was rolled back. Bring back its disk; or put the \
         newest checkpoint that anybody has there; or, if the log never had one there, create it as an empty file",
        mark.display()
    )]
    NoHighWaterMark {
        /// The file.
        mark: PathBuf,
    },
    /// A high-water mark is not of this log.
    #[error("the high-water mark {} is not one of this log: {what}", mark.display())]
    ForeignHighWaterMark {
        /// The file.
        mark: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The directory does not hold what the log wrote.
    #[error("the log is damaged and was left as it is: {what}; restore it from a copy")]
    Corrupt {
        /// What does not fit.
        what: String,
    },
    /// The log and its mirror do not fit.
    #[error("{what}")]
    Mirror {
        /// How, and what to do.
        what: String,
    },
    /// [`LogSettings::sct_after`](crate::LogSettings::sct_after) asks for what this log does not have.
    #[error("SCTs are to leave once their entries are {after}, but the log has no {missing} for that")]
    SctAfter {
        /// As configured.
        after: SctAfter,
        /// What it needs.
        missing: &'static str,
    },
    /// The operating system refused.
    #[error("the log's storage failed: could not {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The key could not sign, or the random generator failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// How a log lacks an entry of that index.
struct Lacking(u64, u64);

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lacking(size, index) = self;
        match size > index {
            true => f.write_str("is not the one that it holds there"),
            false => write!(f, "holds {size} only"),
        }
    }
}

impl OpenError {
    /// The same error with the directory that the storage does not know.
    pub(crate) fn in_directory(self, directory: &Path) -> OpenError {
        match self {
            OpenError::Missing { directory: unknown } if unknown.as_os_str().is_empty() => {
                OpenError::Missing {
                    directory: directory.to_owned(),
                }
            }
            error => error,
        }
    }
}
