//! Why a command failed, and with which exit code it says so.

use std::{error::Error, iter, process::ExitCode};

use ct_log::output;

/// The exit codes that `--help` lists; clap itself exits with 2 for a wrong command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Failed,
    Configuration,
    Write,
}

/// An error that ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// What was asked for cannot be: exit code 2.
    pub(crate) fn configuration(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit: Exit::Configuration,
            error: error.into(),
        }
    }

    /// The same error, as one of the command line: exit code 2.
    pub(crate) fn at_command_line(self) -> Self {
        Self {
            exit: Exit::Configuration,
            ..self
        }
    }

    /// The certificate log or the audit record could not be written while serving: exit code 3.
    pub(crate) fn write(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit: Exit::Write,
            error: error.into(),
        }
    }

    /// Writes the error and its causes to standard error, one a line.
    pub(crate) fn report(self) -> ExitCode {
        output::say(format_args!("mayfly: {}", self.error));
        for cause in iter::successors(self.error.source(), |&error| error.source()) {
            output::say(format_args!("  because: {cause}"));
        }
        ExitCode::from(match self.exit {
            Exit::Failed => 1,
            Exit::Configuration => 2,
            Exit::Write => 3,
        })
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            exit: Exit::Failed,
            error: error.into(),
        }
    }
}
