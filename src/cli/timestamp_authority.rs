//! `mayfly timestamp-authority`: another key and certificate of the timestamp authority, under the root that is there.

use std::{
    path::{self, PathBuf},
    sync::Arc,
};

use clap::Args;
use mayfly::{
    clock::{Clock, SystemClock},
    issuer::ceremony,
    staging::StagedFolder,
    timestamp::TimestampChain,
};

use super::{
    failure::Failure,
    init::{
        arguments::CaKey,
        folder::{self, io_error},
        plan::{ServerKey, Timestamps, YEAR},
        timestamps,
    },
    protect_memory,
    under_root::{RootArguments, report, server_key},
};

const AFTER_HELP: &str = "\
Examples:
  mayfly timestamp-authority next --root root/root.pem --root-key root/root-key.pem \\
    --root-passphrase file:root.txt --timestamp-passphrase credential:timestamp-passphrase
  mayfly timestamp-authority next --root root.pem --root-key awskms:///alias/root \\
    --timestamp-key awskms:///alias/timestamps-2028

Where the root's key is, which best is a machine without a network. In the folder there are then
timestamp.pem, the new certificate with the root after it, and timestamp-key.pem, unless the key is
elsewhere. docs/keys.md, \"Rotation\", says how they take over without a restart (a first authority
takes one); docs/runbooks.md, what to do if the present key leaked. For a root of another program,
see mayfly init --csr.

PLACE is file:PATH, env:NAME or credential:NAME (of systemd); passphrases without one are asked for
on a terminal. KEY is a path or URI as in docs/keys.md.

Exit codes: 0 made; 1 failed, and nothing was made; 2 the command line is wrong.";

/// Make a timestamp authority, the first or the next, under a root that is there
///
/// Nothing is overwritten: the folder must be new or empty, and appears whole or not at all.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, next_line_help = true, verbatim_doc_comment)]
pub(super) struct TimestampAuthorityArguments {
    /// A new or empty folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    #[command(flatten)]
    root: RootArguments,

    /// Kind of the new key [default: as the root's]
    #[arg(
        long,
        alias = "kind",
        value_enum,
        value_name = "KIND",
        conflicts_with = "timestamp_key"
    )]
    key_kind: Option<CaKey>,

    /// A key that is there already, in place of a new one
    #[arg(long, value_name = "KEY")]
    timestamp_key: Option<String>,

    /// Passphrase (or PIN) of the timestamp authority's key
    #[arg(long, value_name = "PLACE")]
    timestamp_passphrase: Option<String>,

    /// Leave the new key unencrypted, in a file with mode 0600
    #[arg(long, conflicts_with_all = ["timestamp_passphrase", "timestamp_key"])]
    no_passphrase: bool,

    /// Its common name [default: the root's, with "timestamping" in place of "root"]
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,

    /// Years that it is valid; it ends with the root at the latest
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    years: u32,
}

pub(super) fn run(arguments: &TimestampAuthorityArguments) -> Result<(), Failure> {
    protect_memory()?;
    folder::check_vacant(&arguments.directory)?;
    let key = server_key(
        ("--timestamp-key", arguments.timestamp_key.as_deref()),
        (
            "--timestamp-passphrase",
            arguments.timestamp_passphrase.as_deref(),
        ),
        arguments.no_passphrase,
        "the timestamp authority's key",
    )?;
    let runtime = tokio::runtime::Runtime::new()?;
    let chain = runtime.block_on(make(arguments, key))?;
    Ok(report(
        chain.signer(),
        &arguments.directory.join("timestamp.pem"),
    )?)
}

async fn make(
    arguments: &TimestampAuthorityArguments,
    key: ServerKey,
) -> Result<Arc<TimestampChain>, Failure> {
    let root = arguments.root.open().await?;
    let subject = root.certificate.tbs_certificate().subject();
    let name = ceremony::next_timestamp_authority(subject, arguments.common_name.as_deref())?;
    let place = path::absolute(&arguments.directory)?;
    let staged = StagedFolder::beside(&place, ".mayfly-timestamp-").map_err(io_error(&place))?;
    let lifetime = YEAR * arguments.years;
    let by = (
        root.key.as_ref(),
        root.der.as_slice(),
        lifetime,
        SystemClock.now(),
    );
    let files = (
        staged.path().join("timestamp-key.pem"),
        staged.path().join("timestamp.pem"),
    );
    let timestamps = Timestamps { name, key };
    let chain = timestamps::certify(&timestamps, root.kind(arguments.key_kind), by, files).await?;
    staged.publish().map_err(io_error(&place))?;
    Ok(chain)
}
