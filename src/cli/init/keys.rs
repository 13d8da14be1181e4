//! Keys that are made now, and keys that are there already.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mayfly::{
    issuer::ceremony::{self, CeremonyError, KeyKind},
    key::{KeySettings, SigningKey, SoftwareKey, file as key_file, passphrase::Passphrase},
    telemetry::KeyMetrics,
};
use tokio::{task::spawn_blocking, time};

use super::plan::{RootKey, ServerKey};
use crate::cli::failure::Failure;

/// How often somebody who waits is shown that something goes on.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

/// The root's key; a new one is written to `path`.
pub(super) async fn root(
    key: &RootKey,
    kind: KeyKind,
    path: PathBuf,
) -> Result<Arc<dyn SigningKey>, Failure> {
    match key {
        RootKey::Existing(settings) => open(settings, "root").await,
        RootKey::New(passphrase) => new(kind, path, passphrase.clone(), "the root's key").await,
    }
}

/// The intermediate's key; a new one is written to `path`.
pub(in crate::cli) async fn intermediate(
    key: &ServerKey,
    kind: KeyKind,
    path: PathBuf,
) -> Result<Arc<dyn SigningKey>, Failure> {
    server(key, kind, path, ("ca", "the intermediate's key")).await
}

/// The timestamp authority's key; a new one is written to `path`.
pub(super) async fn timestamps(
    key: &ServerKey,
    kind: KeyKind,
    path: PathBuf,
) -> Result<Arc<dyn SigningKey>, Failure> {
    server(key, kind, path, ("timestamp", "the timestamp authority's key")).await
}

async fn server(
    key: &ServerKey,
    kind: KeyKind,
    path: PathBuf,
    (purpose, what): (&str, &str),
) -> Result<Arc<dyn SigningKey>, Failure> {
    match key {
        ServerKey::Existing(settings) => open(settings, purpose).await,
        ServerKey::New(secret) => {
            let passphrase = secret.as_ref().map(|secret| secret.passphrase.clone());
            new(kind, path, passphrase, what).await
        }
    }
}

async fn open(settings: &KeySettings, purpose: &str) -> Result<Arc<dyn SigningKey>, Failure> {
    Ok(settings.open(purpose, &KeyMetrics::new()?).await?)
}

async fn new(
    kind: KeyKind,
    path: PathBuf,
    passphrase: Option<Passphrase>,
    what: &str,
) -> Result<Arc<dyn SigningKey>, Failure> {
    let progress = Progress::begin(kind, what)?;
    let mut making = spawn_blocking(move || make(kind, &path, passphrase.as_ref()));
    let mut signs = time::interval(SIGN_OF_LIFE);
    let made = loop {
        tokio::select! {
            made = &mut making => break made,
            _ = signs.tick() => progress.go_on()?,
        }
    };
    progress.end()?;
    Ok(Arc::new(made??))
}

pub(in crate::cli) fn make(
    kind: KeyKind,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<SoftwareKey, CeremonyError> {
    let pkcs8 = ceremony::generate_key(kind)?;
    key_file::write_new(path, &pkcs8, passphrase)?;
    Ok(SoftwareKey::from_pkcs8_der(&pkcs8)?)
}

/// Dots on a terminal, for a kind of key that takes a while.
struct Progress {
    shown: bool,
}

impl Progress {
    fn begin(kind: KeyKind, what: &str) -> io::Result<Self> {
        let shown = kind == KeyKind::Rsa4096 && io::stderr().is_terminal();
        if shown {
            write!(
                io::stderr(),
                "Making {what}: RSA-4096 takes seconds, at times half a minute "
            )?;
        }
        Ok(Self { shown })
    }

    fn go_on(&self) -> io::Result<()> {
        self.write(".")
    }

    fn end(self) -> io::Result<()> {
        self.write("\n")
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match self.shown {
            true => io::stderr().write_all(text.as_bytes()),
            false => Ok(()),
        }
    }
}
