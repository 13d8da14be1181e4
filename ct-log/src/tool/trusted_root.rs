//! The certificate logs of a `trusted_root.json`, the file that tells Sigstore clients whom to trust.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::failure::Failure;
use super::place::AnySource;
use crate::check::Source as _;
use crate::{Checkpoint, LogPublicKey, Origin};

/// `TrustedRoot` of sigstore's protocol buffers, as far as it is about certificate logs.
#[derive(Deserialize)]
struct TrustedRoot {
    #[serde(default)]
    ctlogs: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    #[serde(default)]
    base_url: String,
    public_key: RawKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawKey {
    raw_bytes: String,
}

/// The logs in such a file whose keys sign checkpoints: ECDSA P-256.
pub(super) struct TrustedLogs {
    file: PathBuf,
    logs: Vec<TrustedLog>,
}

struct TrustedLog {
    url: String,
    key: LogPublicKey,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
enum TrustedRootError {
    #[error("{} cannot be read", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("{} is not a trusted root: give the trusted_root.json that clients have", file.display())]
    Json {
        file: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} names no certificate log with an ECDSA P-256 key", file.display())]
    NoLog { file: PathBuf },
    #[error("no log in {} signed the checkpoint of {origin}", file.display())]
    OtherKey { file: PathBuf, origin: String },
}

impl TrustedLogs {
    pub(super) fn read(file: &Path) -> Result<TrustedLogs, Failure> {
        let file = file.to_owned();
        let json = match fs::read(&file) {
            Ok(json) => json,
            Err(source) => return Err(TrustedRootError::Read { file, source }.into()),
        };
        let root: TrustedRoot = match serde_json::from_slice(&json) {
            Ok(root) => root,
            Err(source) => return Err(TrustedRootError::Json { file, source }.into()),
        };
        let logs: Vec<_> = root.ctlogs.into_iter().filter_map(TrustedLog::of).collect();
        match logs.is_empty() {
            true => Err(TrustedRootError::NoLog { file }.into()),
            false => Ok(TrustedLogs { file, logs }),
        }
    }

    /// The key of the log at that place. A log of that URL must have the key that the file names
    /// for the URL. Of several that come into question, it is the one that signed the checkpoint.
    pub(super) async fn key_of(&self, place: &str, source: &AnySource) -> Result<LogPublicKey, Failure> {
        let at_place = |log: &&TrustedLog| log.url == without_slash(place);
        let mut candidates: Vec<_> = self.logs.iter().filter(at_place).collect();
        if candidates.is_empty() {
            candidates = self.logs.iter().collect();
        }
        if let [only] = candidates.as_slice() {
            return Ok(only.key.clone());
        }
        let note = source.checkpoint().await?;
        let name = note.lines().next().unwrap_or_default();
        let origin = Origin::new(name)?;
        let signed = |log: &&&TrustedLog| Checkpoint::verify(&note, &origin, &log.key).is_ok();
        match candidates.iter().find(signed) {
            Some(log) => Ok(log.key.clone()),
            None => Err(Failure::unsound(TrustedRootError::OtherKey {
                file: self.file.clone(),
                origin: name.to_owned(),
            })),
        }
    }
}

impl TrustedLog {
    /// `None` if it has a key of another kind, which signs SCTs but no checkpoints.
    fn of(instance: Instance) -> Option<TrustedLog> {
        let spki = STANDARD.decode(instance.public_key.raw_bytes).ok()?;
        Some(TrustedLog {
            url: without_slash(&instance.base_url).to_owned(),
            key: LogPublicKey::from_spki_der(&spki).ok()?,
        })
    }
}

fn without_slash(url: &str) -> &str {
    url.trim_end_matches('/')
}
