//! Submission: `add-chain`, `add-pre-chain`, `get-roots` (RFC 6962 sections 4.1, 4.2, 4.7).

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::error::HttpError;
use super::{NO_STORE, Service};
use crate::chain::{AcceptedChain, Endpoint};
use crate::{Entry, PendingEntry, Phase, Sct, SubmitError, Submitter};

/// The version number of an RFC 6962 SCT (section 3.2).
const SCT_V1: u8 = 0;

/// Members that RFC 6962 does not know are ignored, as its section 4 wants it.
#[derive(Deserialize)]
struct AddChainRequest {
    chain: Vec<String>,
}

#[derive(Serialize)]
struct AddChainResponse {
    sct_version: u8,
    id: String,
    timestamp: u64,
    extensions: String,
    signature: String,
}

impl From<&Sct> for AddChainResponse {
    fn from(sct: &Sct) -> Self {
        Self {
            sct_version: SCT_V1,
            id: STANDARD.encode(sct.log_id().as_bytes()),
            timestamp: sct.timestamp().get(),
            extensions: STANDARD.encode(sct.extensions()),
            signature: STANDARD.encode(sct.digitally_signed()),
        }
    }
}

#[derive(Serialize)]
struct GetRootsResponse {
    certificates: Vec<String>,
}

pub(super) async fn add_chain(
    State(service): State<Service>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, HttpError> {
    service.submit(&body?, Endpoint::AddChain).await
}

pub(super) async fn add_pre_chain(
    State(service): State<Service>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, HttpError> {
    service.submit(&body?, Endpoint::AddPreChain).await
}

pub(super) async fn get_roots(State(service): State<Service>) -> impl IntoResponse {
    let policy = service.submissions.policy();
    let certificates = policy.roots().map(|root| STANDARD.encode(root)).collect();
    (NO_STORE, Json(GetRootsResponse { certificates }))
}

impl Service {
    async fn submit(&self, body: &[u8], endpoint: Endpoint) -> Result<impl IntoResponse + use<>, HttpError> {
        if self.log.phase() == Phase::ReadOnly {
            return Err(SubmitError::ReadOnly.into());
        }
        let permit = self.submissions.enter()?;
        let chain = parse_chain(body)?;
        let service = self.clone();
        // Signature checks and issuer files block. The permit goes along: a submitter that goes away does not end them.
        let accept = move || (service.accept(&chain, endpoint), permit);
        let (entry, _permit) = tokio::task::spawn_blocking(accept)
            .await
            .map_err(|_| HttpError::Stopping)?;
        let sct = self.log.submit(entry?, Submitter::External).await?;
        Ok((NO_STORE, Json(AddChainResponse::from(&sct))))
    }

    fn accept(&self, chain: &[Vec<u8>], endpoint: Endpoint) -> Result<PendingEntry, HttpError> {
        let policy = self.submissions.policy();
        let accepted = policy.accept_in(chain, endpoint, self.log.window())?;
        let issuers: Vec<&[u8]> = accepted.issuers().iter().map(Vec::as_slice).collect();
        let stored = self.log.store_issuers(&issuers)?;
        Ok(match AcceptedChain::into_entry(accepted) {
            Entry::Certificate { der } => PendingEntry::certificate(der, stored),
            Entry::Precertificate {
                issuer_key_hash,
                tbs,
                precertificate,
            } => PendingEntry::precertificate(tbs, precertificate, issuer_key_hash, stored),
        })
    }
}

fn parse_chain(body: &[u8]) -> Result<Vec<Vec<u8>>, HttpError> {
    // A derived `Deserialize` would also take the members as an array.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(HttpError::Json(serde_json::Error::custom("not an object")));
    }
    let request: AddChainRequest = serde_json::from_slice(body).map_err(HttpError::Json)?;
    let decode = |(position, certificate): (usize, &String)| {
        STANDARD
            .decode(certificate)
            .map_err(|source| HttpError::Base64 { position, source })
    };
    request.chain.iter().enumerate().map(decode).collect()
}
