//! `mayfly trust tuf init`.

use std::{
    fs::{self, Permissions},
    io::Write,
    num::NonZeroU64,
    os::unix::fs::PermissionsExt,
    path::{self, Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use clap::{Args, builder::RangedI64ValueParser};
use ct_log::output::StandardOutput;
use mayfly::{
    clock::{Clock, SystemClock},
    staging::{PUBLIC_FOLDER, StagedFolder},
    trust::tuf::{FIRST_ROOT, POSSIBLE_DAYS, Periods, Repository, RoleKeys, Roles, STAGED, public_folder},
};

use super::{
    keys::{NewKeys, Typed, unfit_roles},
    report::{Outcome, sign_and_publish},
};
use crate::cli::{
    failure::Failure,
    init::folder::{check_vacant, io_error, read},
};

/// Make a TUF repository, without files yet
///
/// A key whose file is not there is made, on P-256. A file with a public key (PEM) is a key that
/// signs elsewhere, later. The folder must be new or empty, and appears whole or not at all.
#[derive(Args, Debug)]
#[command(next_line_help = true, verbatim_doc_comment)]
pub(super) struct InitArguments {
    /// A new or empty folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    #[command(flatten)]
    roles: RoleArguments,
}

/// Who signs for which role.
#[derive(Args, Debug)]
pub(super) struct RoleArguments {
    /// A key of the root; may be repeated
    #[arg(long = "root-key", value_name = "KEY")]
    root_keys: Vec<String>,

    /// How many of them must sign
    #[arg(long, value_name = "N")]
    root_threshold: Option<NonZeroU64>,

    /// Passphrase (or PIN): one for all of these keys, or one for each in their order
    #[arg(long = "root-passphrase", value_name = "PLACE")]
    root_passphrases: Vec<String>,

    /// A key of the targets, which are the files; may be repeated
    #[arg(long = "targets-key", value_name = "KEY")]
    targets_keys: Vec<String>,

    /// How many of them must sign
    #[arg(long, value_name = "N")]
    targets_threshold: Option<NonZeroU64>,

    /// Passphrase (or PIN): one for all of these keys, or one for each in their order
    #[arg(long = "targets-passphrase", value_name = "PLACE")]
    targets_passphrases: Vec<String>,

    /// A key of snapshot and timestamp; may be repeated
    #[arg(long = "online-key", value_name = "KEY")]
    online_keys: Vec<String>,

    /// How many of them must sign
    #[arg(long, value_name = "N")]
    online_threshold: Option<NonZeroU64>,

    /// Passphrase (or PIN): one for all of these keys, or one for each in their order
    #[arg(long = "online-passphrase", value_name = "PLACE")]
    online_passphrases: Vec<String>,

    /// Leave new keys unencrypted, in files with mode 0600, where no passphrase is named
    #[arg(long)]
    pub(super) no_passphrase: bool,

    /// Days that a root is valid [default: 365]
    #[arg(long, value_name = "DAYS", value_parser = days())]
    root_days: Option<u32>,

    /// Days that targets are valid [default: 365]
    #[arg(long, value_name = "DAYS", value_parser = days())]
    targets_days: Option<u32>,

    /// Days that a snapshot is valid [default: 30]
    #[arg(long, value_name = "DAYS", value_parser = days())]
    snapshot_days: Option<u32>,

    /// Days that a timestamp is valid, and a client can be kept on what was [default: 7]
    #[arg(long, value_name = "DAYS", value_parser = days())]
    timestamp_days: Option<u32>,
}

/// As the repository takes them.
fn days() -> RangedI64ValueParser<u32> {
    let (least, most) = POSSIBLE_DAYS.into_inner();
    clap::value_parser!(u32).range(i64::from(least)..=i64::from(most))
}

impl RoleArguments {
    pub(super) fn root(&self) -> Typed<'_> {
        Typed {
            options: ("--root-key", "--root-passphrase"),
            threshold_option: "--root-threshold",
            keys: &self.root_keys,
            passphrases: &self.root_passphrases,
            threshold: self.root_threshold,
        }
    }

    pub(super) fn targets(&self) -> Typed<'_> {
        Typed {
            options: ("--targets-key", "--targets-passphrase"),
            threshold_option: "--targets-threshold",
            keys: &self.targets_keys,
            passphrases: &self.targets_passphrases,
            threshold: self.targets_threshold,
        }
    }

    pub(super) fn online(&self) -> Typed<'_> {
        Typed {
            options: ("--online-key", "--online-passphrase"),
            threshold_option: "--online-threshold",
            keys: &self.online_keys,
            passphrases: &self.online_passphrases,
            threshold: self.online_threshold,
        }
    }

    /// What was not typed is as it was.
    pub(super) fn periods(&self, present: Periods) -> Periods {
        Periods {
            root: self.root_days.unwrap_or(present.root),
            targets: self.targets_days.unwrap_or(present.targets),
            snapshot: self.snapshot_days.unwrap_or(present.snapshot),
            timestamp: self.timestamp_days.unwrap_or(present.timestamp),
        }
    }
}

