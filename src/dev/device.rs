//! The device flow's endpoint and its page (RFC 8628 sections 3.1 to 3.3).

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        Form, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    CLIENT_ID,
    device_grants::{DEVICE_CODE_LIFETIME, POLL_INTERVAL},
    oauth_error::{NO_STORE, OAuthError},
    page::{Escaped, FormTarget, page, refusal},
    pkce::Challenge,
    provider::{DEVICE, Provider},
    subject::EmailAddress,
};

/// PKCE is optional here, but cosign sends it, so a challenge binds the polls to the device that sent it.
#[derive(Deserialize)]
pub(super) struct DeviceAuthorizationRequest {
    client_id: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct VerificationRequest {
    user_code: Option<String>,
    email: Option<String>,
}

pub(super) async fn authorize(
    State(provider): State<Arc<Provider>>,
    form: Result<Form<DeviceAuthorizationRequest>, FormRejection>,
) -> Result<Response, OAuthError> {
    let Form(request) = form.map_err(|_| OAuthError::InvalidRequest("the form could not be read"))?;
    if request.client_id.as_deref() != Some(CLIENT_ID) {
        return Err(OAuthError::InvalidClient);
    }
    let challenge = request.challenge()?;
    let codes = provider
        .devices
        .issue(challenge, provider.now())
        .ok_or(OAuthError::TemporarilyUnavailable)?;
    let page = format!("{}{DEVICE}", provider.minter.issuers().email());
    let answer = json!({
        "device_code": codes.device,
        "user_code": codes.user,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", codes.user),
        "expires_in": DEVICE_CODE_LIFETIME.as_secs(),
        "interval": POLL_INTERVAL.as_secs(),
    });
    Ok((NO_STORE, Json(answer)).into_response())
}

pub(super) async fn show(query: Result<Query<VerificationRequest>, QueryRejection>) -> Response {
    let Ok(Query(request)) = query else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "The link has a parameter twice or is not UTF-8.",
        );
    };
    request.form(StatusCode::OK, "")
}

pub(super) async fn approve(
    State(provider): State<Arc<Provider>>,
    form: Result<Form<VerificationRequest>, FormRejection>,
) -> Response {
    let Ok(Form(request)) = form else {
        return refusal(StatusCode::BAD_REQUEST, "The form could not be read.");
    };
    let email: EmailAddress = match request.email.as_deref().unwrap_or_default().trim().parse() {
        Ok(email) => email,
        Err(error) => return request.form(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let user_code = request.user_code.as_deref().unwrap_or_default();
    if !provider.devices.approve(user_code, &email, provider.now()) {
        let complaint = "No device waits for this code: compare it with the terminal, or start again there.";
        return request.form(StatusCode::BAD_REQUEST, complaint);
    }
    let body = "<p>The terminal goes on by itself. You can close this window.</p>";
    page(StatusCode::OK, "You are logged in", body, FormTarget::Here)
}

impl DeviceAuthorizationRequest {
    fn challenge(&self) -> Result<Option<Challenge>, OAuthError> {
        let Some(challenge) = &self.code_challenge else {
            return Ok(None);
        };
        Challenge::parse(challenge, self.code_challenge_method.as_deref())
            .map(Some)
            .ok_or(OAuthError::InvalidRequest(
                "code_challenge needs code_challenge_method=S256",
            ))
    }
}

impl VerificationRequest {
    /// The code stays visible even when the link has it: the person compares it with the terminal
    /// (RFC 8628 section 5.4).
    fn form(&self, status: StatusCode, complaint: &str) -> Response {
        let body = format!(
            "<p>Is this the code in your terminal?</p><form method=\"post\">\
             <label for=\"user_code\">Code</label>\
             <input id=\"user_code\" name=\"user_code\" required autocomplete=\"off\" value=\"{code}\">\
             <label for=\"email\">Email address</label>\
             <input id=\"email\" name=\"email\" type=\"email\" required autofocus autocomplete=\"email\" \
             placeholder=\"you@example.com\" value=\"{email}\">\
             <p class=\"error\">{complaint}</p><button>Log in the device</button></form>",
            code = Escaped(self.user_code.as_deref().unwrap_or_default()),
            email = Escaped(self.email.as_deref().unwrap_or_default()),
            complaint = Escaped(complaint),
        );
        page(status, "Log in a device", &body, FormTarget::Here)
    }
}
