//! `mayfly trust`: what clients are to trust.

mod export;
mod tuf;

use clap::{Args, Subcommand};

use super::failure::Failure;

/// Write what clients need to sign and to verify
#[derive(Args, Debug)]
pub(crate) struct TrustArguments {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    Export(export::ExportArguments),
    Tuf(tuf::TufArguments),
}

pub(crate) fn run(arguments: TrustArguments) -> Result<(), Failure> {
    match arguments.command {
        TrustCommand::Export(arguments) => export::run(arguments),
        TrustCommand::Tuf(arguments) => tuf::run(arguments),
    }
}
