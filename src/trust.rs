//! The files that tell other people's clients about this instance: `trusted_root.json` for verifiers,
//! `signing_config.json` for signers (`sigstore_trustroot.proto` of sigstore/protobuf-specs, in proto3 JSON).
//!
//! Own structs rather than the generated ones: of hundreds of message types these two files need a dozen, and a
//! field that is empty must be absent here, not null (sigstore-js takes a present selector as a present service).

mod signing_config;
mod trusted_root;

use serde::Serialize;

use crate::clock::Timestamp;

pub use signing_config::SigningConfig;
pub use trusted_root::{CtLog, TrustError, TrustedRoot};

/// From when to when something counts, as RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize)]
struct ValidFor {
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

impl ValidFor {
    /// `None` beyond the year 9999, which RFC 3339 cannot express.
    fn since(start: Timestamp) -> Option<Self> {
        Some(Self {
            start: written(start)?,
            end: None,
        })
    }

    fn between(start: Timestamp, end: Option<Timestamp>) -> Option<Self> {
        let end = match end {
            Some(end) => Some(written(end)?),
            None => None,
        };
        let start = written(start)?;
        Some(Self { start, end })
    }
}

/// Whole seconds.
fn written(time: Timestamp) -> Option<String> {
    let time = der::DateTime::from_unix_duration(std::time::Duration::from_secs(time.unix_seconds()));
    time.ok().map(|time| time.to_string())
}

/// Indented, because people read these files and compare them.
fn to_json(file: &impl Serialize) -> String {
    // Strings and lists only: there is nothing that JSON could refuse.
    let mut text = serde_json::to_string_pretty(file).unwrap_or_default();
    text.push('\n');
    text
}
