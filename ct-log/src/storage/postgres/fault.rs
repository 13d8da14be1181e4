//! What an error of the database means for the log.

use std::error::Error as _;
use std::io::{self, ErrorKind};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{WasNull, WrongType};

use crate::reach::{Away, is_away};
use crate::storage::{CommitError, is_full};
use crate::tls::in_one_line;

use super::client::Error;

/// Classes of SQLSTATE that say that the server could not do it now, not that it was asked for the wrong thing
/// (PostgreSQL manual, appendix A): connection, read-only or timed-out transaction, login, rollback, resources, state of an
/// object, intervention, system.
const TEMPORARY: [&str; 8] = ["08", "25", "28", "40", "53", "55", "57", "58"];

/// [`Away`] if the same may be asked again later, [`ErrorKind::StorageFull`] if there is no space; otherwise an error that only a
/// human can clear.
#[cfg_attr(not(test), expect(clippy::needless_pass_by_value, reason = "for `map_err`"))]
pub(super) fn fault(error: Error) -> io::Error {
    #[cfg(test)]
    let error = match error {
        Error::Postgres(error) => error,
        Error::Simulated(super::client::Refusal::Code(code)) => return refused(code, code.to_owned()),
        Error::Simulated(super::client::Refusal::Closed) => return Away::error("connection closed"),
    };
    let Some(refusal) = error.as_db_error() else {
        return match error.source() {
            // Not the table that this program made.
            Some(cause) if cause.is::<WrongType>() || cause.is::<WasNull>() => {
                io::Error::other(in_one_line(&error))
            }
            _ => Away::error(in_one_line(&error)),
        };
    };
    let code = refusal.code().code();
    refused(
        code,
        format!("{}: {} ({code})", refusal.severity(), refusal.message()),
    )
}

fn refused(code: &str, message: String) -> io::Error {
    if code == SqlState::DISK_FULL.code() {
        return io::Error::new(ErrorKind::StorageFull, message);
    }
    if TEMPORARY.iter().any(|class| code.starts_with(class)) {
        return Away::error(message);
    }
    io::Error::other(message)
}

/// The same for a batch of which nothing was written.
pub(super) fn not_written(error: io::Error) -> CommitError {
    match error {
        error if is_full(&error) => CommitError::DiskFull,
        error if is_away(&error) => CommitError::Unreachable(error),
        error => CommitError::Failed(error),
    }
}
