//! `mayfly trust tuf refresh`.

use std::path::PathBuf;

use clap::Args;
use mayfly::{
    clock::{Clock, SystemClock},
    trust::tuf::Repository,
};

use super::{keys::SignerArguments, report::published};
use crate::cli::failure::Failure;

/// Renew the timestamp, and the snapshot if less than half of its time is left
///
/// To be run well before the timestamp ends: each day, say. The online key signs (--key).
#[derive(Args, Debug)]
#[command(next_line_help = true, verbatim_doc_comment)]
pub(super) struct RefreshArguments {
    /// The repository's folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    #[command(flatten)]
    signers: SignerArguments,
}

pub(super) async fn run(arguments: &RefreshArguments) -> Result<(), Failure> {
    arguments.signers.check_any()?;
    let repository = Repository::open(&arguments.directory)?;
    let now = SystemClock.now();
    repository.refresh(&arguments.signers.open().await?, now).await?;
    published(&repository.published()?, &arguments.directory, now)
}
