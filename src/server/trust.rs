//! What clients are to trust, as the files that they read: what is true at the moment of the request.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
    routing::get,
};

use super::{answer::ErrorBody, error::ApiError, gate::Gate, route};
use crate::trust::{SigningConfig, TrustConfig, TrustError, TrustMaterial, TrustedRoot};

/// A minute: whoever announces a CA or a shard waits longer than that before using it.
const CACHED: &str = "public, max-age=60";

pub(super) fn routes() -> Router<Arc<Gate>> {
    Router::new()
        .route(route::TRUSTED_ROOT, get(trusted_root))
        .route(route::SIGNING_CONFIG, get(signing_config))
        .route(route::TRUST_CONFIG, get(trust_config))
}

/// Sigstore's `TrustedRoot`: all CAs and logs, and since and until when each counts.
#[utoipa::path(
    get,
    path = route::TRUSTED_ROOT,
    responses(
        (status = 200, description = "What is true now", content_type = TrustedRoot::MEDIA_TYPE),
        (status = 304, description = "As in If-None-Match"),
    )
)]
pub(super) async fn trusted_root(
    State(gate): State<Arc<Gate>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = material(&gate).trusted_root()?.to_json();
    Ok(answer(TrustedRoot::MEDIA_TYPE, file, &headers))
}

/// Sigstore's `SigningConfig`: where to log in, and where to get a certificate.
#[utoipa::path(
    get,
    path = route::SIGNING_CONFIG,
    responses(
        (status = 200, description = "What is true now", content_type = SigningConfig::MEDIA_TYPE),
        (status = 304, description = "As in If-None-Match"),
        (status = 404, description = "The operator has not said where clients reach this CA", body = ErrorBody),
    )
)]
pub(super) async fn signing_config(
    State(gate): State<Arc<Gate>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = material(&gate).signing_config()?.to_json();
    Ok(answer(SigningConfig::MEDIA_TYPE, file, &headers))
}

/// Sigstore's `ClientTrustConfig`: both in one.
#[utoipa::path(
    get,
    path = route::TRUST_CONFIG,
    responses(
        (status = 200, description = "What is true now", content_type = TrustConfig::MEDIA_TYPE),
        (status = 304, description = "As in If-None-Match"),
        (status = 404, description = "The operator has not said where clients reach this CA", body = ErrorBody),
    )
)]
pub(super) async fn trust_config(
    State(gate): State<Arc<Gate>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = material(&gate).trust_config()?.to_json();
    Ok(answer(TrustConfig::MEDIA_TYPE, file, &headers))
}

fn material(gate: &Gate) -> TrustMaterial {
    TrustMaterial::of(gate.authority())
}

fn answer(media_type: &'static str, file: String, asked: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(digest(&SHA256, file.as_bytes())));
    let known = is_known(&tag, asked);
    let caching = [(ETAG, tag), (CACHE_CONTROL, CACHED.to_owned())];
    match known {
        true => (StatusCode::NOT_MODIFIED, caching).into_response(),
        false => (caching, [(CONTENT_TYPE, media_type)], file).into_response(),
    }
}

/// Whether `If-None-Match` has the tag, compared weakly (RFC 9110 section 13.1.2): proxies that compress make tags weak.
fn is_known(tag: &str, asked: &HeaderMap) -> bool {
    let lists = asked.get_all(IF_NONE_MATCH).into_iter();
    let mut tags = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    tags.any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

impl From<TrustError> for ApiError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::NoUrl => Self::no_public_url(),
            error @ TrustError::Time => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_client_has_already() {
        let asked = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(value));
            headers
        };
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_known("\"a\"", &asked(known)), "{known}");
        }
        for other in ["\"b\"", "a", "", "\"aa\""] {
            assert!(!is_known("\"a\"", &asked(other)), "{other}");
        }
        assert!(!is_known("\"a\"", &HeaderMap::new()));
    }
}
