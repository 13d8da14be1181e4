//! `mayfly trust tuf rotate`.

use std::path::PathBuf;

use clap::Args;
use mayfly::{
    clock::{Clock, SystemClock},
    trust::tuf::{Repository, RoleKeys, Roles, Signer},
};

use super::{
    init::RoleArguments,
    keys::{NewKeys, SignerArguments, Typed, unfit_roles},
    report::{proposed, sign_and_publish},
};
use crate::cli::failure::Failure;

/// Change the keys or the threshold of a role, or renew the root
///
/// Where keys of a role are named, these are all that it has from now on; one that it has already can
/// be named by its id (`mayfly trust tuf show`). The new root must be
/// signed by enough keys of the present root and of the new one; name the present ones with --key.
/// Signatures that are missing are added with `mayfly trust tuf sign`.
#[derive(Args, Debug)]
#[command(next_line_help = true, verbatim_doc_comment)]
pub(super) struct RotateArguments {
    /// The repository's folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    #[command(flatten)]
    roles: RoleArguments,

    #[command(flatten)]
    signers: SignerArguments,
}

pub(super) async fn run(arguments: &RotateArguments) -> Result<(), Failure> {
    let repository = Repository::open(&arguments.directory)?;
    let present = repository.published()?.roles()?;
    let typed = &arguments.roles;
    let mut new = NewKeys::new(typed.no_passphrase);
    let mut signers = arguments.signers.open().await?;
    let roles = Roles {
        root: changed(present.root, typed.root(), &mut new, &mut signers).await?,
        targets: changed(present.targets, typed.targets(), &mut new, &mut signers).await?,
        online: changed(present.online, typed.online(), &mut new, &mut signers).await?,
        periods: typed.periods(present.periods),
    };
    let now = SystemClock.now();
    repository.propose_roles(&roles, now).map_err(unfit_roles)?;
    let proposal = proposed(&repository, &signers)?;
    // From here on, the new keys are in a file that stays.
    new.keep();
    let outcome = sign_and_publish(&repository, proposal, &signers, now).await?;
    outcome.tell(&repository, &arguments.directory, now)
}

/// The role with what was typed; a new key signs, too.
async fn changed(
    present: RoleKeys,
    typed: Typed<'_>,
    new: &mut NewKeys,
    signers: &mut Vec<Signer>,
) -> Result<RoleKeys, Failure> {
    let threshold = typed.threshold.unwrap_or(present.threshold);
    if typed.keys.is_empty() {
        return Ok(RoleKeys { threshold, ..present });
    }
    let members = typed.members(&present.keys, new).await?;
    signers.extend(members.signers);
    Ok(RoleKeys {
        keys: members.keys,
        threshold,
    })
}
