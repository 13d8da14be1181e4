//! Who submits, and what can be answered instead of an SCT.

use std::time::Duration;

use crate::failure::WriteFailure;
use crate::leaf::EntryTooLarge;
use crate::release::SctAfter;

/// Whose entry it is. The CA in this process has three quarters of the queue to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitter {
    /// The CA in this process, which never submits anything twice.
    Internal,
    /// Anybody over HTTP. A duplicate gets the SCT of its entry (C11).
    External,
}

/// Why an entry was not logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the log is busy; try again in {} s", retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too little disk space is left.
    #[error("the log's disk is almost full; it takes no entries until there is space")]
    DiskFull,
    /// The clock is more than two seconds behind the log's last timestamp, of an entry or of a checkpoint.
    #[error("the log's clock went back; it takes no entries until the clock is right again")]
    ClockBehind,
    /// The clock was set more than ten minutes ahead since the log was opened.
    #[error(
        "the log's clock was set far ahead; it takes no entries until the clock is right, or the log is restarted with it"
    )]
    ClockAhead,
    /// The storage or the key cannot be reached. If it went away in the middle, the entry may be in the log nevertheless.
    #[error("the log's storage or key cannot be reached; try again later")]
    Unreachable,
    /// The entry is in the log, but what its SCT waits for did not come in time. The same submission later gets the SCT of this
    /// entry.
    #[error("the entry is in the log but not {after} yet, which its SCT waits for; try again later")]
    NotYet {
        /// What is missing.
        after: SctAfter,
    },
    /// A write failed, or the log is shut down. The entry may be in the log nevertheless.
    #[error("the log takes no entries until it is restarted")]
    Unavailable,
    /// The log's time is over: it takes nothing any more.
    #[error("this log is read-only: it takes no entries any more")]
    ReadOnly,
    /// Larger than this log takes.
    #[error(transparent)]
    TooLarge(#[from] EntryTooLarge),
}

/// Why the log takes no entries now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unavailable {
    /// Until it is restarted.
    #[error(transparent)]
    Failed(#[from] WriteFailure),
    /// Until there is space.
    #[error("the log's disk is almost full")]
    DiskFull,
    /// Until the clock is right, or confirmed by a restart.
    #[error("the clock was set far ahead")]
    ClockAhead,
    /// Until the clock has caught up with the log's last timestamp.
    #[error("the clock is behind the log's last timestamp")]
    ClockBehind,
    /// Until it can be reached again.
    #[error("the log's storage or key cannot be reached")]
    Unreachable,
    /// For good: its time is over, or it was opened so.
    #[error("the log is read-only")]
    ReadOnly,
    /// For good.
    #[error("the log is shut down")]
    ShutDown,
}
