//! `mayfly log`: what `ct-log` does, in this program, and making a log on purpose.

mod create;

pub(crate) use create::confirm_new_key;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ct_log::tool::{self, EXIT_CODES};

use super::failure::Failure;

/// Audit, follow, copy, restore, serve or create a certificate log
///
/// The same commands as those of the program ct-log, which need no configuration of Mayfly and work
/// with every log that speaks static-ct-api; and `create`, which makes the log of a configuration.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES, verbatim_doc_comment)]
pub(crate) struct LogArguments {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    #[command(flatten)]
    Tool(Box<tool::LogCommand>),
    Create(create::CreateArguments),
}

pub(crate) fn run(arguments: LogArguments) -> ExitCode {
    let outcome = match arguments.command {
        LogCommand::Tool(command) => return tool::run(*command),
        LogCommand::Create(arguments) => create::run(&arguments),
    };
    outcome.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}
