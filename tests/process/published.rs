//! The log as everybody sees it, over HTTP; audited without a look into the server.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use ct_log::{
    Checkpoint, Fingerprint, LogPublicKey, Origin, SequencedEntry, Tile, TileKind,
    check::{Depth, Source, SourceError, check},
};
use serde_json::Value;
use tokio::time;

use crate::program::HANG;

/// Entries in a full tile (static-ct-api).
const TILE: u64 = 256;

pub(crate) struct Published {
    http: reqwest::Client,
    prefix: String,
    pub(crate) origin: Origin,
    pub(crate) key: LogPublicKey,
}

impl Published {
    /// The log whose directory is known, at the API's address.
    pub(crate) fn at(api: &str, directory: &Path) -> Self {
        let (origin, key) = identity(directory);
        let path = origin.as_str().split_once('/').unwrap().1.to_owned();
        Self {
            http: reqwest::Client::builder()
                .tls_certs_only([])
                .no_proxy()
                .build()
                .unwrap(),
            prefix: format!("{api}/{path}"),
            origin,
            key,
        }
    }

    /// Every entry that the checkpoint covers, after an audit of the whole log.
    pub(crate) async fn audited_entries(&self) -> Vec<SequencedEntry> {
        let report = check(self, (&self.origin, &self.key), Depth::Certificates).await;
        assert!(report.is_sound(), "{report}");
        let size = report.size().unwrap();
        let mut entries = Vec::new();
        for first in (0..size).step_by(usize::try_from(TILE).unwrap()) {
            let width = u16::try_from((size - first).min(TILE)).unwrap();
            let tile = Tile::new(TileKind::Entries, first / TILE, width).unwrap();
            entries.extend(SequencedEntry::decode_all(&self.tile(tile).await.unwrap()).unwrap());
        }
        entries
    }

    /// The same once `size` entries are there: a checkpoint may be a moment behind the SCTs.
    pub(crate) async fn audited_entries_of(&self, size: u64) -> Vec<SequencedEntry> {
        let published = async { while self.size().await < size {} };
        time::timeout(HANG, published).await.unwrap();
        self.audited_entries().await
    }

    async fn size(&self) -> u64 {
        let note = self.checkpoint().await.unwrap();
        let checkpoint = Checkpoint::verify(&note, &self.origin, &self.key);
        checkpoint.unwrap().size()
    }

    async fn read(&self, path: String) -> Result<Vec<u8>, SourceError> {
        let failed = |error: reqwest::Error| SourceError::Failed {
            what: path.clone(),
            reason: error.to_string(),
        };
        let request = self.http.get(format!("{}/{path}", self.prefix)).send().await;
        let response = request
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        Ok(response.bytes().await.map_err(failed)?.to_vec())
    }
}

impl Source for Published {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        Ok(String::from_utf8(self.read("checkpoint".to_owned()).await?).unwrap())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        self.read(tile.to_string()).await
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        self.read(format!("issuer/{fingerprint}")).await
    }
}

/// What is fixed at the log's birth.
fn identity(directory: &Path) -> (Origin, LogPublicKey) {
    let json: Value = serde_json::from_slice(&std::fs::read(directory.join("log.json")).unwrap()).unwrap();
    let spki = STANDARD.decode(json["public_key"].as_str().unwrap()).unwrap();
    (
        Origin::new(json["origin"].as_str().unwrap()).unwrap(),
        LogPublicKey::from_spki_der(&spki).unwrap(),
    )
}
