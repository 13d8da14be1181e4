//! `mayfly intermediate`: the next key and certificate of a CA, under the root that it has.

use std::{
    path::{self, PathBuf},
    sync::Arc,
};

use clap::Args;
use mayfly::{
    clock::{Clock, SystemClock},
    issuer::{CertificateChain, Issuer, ceremony},
    key::SigningKey,
    staging::StagedFolder,
};

use super::{
    failure::Failure,
    init::{
        arguments::CaKey,
        folder::{self, io_error},
        keys,
        plan::{ServerKey, YEAR},
    },
    protect_memory,
    under_root::{RootArguments, report, server_key},
};

const AFTER_HELP: &str = "\
Examples:
  mayfly intermediate next --root root/root.pem --root-key root/root-key.pem \\
    --root-passphrase file:root.txt --ca-passphrase credential:ca-passphrase
  mayfly intermediate next --root root.pem --root-key awskms:///alias/root \\
    --ca-key awskms:///alias/ca-2028

Where the root's key is, which best is a machine without a network. In the folder there are then
ca.pem, the new certificate with the root after it, and ca-key.pem, unless the key is elsewhere.
docs/keys.md, \"Rotation\", says how they take over without a restart; docs/runbooks.md, what to do
if the present key leaked. For a root of another program, see mayfly init --csr.

PLACE is file:PATH, env:NAME or credential:NAME (of systemd); passphrases without one are asked for
on a terminal. KEY is a path or URI as in docs/keys.md.

Exit codes: 0 made; 1 failed, and nothing was made; 2 the command line is wrong.";

/// Make the next intermediate of a CA, under the root that it has
///
/// Nothing is overwritten: the folder must be new or empty, and appears whole or not at all.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, next_line_help = true, verbatim_doc_comment)]
pub(super) struct IntermediateArguments {
    /// A new or empty folder
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    #[command(flatten)]
    root: RootArguments,

    /// Kind of the new key [default: as the root's]
    #[arg(long, value_enum, value_name = "KIND", conflicts_with = "ca_key")]
    key_kind: Option<CaKey>,

    /// A key that is there already, in place of a new one
    #[arg(long, alias = "ca-key-uri", value_name = "KEY")]
    ca_key: Option<String>,

    /// Passphrase (or PIN) of the intermediate's key
    #[arg(long, value_name = "PLACE")]
    ca_passphrase: Option<String>,

    /// Leave the new key unencrypted, in a file with mode 0600
    #[arg(long, conflicts_with_all = ["ca_passphrase", "ca_key"])]
    no_passphrase: bool,

    /// Its common name [default: the root's, with "intermediate" in place of "root"]
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,

    /// Years that it is valid; it ends with the root at the latest
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    ca_years: u32,
}

pub(super) fn run(arguments: &IntermediateArguments) -> Result<(), Failure> {
    protect_memory()?;
    folder::check_vacant(&arguments.directory)?;
    let ca_key = server_key(
        ("--ca-key", arguments.ca_key.as_deref()),
        ("--ca-passphrase", arguments.ca_passphrase.as_deref()),
        arguments.no_passphrase,
        "the intermediate's key",
    )?;
    let runtime = tokio::runtime::Runtime::new()?;
    let chain = runtime.block_on(make(arguments, &ca_key))?;
    Ok(report(chain.issuing(), &arguments.directory.join("ca.pem"))?)
}

async fn make(arguments: &IntermediateArguments, ca_key: &ServerKey) -> Result<CertificateChain, Failure> {
    let root = arguments.root.open().await?;
    let subject = root.certificate.tbs_certificate().subject();
    let name = ceremony::next_intermediate(subject, arguments.common_name.as_deref())?;
    let place = path::absolute(&arguments.directory)?;
    let staged = StagedFolder::beside(&place, ".mayfly-intermediate-").map_err(io_error(&place))?;
    let kind = root.kind(arguments.key_kind);
    let ca_key = keys::intermediate(ca_key, kind, staged.path().join("ca-key.pem")).await?;
    let (now, lifetime) = (SystemClock.now(), YEAR * arguments.ca_years);
    let keys: (&dyn SigningKey, _) = (root.key.as_ref(), ca_key.as_ref());
    let certificate = ceremony::certify_below(&root.certificate, name, keys, lifetime, now).await?;
    let chain = CertificateChain::from_der(vec![certificate, root.der], now)?;
    folder::write_new(&staged.path().join("ca.pem"), &chain.pem().concat())?;
    let checked = CertificateChain::from_der(chain.der().to_vec(), now)?;
    Issuer::new(Arc::clone(&ca_key), checked).await?;
    staged.publish().map_err(io_error(&place))?;
    Ok(chain)
}
