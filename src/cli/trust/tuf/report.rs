//! What a command says when it is done.

use std::{io::Write, path::Path};

use ct_log::output::StandardOutput;
use mayfly::{
    clock::Timestamp,
    trust::tuf::{Missing, Proposal, Published, Repository, Signer, TufError, pending_folder, public_folder},
};

use crate::cli::failure::Failure;

/// How a change stands.
pub(super) enum Outcome {
    Published,
    Waits(Vec<Missing>),
}

/// A key that was named to sign, and does not sign this.
#[derive(Debug, thiserror::Error)]
#[error("the key {0} has no part in this: none of the roles that must sign is its own")]
struct Idle(String);

/// What this command has proposed. If a key was named in vain, it is forgotten: that was a slip.
pub(super) fn proposed(repository: &Repository, signers: &[Signer]) -> Result<Proposal, Failure> {
    let proposal = repository.proposal()?;
    if let Err(idle) = check_signers(&proposal, signers) {
        repository.drop_pending()?;
        return Err(idle);
    }
    Ok(proposal)
}

pub(super) fn check_signers(proposal: &Proposal, signers: &[Signer]) -> Result<(), Failure> {
    match signers.iter().find(|signer| !proposal.concerns(signer.public())) {
        None => Ok(()),
        Some(idle) => Err(Failure::configuration(Idle(idle.public().id()))),
    }
}

/// Adds these signatures, and publishes if that is all.
pub(super) async fn sign_and_publish(
    repository: &Repository,
    mut proposal: Proposal,
    signers: &[Signer],
    now: Timestamp,
) -> Result<Outcome, Failure> {
    repository.sign(&mut proposal, signers).await?;
    match repository.publish(signers, now).await {
        Ok(()) => Ok(Outcome::Published),
        Err(TufError::Missing(missing)) => Ok(Outcome::Waits(missing)),
        Err(error) => Err(error.into()),
    }
}

impl Outcome {
    /// `folder` is where the repository is, or will be.
    pub(super) fn tell(&self, repository: &Repository, folder: &Path, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Published => published(&repository.published()?, folder, now),
            Self::Waits(list) => missing(list, folder),
        }
    }
}

pub(super) fn missing(list: &[Missing], folder: &Path) -> Result<(), Failure> {
    let mut out = StandardOutput;
    writeln!(out, "{} waits for signatures:", pending_folder(folder).display())?;
    for missing in list {
        writeln!(out, "  {missing}")?;
    }
    writeln!(
        out,
        "They are added with: mayfly trust tuf sign {} --key KEY. A server with `tuf.key` adds that of the online key by itself.",
        folder.display()
    )?;
    Ok(())
}

pub(super) fn published(state: &Published, folder: &Path, now: Timestamp) -> Result<(), Failure> {
    let mut out = StandardOutput;
    writeln!(out, "Published in {}:", public_folder(folder).display())?;
    for role in state.standing() {
        writeln!(out, "  {} {}, until {}", role.role, role.version, role.end_date())?;
        if let Some(warning) = role.warning(now) {
            tracing::warn!("{warning}");
        }
    }
    Ok(())
}
