//! A log that is read over HTTP (C2SP static-ct-api), by somebody who does not trust it: every answer has a size limit and a
//! deadline, and nobody is sent to another host.

mod answer;
mod coding;
mod place;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Url};
use serde::Deserialize;

pub use coding::{Coding, CodingError};
pub use place::{OwnScheme, RemoteError, TlsTrust, same_host_only};

use crate::check::{Source, SourceError};
use crate::leaf::{Fingerprint, MAX_ENTRY_BYTES, SequencedEntry};
use crate::tile::{FULL_WIDTH, Tile, TileKind};
use crate::{LogPublicKey, issuers};

/// As [`crate::checkpoint`] reads notes: a hundred signatures of the largest known kind.
const MAX_CHECKPOINT_BYTES: usize = 512 * 1024;

const MAX_ISSUER_BYTES: usize = 128 * 1024;

const MAX_LOG_INFO_BYTES: usize = 64 * 1024;

const FULL: usize = 256;
const MAX_HASH_TILE_BYTES: usize = FULL * 32;
const MAX_DATA_TILE_BYTES: usize = FULL * MAX_ENTRY_BYTES;

/// A log behind its monitoring prefix. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteLog {
    client: Client,
    /// Ends with a slash.
    prefix: Url,
    /// The content codings that are asked for.
    codings: &'static str,
}

/// What `log.v3.json` says; the rest of it is for log lists.
#[derive(Deserialize)]
struct LogInfo {
    /// `SubjectPublicKeyInfo`, DER in base64.
    key: String,
}

impl RemoteLog {
    /// The log with that monitoring prefix: `https`, or `http` on this machine.
    ///
    /// # Errors
    /// The URL or the authorities cannot be used.
    pub fn new(url: &str, trust: TlsTrust) -> Result<RemoteLog, RemoteError> {
        RemoteLog::at(place::parse(url)?, trust)
    }

    fn at(prefix: Url, trust: TlsTrust) -> Result<RemoteLog, RemoteError> {
        Ok(RemoteLog {
            client: place::client(&prefix, trust)?,
            prefix,
            codings: "gzip",
        })
    }

    /// Asks for everything as it is: for a log on this machine, where compression costs more than it saves.
    #[must_use]
    pub fn uncompressed(self) -> RemoteLog {
        let codings = "identity";
        RemoteLog { codings, ..self }
    }

    /// The log at an address on which this very process listens, plain or, with `https`, with whatever certificate it shows
    /// itself: what counts is the signature of the log. `path` is that of the log's prefix.
    ///
    /// # Errors
    /// The path cannot be part of a URL.
    pub fn own_listener(
        scheme: OwnScheme,
        address: SocketAddr,
        path: &str,
    ) -> Result<RemoteLog, RemoteError> {
        let prefix = place::of_listener(scheme, address, path)?;
        let log = RemoteLog::at(prefix, TlsTrust::DangerousAnybody)?;
        Ok(log.uncompressed())
    }

    /// The monitoring prefix.
    pub fn url(&self) -> &str {
        self.prefix.as_str()
    }

    /// The key that the log itself claims, in `log.v3.json`. It is worth as much as the connection.
    ///
    /// # Errors
    /// It says nothing, or no key.
    pub async fn claimed_key(&self) -> Result<LogPublicKey, SourceError> {
        let json = self.log_info().await?;
        claimed_key(&json).ok_or_else(|| SourceError::Failed {
            what: LOG_INFO.to_owned(),
            reason: "it names no P-256 key".to_owned(),
        })
    }

    /// `log.v3.json` as it is.
    ///
    /// # Errors
    /// It cannot be had.
    pub async fn log_info(&self) -> Result<Vec<u8>, SourceError> {
        self.get(LOG_INFO, MAX_LOG_INFO_BYTES).await
    }

    async fn exact_tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        let limit = match tile.kind() {
            TileKind::Entries => MAX_DATA_TILE_BYTES,
            TileKind::Hashes { .. } => MAX_HASH_TILE_BYTES,
        };
        self.get(&tile.to_string(), limit).await
    }
}

const LOG_INFO: &str = "log.v3.json";

impl Source for RemoteLog {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        let note = self.get("checkpoint", MAX_CHECKPOINT_BYTES).await?;
        String::from_utf8(note).map_err(|_| SourceError::Failed {
            what: "checkpoint".to_owned(),
            reason: "it is not text".to_owned(),
        })
    }

    /// A log may drop a partial tile once the full one is there (C2SP tlog-tiles): then it is cut from that.
    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        match self.exact_tile(tile).await {
            Err(SourceError::Missing(path)) if !tile.is_full() => {
                let full = Tile::new(tile.kind(), tile.index(), FULL_WIDTH);
                let full = full.ok_or(SourceError::Missing(path.clone()))?;
                let bytes = self.exact_tile(full).await;
                let bytes = bytes.map_err(|error| match error {
                    SourceError::Missing(_) => SourceError::Missing(path.clone()),
                    failed @ SourceError::Failed { .. } => failed,
                })?;
                beginning(tile, &bytes).ok_or(SourceError::Missing(path))
            }
            read => read,
        }
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        self.get(&issuers::path(&fingerprint), MAX_ISSUER_BYTES).await
    }
}

/// The key in a `log.v3.json`.
pub(crate) fn claimed_key(json: &[u8]) -> Option<LogPublicKey> {
    let info: LogInfo = serde_json::from_slice(json).ok()?;
    LogPublicKey::from_spki_der(&STANDARD.decode(info.key).ok()?).ok()
}

/// A partial tile from the full one.
pub(crate) fn beginning(tile: Tile, full: &[u8]) -> Option<Vec<u8>> {
    let width = usize::from(tile.width());
    let length = match tile.kind() {
        TileKind::Hashes { .. } => width.checked_mul(32)?,
        TileKind::Entries => {
            let mut rest = full;
            for _ in 0..width {
                rest = SequencedEntry::decode(rest).ok()?.1;
            }
            full.len().checked_sub(rest.len())?
        }
    };
    full.get(..length).map(<[u8]>::to_vec)
}
