//! Entries in the encodings of RFC 6962: `get-entries` and `get-entry-and-proof` (sections 4.6, 4.8).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::error::HttpError;
use super::proofs::encoded;
use super::query::{ParameterError, Parameters};
use super::room::Client;
use super::{NO_STORE, Service};
use crate::leaf::EntryTooLarge;
use crate::proof::Plan;
use crate::wire::put_bytes24;
use crate::{Entry, Fingerprint, LeafIndex, SequencedEntry, StorageError};

/// Bytes of leaves and chains after which an answer ends, so that one request takes a bounded share of memory. A client asks
/// for the rest.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Counted for an answer before it is made.
const TYPICAL_ANSWER: usize = 512 * 1024;

#[derive(Serialize)]
struct EntriesResponse {
    entries: Vec<EncodedEntry>,
}

#[derive(Serialize)]
struct EncodedEntry {
    leaf_input: String,
    extra_data: String,
}

#[derive(Serialize)]
struct EntryAndProofResponse {
    #[serde(flatten)]
    entry: EncodedEntry,
    audit_path: Vec<String>,
}

/// As many of the entries from `start` to `end` as are in the same data tile: a client that asks for more finds itself at
/// the beginning of the next.
pub(super) async fn get_entries(
    client: Client,
    State(service): State<Service>,
    uri: Uri,
) -> Result<Response, HttpError> {
    let parameters = Parameters::of(&uri)?;
    let (start, end) = (parameters.number("start")?, parameters.number("end")?);
    let size = service.log.published_size();
    if start > end {
        let (smaller, greater) = ("start", "end");
        return Err(ParameterError::Inverted { smaller, greater }.into());
    }
    let name = "start";
    let beyond = || ParameterError::Beyond {
        name,
        value: start,
        size,
    };
    let first = LeafIndex::new(start)
        .filter(|_| start < size)
        .ok_or_else(beyond)?;
    let room = client.reserve(TYPICAL_ANSWER).await?;
    let _making = service.making.acquire().await.map_err(|_| HttpError::Stopping)?;
    let read = service.log.read_entries(first, end).await?;
    let mut encoder = Encoder::new(&service);
    let (mut entries, mut bytes) = (Vec::new(), 0usize);
    for entry in read {
        let encoded = encoder.encode(&entry).await?;
        bytes = bytes.saturating_add(encoded.leaf_input.len() + encoded.extra_data.len());
        if bytes > MAX_ANSWER && !entries.is_empty() {
            break;
        }
        entries.push(encoded);
    }
    room.hold((NO_STORE, Json(EntriesResponse { entries })))
}

pub(super) async fn get_entry_and_proof(
    State(service): State<Service>,
    uri: Uri,
) -> Result<impl IntoResponse, HttpError> {
    let parameters = Parameters::of(&uri)?;
    let index = parameters.number("leaf_index")?;
    let size = parameters.tree_size(service.log.published_size())?;
    let outside = || ParameterError::OutsideTree { index, size };
    let leaf = LeafIndex::new(index).ok_or_else(outside)?;
    let plan = Plan::inclusion(leaf, size).ok_or_else(outside)?;
    let proof = service.log.prove(&plan).await?.ok_or(HttpError::NotFound)?;
    let read = service.log.read_entries(leaf, index).await?;
    let entry = read.first().ok_or(HttpError::NotFound)?;
    let response = EntryAndProofResponse {
        entry: Encoder::new(&service).encode(entry).await?,
        audit_path: encoded(&proof),
    };
    Ok((NO_STORE, Json(response)))
}

/// Encodes entries, reading each issuer once.
struct Encoder<'a> {
    service: &'a Service,
    issuers: BTreeMap<Fingerprint, Vec<u8>>,
}

impl Encoder<'_> {
    fn new(service: &Service) -> Encoder<'_> {
        Encoder {
            service,
            issuers: BTreeMap::new(),
        }
    }

    async fn encode(&mut self, entry: &SequencedEntry) -> Result<EncodedEntry, HttpError> {
        let mut chain = Vec::new();
        for fingerprint in entry.issuers() {
            let issuer = self.issuer(*fingerprint).await?;
            put_bytes24(&mut chain, issuer).map_err(|_| unencodable())?;
        }
        let leaf = entry.merkle_tree_leaf().map_err(|EntryTooLarge| unencodable())?;
        let extra = extra_data(entry.entry(), &chain).ok_or_else(unencodable)?;
        Ok(EncodedEntry {
            leaf_input: STANDARD.encode(leaf),
            extra_data: STANDARD.encode(extra),
        })
    }

    async fn issuer(&mut self, fingerprint: Fingerprint) -> Result<&[u8], HttpError> {
        match self.issuers.entry(fingerprint) {
            Slot::Occupied(known) => Ok(known.into_mut()),
            Slot::Vacant(slot) => {
                let read = self.service.log.read_issuer(fingerprint).await?;
                Ok(slot.insert(read.ok_or_else(missing_issuer)?))
            }
        }
    }
}

/// `ASN.1Cert certificate_chain<0..2^24-1>`, for a precertificate with the precertificate before it (RFC 6962 section 4.6).
fn extra_data(entry: &Entry, chain: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if let Entry::Precertificate { precertificate, .. } = entry {
        put_bytes24(&mut out, precertificate).ok()?;
    }
    put_bytes24(&mut out, chain).ok()?;
    Some(out)
}

fn missing_issuer() -> StorageError {
    StorageError::damaged("read an issuer", "an issuer of an entry is missing")
}

fn unencodable() -> HttpError {
    StorageError::damaged("read an entry", "an entry does not fit its encoding").into()
}
