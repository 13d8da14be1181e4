//! `mayfly dev token`: a token of the development identity provider, for scripts.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use clap::Args;
use ct_log::output::StandardOutput;
use mayfly::{
    clock::{Clock, SystemClock},
    dev::{
        CLIENT_ID, EmailAddress, Issuers, Minter, ProviderKey, Repository,
        data_dir::{DataDir, Start},
        ready::Ready,
    },
};

use super::{failure::Failure, place::DEFAULT_DATA_DIR};

const EXAMPLES: &str = "\
Examples:
  mayfly dev token --email you@example.com > token.jwt
  mayfly dev token --github octo-org/octo-repo > token.jwt
  cosign sign-blob --identity-token token.jwt ...";

/// Print a token, valid for ten minutes
///
/// It is signed with the key that `mayfly dev` keeps in its data directory, for the port at which it
/// was started last; it need not be running. A terminal gets a line end after the token, a file or a
/// pipe the token alone.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, verbatim_doc_comment)]
pub(crate) struct TokenArguments {
    #[command(flatten)]
    subject: SubjectArguments,

    /// Where `mayfly dev` keeps its data
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,

    /// Whom the token is for
    #[arg(long, value_name = "CLIENT", default_value = CLIENT_ID)]
    audience: String,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct SubjectArguments {
    /// A token for a person, with this email address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<EmailAddress>,

    /// A token as GitHub Actions gives one to a workflow of this repository
    #[arg(long, value_name = "OWNER/REPO")]
    github: Option<Repository>,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no development data in {}: run `mayfly dev` once, or name its directory with --data-dir", .0.display())]
struct NeverStarted(PathBuf);

pub(crate) fn run(arguments: TokenArguments) -> Result<(), Failure> {
    let data_dir = DataDir::at(&arguments.data_dir);
    if data_dir.inspect()? == Start::First {
        return Err(NeverStarted(arguments.data_dir).into());
    }
    let ready = Ready::read(&data_dir)?;
    let minter = Minter::new(ProviderKey::open(&data_dir.oidc_key())?, Issuers::at(&ready.api));
    let now = SystemClock.now();
    let token = match (arguments.subject.email, arguments.subject.github) {
        (Some(email), _) => minter.email(&email, &arguments.audience, now)?,
        (None, Some(repository)) => minter.github(&repository, &arguments.audience, now)?,
        (None, None) => return Err(Failure::configuration("give --email or --github")),
    };
    // cosign sends a token file's bytes as they are, so a file must not end with a line end.
    let end = if io::stdout().is_terminal() { "\n" } else { "" };
    write!(StandardOutput, "{token}{end}")?;
    Ok(())
}
