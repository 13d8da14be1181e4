//! `mayfly trust tuf`: a TUF repository, made, filled, and kept.

mod change;
mod init;
mod keys;
mod refresh;
mod report;
mod rotate;
mod show;

use clap::{Args, Subcommand};

use crate::cli::{failure::Failure, protect_memory};

const AFTER_HELP: &str = "\
Examples:
  mayfly trust tuf init tuf --root-key r1.pem --root-key r2.pem --root-threshold 2 \\
    --targets-key t1.pem --online-key online.pem --root-passphrase file:offline.txt \\
    --targets-passphrase file:offline.txt --online-passphrase credential:tuf
  mayfly trust tuf publish tuf --targets clients --key t1.pem --key online.pem \\
    --passphrase file:offline.txt --passphrase credential:tuf
  mayfly trust tuf refresh tuf --key online.pem --passphrase credential:tuf
  mayfly trust tuf rotate tuf --root-key r2.pem --root-key r3.pem --key r1.pem --key online.pem ...
  mayfly trust tuf sign tuf --key r3.pem --passphrase file:offline.txt
  mayfly trust tuf show tuf

In the folder there are then
  public/    what is served: clients find it by the first root, public/1.root.json
  pending/   at times: a change, until all have signed it

KEY is a path or URI as in docs/keys.md, on P-256; where it need not sign, also its public half in
PEM, or the id of one that the repository has. PLACE is file:PATH, env:NAME or credential:NAME (of
systemd); without one, the passphrase of a file is typed. docs/tuf.md has the whole story.

Exit codes: 0 done, and published unless it says that signatures are missing; 1 failed, and what was
published is as it was; 2 the command line is wrong.";

/// A TUF repository, from which clients take what they trust
///
/// Clients know its first root alone. Root and targets are signed by keys that are offline, with
/// thresholds; snapshot and timestamp by one that is online.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, verbatim_doc_comment)]
pub(super) struct TufArguments {
    #[command(subcommand)]
    command: TufCommand,
}

#[derive(Debug, Subcommand)]
enum TufCommand {
    Init(Box<init::InitArguments>),
    Publish(change::PublishArguments),
    Rotate(Box<rotate::RotateArguments>),
    Sign(change::SignArguments),
    Drop(change::DropArguments),
    Show(show::ShowArguments),
    Refresh(refresh::RefreshArguments),
}

pub(super) fn run(arguments: TufArguments) -> Result<(), Failure> {
    protect_memory()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match arguments.command {
            TufCommand::Init(arguments) => init::run(&arguments).await,
            TufCommand::Publish(arguments) => change::publish(&arguments).await,
            TufCommand::Rotate(arguments) => rotate::run(&arguments).await,
            TufCommand::Sign(arguments) => change::sign(&arguments).await,
            TufCommand::Drop(arguments) => change::drop(&arguments),
            TufCommand::Show(arguments) => show::run(&arguments),
            TufCommand::Refresh(arguments) => refresh::run(&arguments).await,
        }
    })
}
