//! The commands of `ct-log`, which other programs can have as theirs: `mayfly log` is the same.
//!
//! [`LogCommand`] is a `clap` subcommand; [`run`] does what it says and gives the exit code, as [`EXIT_CODES`] tells users.

mod birth;
mod copying;
mod export;
mod failure;
mod file;
mod key_file;
mod monitor;
mod place;
mod restore;
mod serve;
mod trusted_root;
mod verify;

use std::process::ExitCode;

use clap::{Command, Subcommand};

use failure::Failure;

/// What the exit codes mean, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done; of an audit: everything was checked and is right
  1  failed, or it could not be checked: nothing is known to be wrong with the log
  2  the command line is wrong
  3  the log could not be written, so the server stopped; the next start recovers
  4  the log is NOT sound: damaged, forked, rolled back, or of another key";

/// What stands for the name of the program in the examples of `--help`.
const PROGRAM: &str = "{program}";

/// The command whose subcommands are those of [`LogCommand`], with `program` in their examples: the
/// name by which users call that command.
#[must_use]
pub fn named(mut command: Command, program: &str) -> Command {
    for subcommand in command.get_subcommands_mut() {
        if let Some(help) = subcommand.get_after_help() {
            let help = help.to_string().replace(PROGRAM, program);
            *subcommand = subcommand.clone().after_help(help);
        }
    }
    command
}

/// What can be done to a log from outside.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Audit a log: every entry, tile, issuer and signature
    #[command(after_help = verify::AFTER_HELP, next_line_help = true, verbatim_doc_comment)]
    Verify(verify::VerifyArguments),
    /// Follow a log: prove that it only grows, show the certificates that name somebody
    #[command(after_help = monitor::AFTER_HELP, next_line_help = true, verbatim_doc_comment)]
    Monitor(monitor::MonitorArguments),
    /// Make or update a static copy of a log, which any web server can serve
    #[command(after_help = export::AFTER_HELP, next_line_help = true, verbatim_doc_comment)]
    Export(export::ExportArguments),
    /// Rebuild a lost log's directory from a copy, or take over another's log
    #[command(after_help = restore::AFTER_HELP, next_line_help = true, verbatim_doc_comment, visible_alias = "adopt")]
    Restore(restore::RestoreArguments),
    /// Serve a log over HTTP, for CAs in other processes
    #[command(after_help = serve::AFTER_HELP, next_line_help = true, verbatim_doc_comment)]
    Serve(serve::ServeArguments),
}

/// Runs the command to its end.
pub fn run(command: LogCommand) -> ExitCode {
    let outcome = Failure::from_io(tokio::runtime::Runtime::new()).and_then(|runtime| {
        runtime.block_on(async {
            match command {
                LogCommand::Verify(arguments) => verify::run(arguments).await,
                LogCommand::Monitor(arguments) => monitor::run(arguments).await,
                LogCommand::Export(arguments) => export::run(arguments).await,
                LogCommand::Restore(arguments) => restore::run(arguments).await,
                LogCommand::Serve(arguments) => serve::run(arguments).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