pub(super) async fn run(arguments: &InitArguments) -> Result<(), Failure> {
    check_vacant(&arguments.directory)?;
    let typed = &arguments.roles;
    // All that is wrong with the command line shows before a key is made.
    let root_threshold = typed.root().new_threshold()?;
    let targets_threshold = typed.targets().new_threshold()?;
    let online_threshold = typed.online().new_threshold()?;
    let mut new = NewKeys::new(typed.no_passphrase);
    let mut signers = Vec::new();
    let mut role = async |typed: Typed<'_>, threshold| {
        let members = typed.members(&[], &mut new).await?;
        signers.extend(members.signers);
        Ok::<_, Failure>(RoleKeys {
            keys: members.keys,
            threshold,
        })
    };
    let roles = Roles {
        root: role(typed.root(), root_threshold).await?,
        targets: role(typed.targets(), targets_threshold).await?,
        online: role(typed.online(), online_threshold).await?,
        periods: typed.periods(Periods::default()),
    };
    let place = path::absolute(&arguments.directory)?;
    let now = SystemClock.now();
    let staged = StagedFolder::beside(&place, STAGED).map_err(io_error(&place))?;
    // Nothing in it is secret, and a web server may be somebody else.
    fs::set_permissions(staged.path(), Permissions::from_mode(PUBLIC_FOLDER)).map_err(io_error(&place))?;
    let repository = Repository::create(staged.path(), &roles, now).map_err(unfit_roles)?;
    let outcome = sign_and_publish(&repository, repository.proposal()?, &signers, now).await?;
    drop(repository);
    // Once the repository is in its place, its keys must be, too.
    new.keep();
    staged.publish().map_err(io_error(&place))?;
    let repository = Repository::open(&place)?;
    outcome.tell(&repository, &arguments.directory, now)?;
    if let Outcome::Published = outcome {
        write!(
            StandardOutput,
            "{}",
            next_steps(&arguments.directory, &repository)?
        )?;
    }
    Ok(())
}

/// What to do with it now.
fn next_steps(folder: &Path, repository: &Repository) -> Result<String, Failure> {
    let root = public_folder(folder).join(FIRST_ROOT);
    Ok(format!(
        "\
{}
Now:

  1. Give each client {root_file}, SHA-256 {digest}, by a way that you trust.
  2. Put the keys of root and targets away: offline, apart from each other and from their passphrases.
  3. Publish what clients are to trust: mayfly trust tuf publish {folder} --targets CLIENTS --key KEY...
  4. Have the server serve it and renew its timestamp: section `tuf` of mayfly.yaml (docs/tuf.md).
",
        repository.published()?,
        root_file = root.display(),
        digest = hex::encode(digest(&SHA256, &read(&root)?)),
        folder = folder.display(),
    ))
}
