//! Where a log is read from, and whose it is said to be.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::key_file;
use super::trusted_root::TrustedLogs;
use crate::check::{Source, SourceError, StaticCopy, StoredLog};
use crate::output;
use crate::remote::{RemoteLog, TlsTrust};
use crate::{Fingerprint, LogPublicKey, OpenError, Origin, Tile};

/// What all commands that read a log have in common.
#[derive(Args, Debug)]
pub(super) struct PlaceArguments {
    /// The log's URL (its monitoring prefix), its directory, or that of a static copy
    #[arg(value_name = "URL|DIRECTORY")]
    place: String,

    /// The log's name [default: what its checkpoint says]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,

    /// Authorities for TLS beside those of the system, PEM
    #[arg(long, value_name = "FILE")]
    tls_roots: Option<PathBuf>,
}

/// Whose log it is, for commands that can take the log's own word for it.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(super) struct KeyArguments {
    /// The log's public key, PEM or DER [default: what the log says, which proves little]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The trusted_root.json that clients have, in place of the key
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
}

/// Whose log it is, for commands that must know.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct KnownKeyArguments {
    /// The log's public key, PEM or DER: the log's own word would hide that it was replaced
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The trusted_root.json that clients have, in place of the key
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
}

/// Where the key comes from.
pub(super) enum KeySource<'a> {
    File(&'a Path),
    TrustedRoot(&'a Path),
    /// The log itself.
    Claimed,
}

/// The same for a log whose key is known.
#[derive(Args, Debug)]
pub(super) struct FromArguments {
    /// Where the log is read from: its URL, a static copy, or another directory of it
    #[arg(long, value_name = "URL|DIRECTORY")]
    from: String,

    /// The log's name [default: what its checkpoint says]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,

    /// Authorities for TLS beside those of the system, PEM
    #[arg(long, value_name = "FILE")]
    tls_roots: Option<PathBuf>,
}

/// A log, opened for reading.
pub(super) struct Place {
    pub(super) source: AnySource,
    pub(super) origin: Origin,
    pub(super) key: LogPublicKey,
}

/// The three kinds of place.
pub(super) enum AnySource {
    Directory(Box<StoredLog>),
    Copy(StaticCopy),
    Remote(RemoteLog),
}

impl<'a> KeySource<'a> {
    fn of(key: Option<&'a PathBuf>, trusted_root: Option<&'a PathBuf>) -> KeySource<'a> {
        match (key, trusted_root) {
            (Some(key), _) => KeySource::File(key),
            (None, Some(trusted_root)) => KeySource::TrustedRoot(trusted_root),
            (None, None) => KeySource::Claimed,
        }
    }
}

impl KeyArguments {
    pub(super) fn source(&self) -> KeySource<'_> {
        KeySource::of(self.key.as_ref(), self.trusted_root.as_ref())
    }
}

impl KnownKeyArguments {
    pub(super) fn source(&self) -> KeySource<'_> {
        KeySource::of(self.key.as_ref(), self.trusted_root.as_ref())
    }
}

impl PlaceArguments {
    /// Opens it. Whoever gave no key is told what that means.
    pub(super) async fn open(&self, key: KeySource<'_>) -> Result<Place, Failure> {
        let open = || source(&self.place, self.tls_roots.as_deref());
        let (source, key) = match key {
            KeySource::File(file) => {
                let key = key_file::read_public(file)?;
                (open()?, key)
            }
            KeySource::TrustedRoot(file) => {
                let logs = TrustedLogs::read(file)?;
                let source = open()?;
                let key = logs.key_of(&self.place, &source).await?;
                (source, key)
            }
            KeySource::Claimed => {
                let source = open()?;
                output::say(format_args!(
                    "warning: without --key or --trusted-root the log's own word is taken for its key. Whoever \
                     replaced the log as a whole would not be noticed; get the key from elsewhere."
                ));
                let key = source.claimed_key().await?;
                (source, key)
            }
        };
        Place::new(source, key, self.origin.as_deref()).await
    }
}

impl FromArguments {
    /// Opens it: the log of that key.
    pub(super) async fn open(&self, key: &LogPublicKey) -> Result<Place, Failure> {
        let source = source(&self.from, self.tls_roots.as_deref())?;
        Place::new(source, key.clone(), self.origin.as_deref()).await
    }
}

impl Place {
    async fn new(source: AnySource, key: LogPublicKey, origin: Option<&str>) -> Result<Place, Failure> {
        let origin = match origin {
            Some(origin) => Origin::new(origin).map_err(Failure::usage)?,
            None => source.claimed_origin().await?,
        };
        Ok(Place { source, origin, key })
    }
}

fn source(place: &str, tls_roots: Option<&Path>) -> Result<AnySource, Failure> {
    if place.contains("://") {
        let trust = match tls_roots {
            Some(path) => TlsTrust::With(fs::read(path)?),
            None => TlsTrust::System,
        };
        let log = RemoteLog::new(place, trust).map_err(Failure::usage)?;
        return Ok(AnySource::Remote(log));
    }
    let directory = Path::new(place);
    if !directory.join("log.json").exists()
        && let Some(copy) = StaticCopy::find(directory)
    {
        return Ok(AnySource::Copy(copy));
    }
    let stored = StoredLog::read(directory).map_err(|error| match error {
        OpenError::Corrupt { .. } => Failure::unsound(error),
        error => error.into(),
    });
    Ok(AnySource::Directory(Box::new(stored?)))
}

impl AnySource {
    async fn claimed_key(&self) -> Result<LogPublicKey, SourceError> {
        match self {
            AnySource::Directory(log) => Ok(log.public_key().clone()),
            AnySource::Copy(copy) => copy.claimed_key(),
            AnySource::Remote(log) => log.claimed_key().await,
        }
    }

    /// The signature over the checkpoint covers this name by the id of the key.
    async fn claimed_origin(&self) -> Result<Origin, Failure> {
        if let AnySource::Directory(log) = self {
            return Ok(log.origin().clone());
        }
        let note = self.checkpoint().await?;
        Ok(Origin::new(note.lines().next().unwrap_or_default())?)
    }
}

impl Source for AnySource {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        match self {
            AnySource::Directory(log) => log.checkpoint().await,
            AnySource::Copy(copy) => copy.checkpoint().await,
            AnySource::Remote(log) => log.checkpoint().await,
        }
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        match self {
            AnySource::Directory(log) => log.tile(tile).await,
            AnySource::Copy(copy) => copy.tile(tile).await,
            AnySource::Remote(log) => log.tile(tile).await,
        }
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        match self {
            AnySource::Directory(log) => log.issuer(fingerprint).await,
            AnySource::Copy(copy) => copy.issuer(fingerprint).await,
            AnySource::Remote(log) => log.issuer(fingerprint).await,
        }
    }
}
