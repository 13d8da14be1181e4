//! What can be typed after `mayfly init`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use mayfly::issuer::ceremony::KeyKind;

const AFTER_HELP: &str = "\
Examples:
  mayfly init acme-ca                                asks for all it needs
  mayfly init acme-ca --yes --host ca.example.com --organization Acme \\
    --root-passphrase file:root.txt --ca-passphrase file:ca.txt
  mayfly init acme-ca --csr                          for a root that you have already
  mayfly init acme-ca --chain chain.pem --timestamp-chain timestamp-chain.pem
                                                     what that root made of the requests
  mayfly init acme-ca --ca-key 'pkcs11:token=ca;object=intermediate?module-path=/usr/lib/...'

In the folder there are then
  root/      the root's key and certificate: to be moved to media that are offline
  server/    mayfly.yaml and all that it names: for the machine of `mayfly serve`
  clients/   what clients need: trusted_root.json, signing_config.json, ...
  request/   with --csr: the requests, and what their signer must know

PLACE is file:PATH, env:NAME or credential:NAME (of systemd). What the server needs is written into
mayfly.yaml as its place, never itself. What a place does not hold yet is asked for on a terminal;
with --yes, and without a terminal, it must be there. KEY is a path or URI as in docs/keys.md.

Exit codes: 0 made; 1 failed, and nothing was made; 2 the command line is wrong.";

/// Make a CA, its log and a configuration that starts: the key ceremony
///
/// Nothing is overwritten: the folder must be new or empty, and appears whole or not at all.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, next_line_help = true, verbatim_doc_comment)]
pub(crate) struct InitArguments {
    /// A new or empty folder
    #[arg(value_name = "DIRECTORY")]
    pub(super) directory: PathBuf,

    /// The CA's public name, such as ca.example.com: the log has it for ever
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,

    /// The organisation in the certificates
    #[arg(long, value_name = "NAME")]
    pub(super) organization: Option<String>,

    /// Their common names without "root" and "intermediate" [default: ORGANIZATION code signing]
    #[arg(long, value_name = "NAME")]
    pub(super) common_name: Option<String>,

    /// Kind of the keys of root, intermediate and timestamp authority, where made [default: p384]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) key_kind: Option<CaKey>,

    /// Passphrase of the root's key
    #[arg(long, value_name = "PLACE")]
    pub(super) root_passphrase: Option<String>,

    /// Passphrase (or PIN) of the intermediate's key
    #[arg(long, value_name = "PLACE")]
    pub(super) ca_passphrase: Option<String>,

    /// Passphrase (or PIN) of the log's key [default: as --ca-passphrase, if both are made]
    #[arg(long, value_name = "PLACE")]
    pub(super) log_passphrase: Option<String>,

    /// Passphrase (or PIN) of the timestamp authority's key [default: the first of the above]
    #[arg(long, value_name = "PLACE")]
    pub(super) timestamp_passphrase: Option<String>,

    /// Leave the server's keys unencrypted, in files with mode 0600
    #[arg(long, conflicts_with_all = ["ca_passphrase", "log_passphrase", "timestamp_passphrase"])]
    pub(super) no_passphrase: bool,

    /// Leave the root's key unencrypted: only where its disk is encrypted and offline
    #[arg(long, conflicts_with_all = ["root_passphrase", "root_key"])]
    pub(super) insecure_unencrypted_root_key: bool,

    /// A key that is there already, for the root
    #[arg(long, value_name = "KEY")]
    pub(super) root_key: Option<String>,

    /// A key that is there already, for the intermediate
    #[arg(long, alias = "ca-key-uri", value_name = "KEY")]
    pub(super) ca_key: Option<String>,

    /// A key that is there already and not in a file, for the log
    #[arg(long, value_name = "KEY")]
    pub(super) log_key: Option<String>,

    /// A key that is there already, for the timestamp authority
    #[arg(long, value_name = "KEY")]
    pub(super) timestamp_key: Option<String>,

    /// Make no timestamp authority
    #[arg(long, conflicts_with_all = ["timestamp_passphrase", "timestamp_key"])]
    pub(super) no_timestamp_authority: bool,

    /// Say that the key of --log-key never did: two logs under one key are a fork
    #[arg(long, requires = "log_key")]
    pub(super) the_key_never_signed_for_a_log: bool,

    /// Years that the root is valid
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(super) root_years: u32,

    /// Years that the intermediate is valid; it ends with the root at the latest
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(super) ca_years: u32,

    /// Make no root: write requests for one that you have already
    #[arg(long, conflicts_with_all = [
        "root_passphrase", "root_key", "insecure_unencrypted_root_key", "root_years", "ca_years",
    ])]
    pub(super) csr: bool,

    /// Install what came back for ca.csr.pem: the intermediate, then its issuers, the root last
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "host", "organization", "common_name", "key_kind", "root_passphrase", "ca_passphrase", "log_passphrase",
        "no_passphrase", "insecure_unencrypted_root_key", "root_key", "ca_key", "log_key", "root_years",
        "ca_years", "csr", "timestamp_passphrase", "timestamp_key", "no_timestamp_authority", "issuer", "github_organization", "listen", "yes",
    ])]
    pub(super) chain: Option<PathBuf>,

    /// And what came back for timestamp.csr.pem: the authority, then its issuers, the root last
    #[arg(long, value_name = "FILE", requires = "chain")]
    pub(super) timestamp_chain: Option<PathBuf>,

    /// An identity provider whose tokens name people by email address
    #[arg(long, value_name = "URL", conflicts_with = "github_organization")]
    pub(super) issuer: Option<String>,

    /// The audience of tokens; cosign asks for `sigstore` by itself [default: the host]
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,

    /// It is on a private network
    #[arg(long, requires = "issuer")]
    pub(super) private_issuer: bool,

    /// Whose workflows on GitHub may sign [default: nobody's, until you edit issuers.yaml]
    #[arg(long, value_name = "NAME")]
    pub(super) github_organization: Option<String>,

    /// Where `mayfly serve` listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5555")]
    pub(super) listen: SocketAddr,

    /// Ask nothing: take the defaults, and refuse to go on where there is none
    #[arg(long)]
    pub(super) yes: bool,

    /// Print the summary as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Kinds of CA keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum CaKey {
    /// What Fulcio's specification asks of a root
    P384,
    /// Several times faster to sign and to verify with
    P256,
    /// For those whose rules ask for RSA; slow
    Rsa4096,
}

impl From<CaKey> for KeyKind {
    fn from(key: CaKey) -> Self {
        match key {
            CaKey::P384 => Self::EcdsaP384,
            CaKey::P256 => Self::EcdsaP256,
            CaKey::Rsa4096 => Self::Rsa4096,
        }
    }
}
