//! What other logs are sent: the precertificate with its chain, encoded once for all of them.

use std::time::Duration;

use axum::body::Bytes;
use base64::{Engine, engine::general_purpose::STANDARD};
use ct_log::Entry;
use serde::Serialize;

use crate::{clock::Timestamp, issuer::Precertificate};

/// One precertificate on its way to logs outside this process.
#[derive(Debug)]
pub(crate) struct Submission {
    entry: Entry,
    body: Bytes,
    serial: String,
    not_after: Duration,
    made: Timestamp,
}

/// The input of `add-pre-chain` (RFC 6962 section 4.2).
#[derive(Serialize)]
struct AddPreChain<'a> {
    chain: Vec<&'a str>,
}

impl Submission {
    /// `issuers` are the certificates above the leaf, the root last, each DER in base64. `made` is a moment at which the
    /// precertificate was there already, and no log had it.
    pub(super) fn new(
        precertificate: &Precertificate,
        issuers: &[String],
        made: Timestamp,
    ) -> Result<Self, serde_json::Error> {
        let leaf = STANDARD.encode(precertificate.der());
        let chain = std::iter::once(&leaf).chain(issuers).map(String::as_str);
        let body = serde_json::to_vec(&AddPreChain {
            chain: chain.collect(),
        })?;
        let draft = precertificate.draft();
        Ok(Self {
            entry: Entry::Precertificate {
                issuer_key_hash: precertificate.issuer_key_hash(),
                tbs: precertificate.bare_tbs().to_vec(),
                precertificate: precertificate.der().to_vec(),
            },
            body: body.into(),
            serial: hex::encode(draft.serial().as_bytes()),
            not_after: draft.validity().not_after.to_unix_duration(),
            made,
        })
    }

    /// What an SCT must be for.
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// JSON.
    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// The serial number, hexadecimal, as in the audit record.
    pub(crate) fn serial(&self) -> &str {
        &self.serial
    }

    /// When the certificate ends, since the Unix epoch.
    pub(super) fn not_after(&self) -> Duration {
        self.not_after
    }

    /// No SCT for it can be older.
    pub(super) fn made(&self) -> Timestamp {
        self.made
    }
}
