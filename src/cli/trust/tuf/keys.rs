//! Keys on the command line: those that sign now, and those of a role, of which some may be elsewhere.

use std::{
    fs::{self, DirBuilder},
    num::NonZeroU64,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use mayfly::{
    issuer::ceremony::KeyKind,
    key::{
        KeyReference, KeySettings,
        passphrase::{Passphrase, PassphraseSource},
    },
    staging::SECRET_FOLDER,
    trust::tuf::{PublicKey, Signer, TufError},
};

use crate::cli::{
    failure::Failure,
    init::{folder, keys, plan, secret},
    terminal::Terminal,
    unlock,
};

/// The keys that sign.
#[derive(Args, Debug)]
pub(super) struct SignerArguments {
    /// A key that signs, for the roles that it has; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,

    /// Passphrase (or PIN): one for all of these keys, or one for each in their order
    #[arg(long = "passphrase", value_name = "PLACE")]
    passphrases: Vec<String>,
}

impl SignerArguments {
    /// For commands that do nothing without one.
    pub(super) fn check_any(&self) -> Result<(), Failure> {
        match self.keys.is_empty() {
            true => Err(Failure::configuration("--key is needed: the key that signs")),
            false => Ok(()),
        }
    }

    pub(super) async fn open(&self) -> Result<Vec<Signer>, Failure> {
        let places = passphrases(("--key", "--passphrase"), self.keys.len(), &self.passphrases)?;
        let mut signers = Vec::new();
        for (text, passphrase) in self.keys.iter().zip(places) {
            let reference = plan::key_reference("--key", text)?;
            signers.push(open(reference, passphrase).await?);
        }
        Ok(signers)
    }
}

/// A role's keys as they were typed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Typed<'a> {
    /// The options of keys and passphrases.
    pub(super) options: (&'static str, &'static str),
    pub(super) threshold_option: &'static str,
    pub(super) keys: &'a [String],
    pub(super) passphrases: &'a [String],
    pub(super) threshold: Option<NonZeroU64>,
}

/// A role's keys, and those of them that are here and sign.
pub(super) struct Members {
    pub(super) keys: Vec<PublicKey>,
    pub(super) signers: Vec<Signer>,
}

/// New key files, which go again if what they were made for is not.
#[derive(Debug)]
pub(super) struct NewKeys {
    files: Vec<PathBuf>,
    unprotected: bool,
}

impl NewKeys {
    /// `unprotected`: somebody said that they need no passphrase.
    pub(super) fn new(unprotected: bool) -> Self {
        Self {
            files: Vec::new(),
            unprotected,
        }
    }

    pub(super) fn keep(mut self) {
        self.files.clear();
    }

    fn make(&mut self, path: PathBuf, passphrase: Option<&PassphraseSource>) -> Result<Signer, Failure> {
        let passphrase = match passphrase {
            Some(source) => {
                let of = format!("the key {}", path.display());
                Some(secret::read(source, &of, Terminal::find().as_ref())?)
            }
            None if self.unprotected => None,
            None => Some(typed_anew(&path)?),
        };
        if let Some(parent) = path.parent() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(SECRET_FOLDER).create(parent);
            made.map_err(folder::io_error(parent))?;
        }
        let key = keys::make(KeyKind::EcdsaP256, &path, passphrase.as_ref())?;
        self.files.push(path);
        Ok(Signer::new(Arc::new(key))?)
    }
}

impl Drop for NewKeys {
    fn drop(&mut self) {
        for file in &self.files {
            // Why they are not needed is what is told.
            let _ = fs::remove_file(file);
        }
    }
}

/// A new key, and nothing that says how it is protected.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is not there, and is made if you say how it is protected: by a passphrase, an option that names its place, or --no-passphrase",
    .0.display()
)]
struct Unprotected(PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("{1} must be given once, or as often as {0}")]
struct Passphrases(&'static str, &'static str);

/// Several keys, and nothing that says how many must sign.
#[derive(Debug, thiserror::Error)]
#[error("{threshold} is needed: with several keys, how many of them must sign")]
struct NoThreshold {
    threshold: &'static str,
}

impl Typed<'_> {
    /// Of a role that has none yet.
    pub(super) fn new_threshold(&self) -> Result<NonZeroU64, Failure> {
        match (self.threshold, self.keys) {
            (Some(threshold), _) => Ok(threshold),
            (None, [_]) => Ok(NonZeroU64::MIN),
            (None, []) => Err(Failure::configuration(format!("{} is needed", self.options.0))),
            (None, _) => Err(Failure::configuration(NoThreshold {
                threshold: self.threshold_option,
            })),
        }
    }

    /// Opens keys that are there, and makes those whose file is not; a PEM file with a public key, or the id of one of `present`,
    /// is one that signs elsewhere.
    pub(super) async fn members(&self, present: &[PublicKey], new: &mut NewKeys) -> Result<Members, Failure> {
        let places = passphrases(self.options, self.keys.len(), self.passphrases)?;
        let (mut keys, mut signers) = (Vec::new(), Vec::new());
        for (text, passphrase) in self.keys.iter().zip(places) {
            if let Some(known) = present.iter().find(|key| key.id() == *text) {
                keys.push(known.clone());
                continue;
            }
            let signer = match plan::key_reference(self.options.0, text)? {
                KeyReference::File(path) if !path.try_exists()? => new.make(path, passphrase.as_ref())?,
                KeyReference::File(path) if let Some(key) = public_key(&path)? => {
                    keys.push(key);
                    continue;
                }
                reference => open(reference, passphrase).await?,
            };
            keys.push(signer.public().clone());
            signers.push(signer);
        }
        Ok(Members { keys, signers })
    }
}

/// Roles that are refused for what was typed.
pub(super) fn unfit_roles(error: TufError) -> Failure {
    match error {
        TufError::Threshold(_) | TufError::OnlineKey => Failure::configuration(error),
        error => error.into(),
    }
}

/// For a new key.
fn typed_anew(path: &Path) -> Result<Passphrase, Failure> {
    let typed = match Terminal::find() {
        Some(terminal) => terminal.new_passphrase(&path.display().to_string())?,
        None => None,
    };
    typed.ok_or_else(|| Failure::configuration(Unprotected(path.to_owned())))
}

async fn open(reference: KeyReference, passphrase: Option<PassphraseSource>) -> Result<Signer, Failure> {
    let settings = KeySettings {
        reference,
        passphrase,
    };
    Ok(Signer::new(unlock::open(&settings, "tuf").await?)?)
}

/// Nothing if the file does not hold a public key.
fn public_key(path: &Path) -> Result<Option<PublicKey>, Failure> {
    let text = folder::read(path)?;
    let block = pem::parse(text).ok().filter(|block| block.tag() == "PUBLIC KEY");
    let key = block.map(|block| PublicKey::from_spki_der(block.contents()));
    Ok(key.transpose()?)
}

/// One for each of so many keys.
fn passphrases(
    options: (&'static str, &'static str),
    count: usize,
    typed: &[String],
) -> Result<Vec<Option<PassphraseSource>>, Failure> {
    let mut sources = Vec::new();
    for text in typed {
        sources.push(secret::source(options.1, Some(text))?);
    }
    match sources.as_slice() {
        [] => Ok(vec![None; count]),
        [one] => Ok(vec![one.clone(); count]),
        each if each.len() == count => Ok(sources),
        _ => Err(Failure::configuration(Passphrases(options.0, options.1))),
    }
}
