//! `mayfly intermediate`: the next key and certificate of a CA, under the root that it has.

use std::{
    io::{self, Write},
    path::{self, PathBuf},
    sync::Arc,
};

use clap::Args;
use der::Decode;
use mayfly::{
    clock::{Clock, SystemClock},
    issuer::{CertificateChain, Issuer, ceremony},
    key::{KeySettings, SignatureAlgorithm, SigningKey, memory},
    staging::StagedFolder,
    telemetry::KeyMetrics,
};
use x509_cert::Certificate;

use super::{
    failure::Failure,
    init::{
        arguments::CaKey,
        folder::{self, io_error},
        keys,
        plan::{self, ServerKey, YEAR},
        secret::{self, Secret},
    },
    terminal::Terminal,
};

const AFTER_HELP: &str = "\
Examples:
  mayfly intermediate next --root root/root.pem --root-key root/root-key.pem \\
    --root-passphrase file:root.txt --ca-passphrase credential:ca-passphrase
  mayfly intermediate next --root root.pem --root-key awskms:///alias/root \\
    --ca-key-uri awskms:///alias/ca-2028

Where the root's key is, which best is a machine without a network. In the folder there are then
ca.pem, the new certificate with the root after it, and ca-key.pem, unless the key is elsewhere.
docs/keys.md, \"Rotation\", says how they take over without a restart; docs/runbooks.md, what to do
if the present key leaked. For a root of another program, see mayfly init --csr.

PLACE is file:PATH, env:NAME or credential:NAME (of systemd). KEY is a path or URI as in
docs/keys.md.

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

    /// The root's certificate, PEM
    #[arg(long, value_name = "FILE")]
    root: PathBuf,

    /// The root's key
    #[arg(long, value_name = "KEY")]
    root_key: String,

    /// Passphrase (or PIN) of the root's key
    #[arg(long, value_name = "PLACE")]
    root_passphrase: Option<String>,

    /// Kind of the new key [default: as the root's]
    #[arg(long, value_enum, value_name = "KIND", conflicts_with = "ca_key_uri")]
    ca_key: Option<CaKey>,

    /// A key that is there already, in place of a new one
    #[arg(long, value_name = "KEY")]
    ca_key_uri: Option<String>,

    /// Passphrase (or PIN) of the intermediate's key
    #[arg(long, value_name = "PLACE")]
    ca_passphrase: Option<String>,

    /// Leave the new key unencrypted, in a file with mode 0600
    #[arg(long, conflicts_with_all = ["ca_passphrase", "ca_key_uri"])]
    no_passphrase: bool,

    /// Its common name [default: the root's, with \"intermediate\" in place of \"root\"]
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,

    /// Years that it is valid; it ends with the root at the latest
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    ca_years: u32,
}

pub(super) fn run(arguments: &IntermediateArguments) -> Result<(), Failure> {
    memory::refuse_dumps()?;
    if let Err(error) = memory::lock() {
        tracing::debug!("{error}");
    }
    folder::check_vacant(&arguments.directory)?;
    let root_key = KeySettings {
        reference: plan::key_reference("--root-key", &arguments.root_key)?,
        passphrase: secret::source("--root-passphrase", arguments.root_passphrase.as_deref())?,
    };
    let ca_key = server_key(arguments)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let chain = runtime.block_on(make(arguments, &root_key, &ca_key))?;
    let certificate = chain.issuing().tbs_certificate();
    Ok(writeln!(
        io::stdout(),
        "{}, valid until {}, is in {}. It signs from when mayfly.yaml names it (docs/keys.md, \"Rotation\").",
        certificate.subject(),
        certificate.validity().not_after,
        arguments.directory.join("ca.pem").display(),
    )?)
}

fn server_key(arguments: &IntermediateArguments) -> Result<ServerKey, Failure> {
    let source = secret::source("--ca-passphrase", arguments.ca_passphrase.as_deref())?;
    if let Some(text) = &arguments.ca_key_uri {
        return Ok(ServerKey::Existing(KeySettings {
            reference: plan::key_reference("--ca-key-uri", text)?,
            passphrase: source,
        }));
    }
    let secret = match source {
        Some(source) => {
            let passphrase = secret::read(&source, "the intermediate's key", Terminal::find().as_ref())?;
            Some(Secret { passphrase, source })
        }
        None if arguments.no_passphrase => None,
        None => {
            return Err(Failure::configuration(
                "say how the new key is protected: --ca-passphrase, --ca-key-uri or --no-passphrase",
            ));
        }
    };
    Ok(ServerKey::New(secret))
}

async fn make(
    arguments: &IntermediateArguments,
    root_settings: &KeySettings,
    ca_settings: &ServerKey,
) -> Result<CertificateChain, Failure> {
    let (root, root_der) = one_certificate(&folder::read(&arguments.root)?).ok_or_else(|| {
        Failure::configuration(format!(
            "{} is not one certificate in PEM",
            arguments.root.display()
        ))
    })?;
    let name =
        ceremony::next_intermediate(root.tbs_certificate().subject(), arguments.common_name.as_deref())?;
    let root_key = root_settings.open("root", &KeyMetrics::new()?).await?;
    let place = path::absolute(&arguments.directory)?;
    let staged = StagedFolder::beside(&place, ".mayfly-intermediate-").map_err(io_error(&place))?;
    let kind = arguments
        .ca_key
        .map_or_else(|| kind_of(root_key.algorithm()), Into::into);
    let ca_key = keys::intermediate(ca_settings, kind, staged.path().join("ca-key.pem")).await?;
    let now = SystemClock.now();
    let keys: (&dyn SigningKey, _) = (root_key.as_ref(), ca_key.as_ref());
    let certificate = ceremony::certify_below(&root, name, keys, YEAR * arguments.ca_years, now).await?;
    let der = vec![certificate, root_der];
    let chain = CertificateChain::from_der(der, now)?;
    folder::write_new(&staged.path().join("ca.pem"), &chain.pem().concat())?;
    let checked = CertificateChain::from_der(chain.der().to_vec(), now)?;
    Issuer::new(Arc::clone(&ca_key), checked).await?;
    staged.publish().map_err(io_error(&place))?;
    Ok(chain)
}

/// Read, and as DER.
fn one_certificate(text: &[u8]) -> Option<(Certificate, Vec<u8>)> {
    let mut blocks = pem::parse_many(text).ok()?.into_iter();
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return None;
    };
    let certificate = Certificate::from_der(block.contents()).ok()?;
    Some((certificate, block.into_contents()))
}

fn kind_of(algorithm: SignatureAlgorithm) -> ceremony::KeyKind {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => ceremony::KeyKind::EcdsaP256,
        SignatureAlgorithm::EcdsaP384Sha384 => ceremony::KeyKind::EcdsaP384,
        SignatureAlgorithm::RsaPkcs1Sha256 => ceremony::KeyKind::Rsa4096,
    }
}
