//! Discovery documents (OpenID Connect Discovery section 3, RFC 8414, RFC 8628 section 4) and keys.

use std::sync::Arc;

use axum::{Json, extract::State};
use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};

use super::{
    pkce,
    provider::{AUTHORIZATION, DEVICE_AUTHORIZATION, JWKS, Provider, TOKEN},
    token_endpoint::{AUTHORIZATION_CODE_GRANT, DEVICE_CODE_GRANT},
};

pub(super) async fn email(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let issuer = provider.minter.issuers().email();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}{AUTHORIZATION}"),
        "token_endpoint": format!("{issuer}{TOKEN}"),
        "device_authorization_endpoint": format!("{issuer}{DEVICE_AUTHORIZATION}"),
        "jwks_uri": format!("{issuer}{JWKS}"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [AUTHORIZATION_CODE_GRANT, DEVICE_CODE_GRANT],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "at_hash", "email", "email_verified"],
        "code_challenge_methods_supported": [pkce::METHOD],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
    }))
}

/// As GitHub's: no login, the tokens come from elsewhere.
pub(super) async fn github(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let issuer = provider.minter.issuers().github();
    Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{JWKS}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
    }))
}

pub(super) async fn jwks(State(provider): State<Arc<Provider>>) -> Json<JwkSet> {
    Json(provider.minter.key().jwks())
}
