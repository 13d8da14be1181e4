//! Why a command failed, and with which exit code it says so.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::output;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Failed,
    Usage,
    Log,
    Unsound,
}

/// What ends a command early.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// The log breaks a rule: exit code 4.
    pub(super) fn unsound(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        let exit = Exit::Unsound;
        let error = error.into();
        Failure { exit, error }
    }

    /// The log could not be written while it was served: exit code 3.
    pub(super) fn log(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        let exit = Exit::Log;
        let error = error.into();
        Failure { exit, error }
    }

    /// What was asked for cannot be: exit code 2, as `clap` has it.
    pub(super) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        let exit = Exit::Usage;
        let error = error.into();
        Failure { exit, error }
    }

    pub(super) fn from_io<T>(result: io::Result<T>) -> Result<T, Failure> {
        result.map_err(Failure::from)
    }

    pub(super) fn is_unsound(&self) -> bool {
        self.exit == Exit::Unsound
    }

    /// Writes it as a line for somebody who watches.
    pub(super) fn warn(&self) {
        output::say(format_args!("warning: {self}"));
    }

    /// Writes the error and its causes to standard error.
    pub(super) fn report(self) -> ExitCode {
        output::say(format_args!("error: {}", self.error));
        let mut cause = self.error.source();
        while let Some(error) = cause {
            output::say(format_args!("  because: {error}"));
            cause = error.source();
        }
        ExitCode::from(match self.exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Log => 3,
            Exit::Unsound => 4,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Failure {
        let exit = Exit::Failed;
        let error = error.into();
        Failure { exit, error }
    }
}
