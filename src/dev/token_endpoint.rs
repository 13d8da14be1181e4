//! The token endpoint (RFC 6749 section 4.1.3, RFC 8628 section 3.4).

use std::sync::Arc;

use axum::{
    Json,
    extract::{Form, State, rejection::FormRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

use super::{
    CLIENT_ID, claims::TOKEN_LIFETIME, device_grants::Poll, mint::LoginTokens, oauth_error::NO_STORE,
    oauth_error::OAuthError, provider::Provider,
};

pub(super) const AUTHORIZATION_CODE_GRANT: &str = "authorization_code";
pub(super) const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

const NOT_THE_GRANT: OAuthError = OAuthError::InvalidGrant(
    "the code is unknown, used, expired, or was not given to this redirect_uri and code_verifier: log in again",
);

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    device_code: Option<String>,
}

pub(super) async fn exchange(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Result<Response, OAuthError> {
    let Form(request) = form.map_err(|_| OAuthError::InvalidRequest("the form could not be read"))?;
    check_client(&headers, &request)?;
    let tokens = match request.grant_type.as_deref() {
        Some(AUTHORIZATION_CODE_GRANT) => redeem_code(&provider, &request)?,
        Some(DEVICE_CODE_GRANT) => poll_device(&provider, &request)?,
        Some(_) => return Err(OAuthError::UnsupportedGrantType),
        None => return Err(OAuthError::InvalidRequest("grant_type is missing")),
    };
    let answer = json!({
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME.as_secs(),
        "id_token": tokens.id_token,
        "scope": "openid email",
    });
    Ok((NO_STORE, Json(answer)).into_response())
}

fn redeem_code(provider: &Provider, request: &TokenRequest) -> Result<LoginTokens, OAuthError> {
    let code = request
        .code
        .as_deref()
        .ok_or(OAuthError::InvalidRequest("code is missing"))?;
    let now = provider.now();
    let grant = provider.codes.redeem(code, now).ok_or(NOT_THE_GRANT)?;
    let verifier = request.code_verifier.as_deref().unwrap_or_default();
    if request.redirect_uri.as_ref() != Some(&grant.redirect_uri) || !grant.challenge.is_met_by(verifier) {
        return Err(NOT_THE_GRANT);
    }
    let tokens = provider.minter.login(&grant.email, grant.nonce, now);
    tokens.map_err(|error| internal(&error))
}

fn poll_device(provider: &Provider, request: &TokenRequest) -> Result<LoginTokens, OAuthError> {
    let device_code = request
        .device_code
        .as_deref()
        .ok_or(OAuthError::InvalidRequest("device_code is missing"))?;
    let now = provider.now();
    match provider
        .devices
        .poll(device_code, request.code_verifier.as_deref(), now)
    {
        Poll::Pending => Err(OAuthError::AuthorizationPending),
        Poll::TooSoon => Err(OAuthError::SlowDown),
        Poll::Expired => Err(OAuthError::ExpiredToken),
        Poll::Unknown => Err(NOT_THE_GRANT),
        Poll::Approved(email) => {
            let tokens = provider.minter.login(&email, None, now);
            tokens.map_err(|error| internal(&error))
        }
    }
}

fn internal(error: &super::KeyError) -> OAuthError {
    tracing::error!(%error, "the development identity provider could not sign a token");
    OAuthError::ServerError
}

/// The public client names itself in the body or by HTTP Basic (sigstore-python does, with an empty password);
/// both must agree, and neither may come with a secret, for there is none.
fn check_client(headers: &HeaderMap, request: &TokenRequest) -> Result<(), OAuthError> {
    let basic = match headers.get(header::AUTHORIZATION) {
        Some(value) => Some(basic_client(value.as_bytes()).ok_or(OAuthError::InvalidClient)?),
        None => None,
    };
    let mut named = basic.iter().chain(&request.client_id).peekable();
    let secret = request.client_secret.as_deref().unwrap_or_default();
    if named.peek().is_none() || !named.all(|id| id == CLIENT_ID) || !secret.is_empty() {
        return Err(OAuthError::InvalidClient);
    }
    Ok(())
}

/// The user name of HTTP Basic credentials (RFC 7617) with an empty password. The client id has no character
/// that the form encoding of RFC 6749 section 2.3.1 would change, so none is undone.
fn basic_client(value: &[u8]) -> Option<String> {
    let (scheme, credentials) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    decoded.strip_suffix(':').map(str::to_owned)
}
