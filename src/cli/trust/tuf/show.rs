//! `mayfly trust tuf show`.

use std::{io::Write, path::PathBuf};

use clap::Args;
use ct_log::output::StandardOutput;
use mayfly::{
    clock::{Clock, SystemClock},
    trust::tuf::{Repository, TufError},
};

use super::report::{missing, published};
use crate::cli::failure::Failure;

/// Show what is published, for how long, who signs, and what waits for signatures
#[derive(Args, Debug)]
pub(super) struct ShowArguments {
    /// The repository's folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &ShowArguments) -> Result<(), Failure> {
    let repository = Repository::open(&arguments.directory)?;
    match repository.published() {
        Ok(state) => {
            published(&state, &arguments.directory, SystemClock.now())?;
            write!(StandardOutput, "\n{state}")?;
        }
        Err(TufError::NotPublished(_)) => writeln!(StandardOutput, "Nothing is published yet.")?,
        Err(error) => return Err(error.into()),
    }
    match repository.proposal() {
        Ok(proposal) => {
            write!(StandardOutput, "\nProposed:\n{proposal}")?;
            missing(&proposal.missing(), &arguments.directory)
        }
        Err(TufError::NothingPending(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
