//! The files that tell other people's clients about this instance: `trusted_root.json` for verifiers,
//! `signing_config.json` for signers, `trust_config.json` with both (`sigstore_trustroot.proto` of
//! sigstore/protobuf-specs, in proto3 JSON), and the same certificates and keys as PEM.
//!
//! ```text
//! statement      what the operator says: the public URL, other CAs, until when something is believed
//! known_log      a log, and when its SCTs can be from
//!   material     what is true at one moment, of a running instance or of a configuration
//!     trusted_root, signing_config, trust_config    the files
//!       files    all of them, for `mayfly trust export`
//! ```
//!
//! Own structs rather than the generated ones: of hundreds of message types these files need a dozen, and a
//! field that is empty must be absent here, not null (sigstore-js takes a present selector as a present service).

mod files;
mod known_log;
mod material;
mod public_url;
mod signing_config;
mod statement;
mod trust_config;
mod trusted_root;
pub mod tuf;

use serde::Serialize;

use crate::clock::Timestamp;

pub use self::{
    files::{TrustFile, is_log_key_file},
    known_log::OwnLog,
    material::{Logs, TrustMaterial},
    public_url::{PublicUrl, PublicUrlError},
    signing_config::SigningConfig,
    statement::{TrustStatement, TrustedAuthority, TrustedTimestamps},
    trust_config::TrustConfig,
    trusted_root::TrustedRoot,
};

/// Why a trust file cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A time beyond RFC 3339.
    #[error("a start or an end lies beyond the year 9999")]
    Time,
    /// A signing config consists of URLs.
    #[error("it is not known where clients reach this CA: write `url: https://...` into mayfly.yaml")]
    NoUrl,
}

/// From when to when something counts, as RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize)]
struct ValidFor {
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

impl ValidFor {
    /// From `start` to `end`, both included, or without an end.
    fn new(start: Timestamp, end: Option<Timestamp>) -> Result<Self, TrustError> {
        Ok(Self {
            start: written(start)?,
            end: end.map(written).transpose()?,
        })
    }
}

/// Whole seconds.
fn written(time: Timestamp) -> Result<String, TrustError> {
    let time = der::DateTime::from_unix_duration(std::time::Duration::from_secs(time.unix_seconds()));
    time.map(|time| time.to_string()).map_err(|_| TrustError::Time)
}

/// Indented, because people read these files and compare them.
fn to_json(file: &impl Serialize) -> String {
    // Strings, numbers and lists only: there is nothing that JSON could refuse.
    let mut text = serde_json::to_string_pretty(file).unwrap_or_default();
    text.push('\n');
    text
}
