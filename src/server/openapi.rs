//! The OpenAPI document, made from the handlers and their types.

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::{api, health, route, timestamp, trust};

/// The interface over HTTP.
#[derive(OpenApi)]
#[openapi(
    info(title = "Mayfly", description = "A keyless code-signing certificate authority, compatible with Fulcio."),
    paths(
        api::signing_cert,
        api::trust_bundle,
        api::configuration,
        api::legacy_signing_cert,
        api::legacy_root_cert,
        trust::trusted_root,
        trust::signing_config,
        trust::trust_config,
        timestamp::timestamp,
        timestamp::chain,
        health::index,
        health::healthz,
        health::readyz,
        health::readyz_part,
        document,
    ),
    modifiers(&Token)
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// This document.
#[utoipa::path(get, path = route::OPENAPI, responses((status = 200, description = "OpenAPI 3.1")))]
#[expect(
    dead_code,
    reason = "carries the description only; the handler closes over the finished bytes"
)]
fn document() {}

/// Serves the document, made once.
///
/// # Errors
/// A schema that JSON cannot hold.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Result<Router<S>, serde_json::Error> {
    let json = Bytes::from(Document::openapi().to_json()?);
    let serve = move || std::future::ready(([(CONTENT_TYPE, "application/json")], json.clone()));
    Ok(Router::new().route(route::OPENAPI, get(serve)))
}
