//! `mayfly trust tuf publish`, `sign` and `drop`: a change of the files, signatures for any change, and no change after all.

use std::{io::Write, path::PathBuf};

use clap::Args;
use ct_log::output::StandardOutput;
use mayfly::{
    clock::{Clock, SystemClock},
    trust::tuf::{Repository, read_export},
};

use super::{
    keys::SignerArguments,
    report::{check_signers, proposed, sign_and_publish},
};
use crate::cli::{failure::Failure, terminal::Terminal};

/// Publish the files of a folder, in place of those that were published, or these for longer
///
/// The folder is one that `mayfly trust export` wrote, and may hold fulcio*.crt.pem, ctfe*.pub and
/// tsa*.pem for older clients. Signatures that are missing are added with `mayfly trust tuf sign`.
#[derive(Args, Debug)]
#[command(next_line_help = true, verbatim_doc_comment)]
pub(super) struct PublishArguments {
    /// The repository's folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// The folder with the files, and nothing else; without it, the same files for longer
    #[arg(long, value_name = "FOLDER")]
    targets: Option<PathBuf>,

    /// Another file in it that is to be published, as it is; may be repeated
    #[arg(long, value_name = "NAME", requires = "targets")]
    also: Vec<String>,

    #[command(flatten)]
    signers: SignerArguments,
}

/// Sign a change that waits, and publish it if that is all that was missing
///
/// Shows what is signed. A key that is on another machine signs there: carry the repository's folder
/// to it, and back from it the folder `pending` alone, since the rest has gone on meanwhile.
#[derive(Args, Debug)]
#[command(next_line_help = true, verbatim_doc_comment)]
pub(super) struct SignArguments {
    /// The repository's folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// Sign without being asked
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    signers: SignerArguments,
}

/// Forget a change that waits for signatures
#[derive(Args, Debug)]
pub(super) struct DropArguments {
    /// The repository's folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

pub(super) async fn publish(arguments: &PublishArguments) -> Result<(), Failure> {
    let repository = Repository::open(&arguments.directory)?;
    let now = SystemClock.now();
    let signers = arguments.signers.open().await?;
    match &arguments.targets {
        Some(folder) => repository.propose_targets(&read_export(folder, &arguments.also, now)?, now)?,
        None => repository.propose_renewal(now)?,
    }
    let outcome = sign_and_publish(&repository, proposed(&repository, &signers)?, &signers, now).await?;
    outcome.tell(&repository, &arguments.directory, now)
}

pub(super) async fn sign(arguments: &SignArguments) -> Result<(), Failure> {
    let repository = Repository::open(&arguments.directory)?;
    arguments.signers.check_any()?;
    let proposal = repository.proposal()?;
    write!(StandardOutput, "{proposal}")?;
    let signs = match (arguments.yes, Terminal::find()) {
        (true, _) => true,
        (false, Some(terminal)) => terminal.confirm("Sign this?")?,
        (false, None) => return Err(Failure::configuration("without a terminal, --yes is needed")),
    };
    if !signs {
        return Err("not signed".into());
    }
    let now = SystemClock.now();
    let signers = arguments.signers.open().await?;
    check_signers(&proposal, &signers)?;
    let outcome = sign_and_publish(&repository, proposal, &signers, now).await?;
    outcome.tell(&repository, &arguments.directory, now)
}

pub(super) fn drop(arguments: &DropArguments) -> Result<(), Failure> {
    Ok(Repository::open(&arguments.directory)?.drop_pending()?)
}
