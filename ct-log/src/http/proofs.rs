//! Tree heads and proofs as RFC 6962 has them: sections 4.3 to 4.5. All come from the published checkpoint and its tiles.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::error::HttpError;
use super::query::{ParameterError, Parameters, within};
use super::{NO_STORE, Service};
use crate::proof::Plan;
use crate::tree::Hash;

#[derive(Serialize)]
struct TreeHeadResponse {
    tree_size: u64,
    timestamp: u64,
    sha256_root_hash: String,
    tree_head_signature: String,
}

#[derive(Serialize)]
struct ConsistencyResponse {
    consistency: Vec<String>,
}

#[derive(Serialize)]
struct ProofResponse {
    leaf_index: u64,
    audit_path: Vec<String>,
}

/// The checkpoint in other words: its signature line holds the time and signature of the tree head.
pub(super) async fn get_sth(State(service): State<Service>) -> Result<impl IntoResponse, HttpError> {
    let head = service.log.tree_head()?;
    let response = TreeHeadResponse {
        tree_size: head.checkpoint().size(),
        timestamp: head.checkpoint().timestamp().get(),
        sha256_root_hash: STANDARD.encode(head.checkpoint().root().as_bytes()),
        tree_head_signature: STANDARD.encode(head.digitally_signed()),
    };
    Ok((NO_STORE, Json(response)))
}

pub(super) async fn get_sth_consistency(
    State(service): State<Service>,
    uri: Uri,
) -> Result<impl IntoResponse, HttpError> {
    let parameters = Parameters::of(&uri)?;
    let (first, second) = (parameters.number("first")?, parameters.number("second")?);
    let (smaller, greater) = ("first", "second");
    within(greater, second, service.log.published_size())?;
    let inverted = || ParameterError::Inverted { smaller, greater };
    let plan = Plan::consistency(first, second).ok_or_else(inverted)?;
    let proof = service.log.prove(&plan).await?.ok_or(HttpError::NotFound)?;
    let consistency = encoded(&proof);
    Ok((NO_STORE, Json(ConsistencyResponse { consistency })))
}

pub(super) async fn get_proof_by_hash(
    State(service): State<Service>,
    uri: Uri,
) -> Result<impl IntoResponse, HttpError> {
    let parameters = Parameters::of(&uri)?;
    let hash = parameters.hash("hash")?;
    let size = parameters.tree_size(service.log.published_size())?;
    let leaf = service.log.find_leaf(hash, size).await?;
    let leaf = leaf.ok_or(HttpError::UnknownLeaf)?;
    let plan = Plan::inclusion(leaf, size).ok_or(HttpError::UnknownLeaf)?;
    let proof = service.log.prove(&plan).await?.ok_or(HttpError::NotFound)?;
    let response = ProofResponse {
        leaf_index: leaf.get(),
        audit_path: encoded(&proof),
    };
    Ok((NO_STORE, Json(response)))
}

pub(super) fn encoded(proof: &[Hash]) -> Vec<String> {
    proof
        .iter()
        .map(|hash| STANDARD.encode(hash.as_bytes()))
        .collect()
}
