//! What the commands have in common that make a key and a certificate under a root that is there already.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use ct_log::output::StandardOutput;
use der::Decode;
use mayfly::{
    issuer::ceremony::KeyKind,
    key::{KeySettings, SignatureAlgorithm, SigningKey},
};
use x509_cert::Certificate;

use super::{
    failure::Failure,
    init::{
        arguments::CaKey,
        folder,
        plan::{self, ServerKey},
        secret::{self, Secret},
    },
    terminal::Terminal,
    unlock,
};

#[derive(Args, Debug)]
pub(super) struct RootArguments {
    /// The root's certificate, PEM
    #[arg(long, value_name = "FILE")]
    root: PathBuf,

    /// The root's key
    #[arg(long, value_name = "KEY")]
    root_key: String,

    /// Passphrase (or PIN) of the root's key
    #[arg(long, value_name = "PLACE")]
    root_passphrase: Option<String>,
}

/// A root and its key.
pub(super) struct Root {
    pub(super) certificate: Certificate,
    pub(super) der: Vec<u8>,
    pub(super) key: Arc<dyn SigningKey>,
}

impl RootArguments {
    pub(super) async fn open(&self) -> Result<Root, Failure> {
        let settings = KeySettings {
            reference: plan::key_reference("--root-key", &self.root_key)?,
            passphrase: secret::source("--root-passphrase", self.root_passphrase.as_deref())?,
        };
        let (certificate, der) = one_certificate(&folder::read(&self.root)?).ok_or_else(|| {
            Failure::configuration(format!("{} is not one certificate in PEM", self.root.display()))
        })?;
        let key = unlock::open(&settings, "root").await?;
        Ok(Root {
            certificate,
            der,
            key,
        })
    }
}

impl Root {
    /// The kind of a new key: as the root's, unless one is named.
    pub(super) fn kind(&self, named: Option<CaKey>) -> KeyKind {
        match (named, self.key.algorithm()) {
            (Some(named), _) => named.into(),
            (None, SignatureAlgorithm::EcdsaP256Sha256) => KeyKind::EcdsaP256,
            (None, SignatureAlgorithm::EcdsaP384Sha384) => KeyKind::EcdsaP384,
            (None, SignatureAlgorithm::RsaPkcs1Sha256) => KeyKind::Rsa4096,
        }
    }
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

/// An option and what was typed after it.
pub(super) type Typed<'a> = (&'static str, Option<&'a str>);

/// The key that gets a certificate: one that is there, or a new one with the passphrase in that place; without any if that was said.
pub(super) fn server_key(
    (key_option, key): Typed<'_>,
    (passphrase_option, place): Typed<'_>,
    no_passphrase: bool,
    what: &str,
) -> Result<ServerKey, Failure> {
    let source = secret::source(passphrase_option, place)?;
    if let Some(text) = key {
        return Ok(ServerKey::Existing(KeySettings {
            reference: plan::key_reference(key_option, text)?,
            passphrase: source,
        }));
    }
    let terminal = Terminal::find();
    let secret = match (source, &terminal) {
        (Some(source), _) => {
            let passphrase = secret::read(&source, what, terminal.as_ref())?;
            Some(Secret { passphrase, source })
        }
        (None, _) if no_passphrase => None,
        (None, Some(terminal)) => terminal.new_passphrase(what)?.map(Secret::typed),
        (None, None) => None,
    };
    match secret.is_some() || no_passphrase {
        true => Ok(ServerKey::New(secret)),
        false => Err(Failure::configuration(format!(
            "say how the new key is protected: {passphrase_option}, {key_option} or --no-passphrase"
        ))),
    }
}

/// What was made.
pub(super) fn report(certificate: &Certificate, path: &Path) -> io::Result<()> {
    let certificate = certificate.tbs_certificate();
    writeln!(
        StandardOutput,
        "{}, valid until {}, is in {}. It signs from when mayfly.yaml names it (docs/keys.md, \"Rotation\").",
        certificate.subject(),
        certificate.validity().not_after,
        path.display(),
    )
}
