//! The JSON interface: Fulcio's v2, and its legacy v1.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, HeaderName},
    },
    response::IntoResponse,
    routing::{get, post},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::ErrorBody,
    error::ApiError,
    gate::{Gate, IssuerInfo},
    route,
    wire::{self, LegacySigningRequest, SigningRequest},
};
use crate::{issue::IssueRequest, issuer::CertificateChain};

/// RFC 8555 section 9.1.
pub(super) const PEM_CHAIN: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/pem-certificate-chain")];

/// Answer of `POST /api/v2/signingCert`. Clients decode it as a tagged union: never a second key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SigningCertificate {
    signed_certificate_embedded_sct: EmbeddedSct,
}

#[derive(Serialize, ToSchema)]
struct EmbeddedSct {
    chain: Chain,
}

/// PEM certificates, one per element.
#[derive(Serialize, ToSchema)]
struct Chain {
    /// Leaf (if there is one) first, root last.
    certificates: Vec<String>,
}

/// Answer of `GET /api/v2/trustBundle`.
#[derive(Serialize, ToSchema)]
pub(super) struct TrustBundle {
    chains: Vec<Chain>,
}

/// Answer of `GET /api/v2/configuration`.
#[derive(Serialize, ToSchema)]
pub(super) struct Configuration {
    issuers: Vec<IssuerInfo>,
}

pub(super) fn routes() -> Router<Arc<Gate>> {
    Router::new()
        .route(route::SIGNING_CERT, post(signing_cert))
        .route(route::TRUST_BUNDLE, get(trust_bundle))
        .route(route::CONFIGURATION, get(configuration))
        .route(route::LEGACY_SIGNING_CERT, post(legacy_signing_cert))
        .route(route::LEGACY_ROOT_CERT, get(legacy_root_cert))
}

/// Issues one certificate.
///
/// The token comes in the body or as `Authorization: Bearer`. Unknown fields are ignored, and so is
/// `Content-Type`.
#[utoipa::path(
    post,
    path = route::SIGNING_CERT,
    request_body = SigningRequest,
    security(("token" = []), ()),
    responses(
        (status = 200, description = "Leaf first, root last", body = SigningCertificate),
        (status = "4XX", description = "What the caller must fix", body = ErrorBody),
        (status = "5XX", description = "Worth trying again; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn signing_cert(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Json<SigningCertificate>, ApiError> {
    let client = request.extensions().get().copied();
    let request = read(&gate, request, wire::parse_v2).await?;
    let certificates = gate.issue(request.sent_by(client)).await?;
    Ok(Json(SigningCertificate {
        signed_certificate_embedded_sct: EmbeddedSct {
            chain: Chain { certificates },
        },
    }))
}

/// The certificates under which certificates of this authority verify.
#[utoipa::path(get, path = route::TRUST_BUNDLE, responses((status = 200, body = TrustBundle)))]
pub(super) async fn trust_bundle(State(gate): State<Arc<Gate>>) -> Json<TrustBundle> {
    let chains = gate.authority().trust_bundle();
    let chain = |chain: Arc<CertificateChain>| Chain {
        certificates: chain.pem().to_vec(),
    };
    Json(TrustBundle {
        chains: chains.into_iter().map(chain).collect(),
    })
}

/// The trusted issuers of tokens, and what each expects.
#[utoipa::path(get, path = route::CONFIGURATION, responses((status = 200, body = Configuration)))]
pub(super) async fn configuration(State(gate): State<Arc<Gate>>) -> Json<Configuration> {
    Json(Configuration {
        issuers: gate.issuers(),
    })
}

/// Issues one certificate; for clients that do not know v2 yet.
#[utoipa::path(
    post,
    path = route::LEGACY_SIGNING_CERT,
    request_body = LegacySigningRequest,
    security(("token" = [])),
    responses(
        (status = 201, description = "PEM, leaf first, root last", body = String, content_type = "application/pem-certificate-chain"),
        (status = "4XX", description = "What the caller must fix", body = ErrorBody),
        (status = "5XX", description = "Worth trying again; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn legacy_signing_cert(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<impl IntoResponse, ApiError> {
    let client = request.extensions().get().copied();
    let request = read(&gate, request, wire::parse_v1).await?;
    let certificates = gate.issue(request.sent_by(client)).await?;
    Ok((StatusCode::CREATED, PEM_CHAIN, certificates.concat()))
}

/// The chain of the CA that signs as PEM, leaf's issuer first, root last.
#[utoipa::path(
    get,
    path = route::LEGACY_ROOT_CERT,
    responses((status = 200, body = String, content_type = "application/pem-certificate-chain"))
)]
pub(super) async fn legacy_root_cert(State(gate): State<Arc<Gate>>) -> impl IntoResponse {
    let signing = gate.authority().signing();
    (PEM_CHAIN, signing.issuer().chain().pem().concat())
}

type Parse = fn(&HeaderMap, &[u8]) -> Result<IssueRequest, ApiError>;

async fn read(gate: &Gate, request: Request, parse: Parse) -> Result<IssueRequest, ApiError> {
    wire::check_encoding(request.headers())?;
    let (headers, body) = gate.read_json(request).await?;
    parse(&headers, body.bytes())
}
