//! The timestamp authority's paths, as sigstore's timestamp authority has them.
//!
//! Refusals have its status codes. Callers who ask in DER get RFC 3161's TimeStampResp in the body of a refusal as well.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};

use super::{answer::ErrorBody, api::PEM_CHAIN, error::ApiError, gate::Gate, route, wire};
use crate::timestamp::{LARGEST_QUERY, Query, QueryError, TimestampAuthority, TimestampError, refusal};

/// RFC 3161 3.4.
const QUERY: &str = "application/timestamp-query";
/// RFC 3161 3.4.
pub(super) const REPLY: &str = "application/timestamp-reply";

/// A timestamp authority, as it is served.
#[derive(Clone)]
pub struct Timestamps {
    /// Who says the time.
    pub authority: Arc<TimestampAuthority>,
    /// With which status.
    pub granted: GrantedStatus,
}

/// The status of an answer with a timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantedStatus {
    /// 200, as of sigstore's timestamp authority since its version 2.0. OpenSSL's HTTP client takes no
    /// other.
    #[default]
    Ok,
    /// 201, as before. The client of those versions takes no other.
    Created,
}

impl From<TimestampAuthority> for Timestamps {
    /// With 200.
    fn from(authority: TimestampAuthority) -> Self {
        Self {
            authority: Arc::new(authority),
            granted: GrantedStatus::default(),
        }
    }
}

/// How the caller asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Der,
    Json,
}

pub(super) fn routes() -> Router<Arc<Gate>> {
    Router::new()
        .route(route::TIMESTAMP, post(timestamp))
        .route(route::TIMESTAMP_CHAIN, get(chain))
}

/// Signs the time for one digest.
///
/// DER of RFC 3161 (`application/timestamp-query`), or `application/json` with `artifactHash` (Base64), `hashAlgorithm` (`sha256`,
/// `sha384`, `sha512`) and optionally `nonce`, `certificates`, `tsaPolicyOID`. A refusal of DER carries a TimeStampResp, one of
/// JSON the usual error.
#[utoipa::path(
    post,
    path = route::TIMESTAMP,
    request_body(content = Vec<u8>, content_type = "application/timestamp-query"),
    responses(
        (status = 200, description = "TimeStampResp (RFC 3161); 201 if this instance is configured so", body = Vec<u8>, content_type = "application/timestamp-reply"),
        (status = 404, description = "This instance has no timestamp authority", body = ErrorBody),
        (status = "4XX", description = "What the caller must fix", body = ErrorBody),
        (status = "5XX", description = "Worth trying again; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn timestamp(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<impl IntoResponse, ApiError> {
    let timestamps = gate.timestamps().ok_or_else(ApiError::not_found)?;
    let began = Instant::now();
    let outcome = stamp(&gate, &timestamps.authority, request).await;
    let label = outcome.as_ref().map_or_else(ApiError::reason, |_| "granted");
    gate.metrics().timestamped(label, began.elapsed());
    let status = match timestamps.granted {
        GrantedStatus::Ok => StatusCode::OK,
        GrantedStatus::Created => StatusCode::CREATED,
    };
    outcome.map(|reply| (status, [(CONTENT_TYPE, REPLY)], reply))
}

/// The timestamp authority's certificates as PEM: its own first, the root last.
#[utoipa::path(
    get,
    path = route::TIMESTAMP_CHAIN,
    responses(
        (status = 200, body = String, content_type = "application/pem-certificate-chain"),
        (status = 404, description = "This instance has no timestamp authority", body = ErrorBody),
    )
)]
pub(super) async fn chain(State(gate): State<Arc<Gate>>) -> Result<impl IntoResponse, ApiError> {
    let timestamps = gate.timestamps().ok_or_else(ApiError::not_found)?;
    Ok((PEM_CHAIN, timestamps.authority.signer().chain().to_pem()))
}

async fn stamp(gate: &Gate, authority: &TimestampAuthority, request: Request) -> Result<Vec<u8>, ApiError> {
    let form = Form::of(request.headers())?;
    let body = gate.read_timestamp_query(request, LARGEST_QUERY).await?;
    let _place = gate.admit_timestamp()?;
    let answer = match form.read(body.bytes()) {
        Ok(query) => authority.stamp(&query).await,
        Err(error) => Err(error.into()),
    };
    answer.map_err(|error| form.refuse(error))
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        wire::check_encoding(headers)?;
        match wire::media_type(headers).unwrap_or_default() {
            kind if kind.eq_ignore_ascii_case(QUERY) => Ok(Self::Der),
            kind if kind.eq_ignore_ascii_case("application/json") => Ok(Self::Json),
            _ => Err(ApiError::timestamp_content_type()),
        }
    }

    fn read(self, body: &[u8]) -> Result<Query, QueryError> {
        match self {
            Self::Der => Query::from_der(body),
            Self::Json => Query::from_json(body),
        }
    }

    fn refuse(self, error: TimestampError) -> ApiError {
        let failure = error.failure();
        let refused = ApiError::from(error);
        match self {
            Self::Json => refused,
            Self::Der => match refusal(failure, refused.message()) {
                Ok(reply) => refused.with_body(REPLY, reply),
                Err(_) => refused,
            },
        }
    }
}
