//! The authorization endpoint (RFC 6749 section 4.1.1): a form that asks for an email address.

use std::sync::Arc;

use axum::{
    extract::{
        Form, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use url::Url;

use super::{
    CLIENT_ID,
    oauth_error::OAuthError,
    page::{Escaped, FormTarget, page, refusal},
    pending_codes::CodeGrant,
    pkce::Challenge,
    provider::{MAX_PARAMETER_BYTES, Provider},
    redirect_uri::RedirectUri,
    subject::EmailAddress,
};

/// The parameters that count; others are ignored (RFC 6749 section 3.1), and one given twice is refused.
#[derive(Deserialize)]
pub(super) struct AuthorizationRequest {
    client_id: Option<String>,
    redirect_uri: Option<String>,
    response_type: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    /// What the person typed; only in the form.
    email: Option<String>,
}

/// A request from a known client to a place that is its own.
struct Recipient {
    uri: RedirectUri,
    given: String,
    state: Option<String>,
}

pub(super) async fn show(query: Result<Query<AuthorizationRequest>, QueryRejection>) -> Response {
    let Ok(Query(request)) = query else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "The link has a parameter twice or is not UTF-8.",
        );
    };
    let recipient = match request.recipient() {
        Ok(recipient) => recipient,
        Err(reason) => return refusal(StatusCode::BAD_REQUEST, reason),
    };
    match request.challenge() {
        Ok(_) => request.form(StatusCode::OK, ""),
        Err(error) => recipient.refuse(error),
    }
}

pub(super) async fn log_in(
    State(provider): State<Arc<Provider>>,
    form: Result<Form<AuthorizationRequest>, FormRejection>,
) -> Response {
    let Ok(Form(request)) = form else {
        return refusal(StatusCode::BAD_REQUEST, "The form could not be read.");
    };
    let recipient = match request.recipient() {
        Ok(recipient) => recipient,
        Err(reason) => return refusal(StatusCode::BAD_REQUEST, reason),
    };
    let challenge = match request.challenge() {
        Ok(challenge) => challenge,
        Err(error) => return recipient.refuse(error),
    };
    let email: EmailAddress = match request.email.as_deref().unwrap_or_default().trim().parse() {
        Ok(email) => email,
        Err(error) => return request.form(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let grant = CodeGrant {
        redirect_uri: recipient.given.clone(),
        challenge,
        nonce: request.nonce,
        email,
    };
    match provider.codes.issue(grant, provider.now()) {
        Some(code) => recipient.deliver(&code),
        None => recipient.refuse(OAuthError::TemporarilyUnavailable),
    }
}

impl AuthorizationRequest {
    /// Checked first: until the client and its redirect URI are known to be good, nothing is sent to that URI.
    fn recipient(&self) -> Result<Recipient, &'static str> {
        if self.client_id.as_deref() != Some(CLIENT_ID) {
            return Err("The only client is \"sigstore\".");
        }
        let given = self.redirect_uri.clone().unwrap_or_default();
        let uri = RedirectUri::parse(&given)
            .filter(|_| given.len() <= MAX_PARAMETER_BYTES)
            .ok_or("The redirect URI is not on this machine: use http://localhost or http://127.0.0.1, any port.")?;
        Ok(Recipient {
            uri,
            given,
            state: self.state.clone(),
        })
    }

    fn challenge(&self) -> Result<Challenge, OAuthError> {
        if self.response_type.as_deref() != Some("code") {
            return Err(OAuthError::UnsupportedResponseType);
        }
        let scope = self.scope.as_deref().unwrap_or_default();
        if !scope.split(' ').any(|scope| scope == "openid") {
            return Err(OAuthError::InvalidScope);
        }
        if self
            .nonce
            .as_ref()
            .is_some_and(|nonce| nonce.len() > MAX_PARAMETER_BYTES)
        {
            return Err(OAuthError::InvalidRequest("the nonce is too long"));
        }
        let method = self.code_challenge_method.as_deref();
        Challenge::parse(self.code_challenge.as_deref().unwrap_or_default(), method).ok_or(
            OAuthError::InvalidRequest(
                "PKCE is required: send code_challenge with code_challenge_method=S256",
            ),
        )
    }

    /// The login form; the request itself travels in hidden fields, so that nothing is kept for forms never sent.
    fn form(&self, status: StatusCode, complaint: &str) -> Response {
        let hidden: String = [
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", &self.response_type),
            ("scope", &self.scope),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| hidden_field(name, value)))
        .collect();
        let body = format!(
            "<p>Who do you want to be?</p><form method=\"post\">{hidden}\
             <label for=\"email\">Email address</label>\
             <input id=\"email\" name=\"email\" type=\"email\" required autofocus autocomplete=\"email\" \
             placeholder=\"you@example.com\" value=\"{email}\">\
             <p class=\"error\">{complaint}</p><button>Log in</button></form>",
            email = Escaped(self.email.as_deref().unwrap_or_default()),
            complaint = Escaped(complaint),
        );
        page(status, "Log in to sign", &body, FormTarget::Client)
    }
}

impl Recipient {
    fn deliver(&self, code: &str) -> Response {
        match &self.uri {
            RedirectUri::Loopback(url) => self.redirect(url, &[("code", code)]),
            RedirectUri::OutOfBand => {
                let body = format!(
                    "<p>Copy this code into the terminal:</p><p><code>{}</code></p>",
                    Escaped(code)
                );
                page(StatusCode::OK, "You are logged in", &body, FormTarget::Here)
            }
        }
    }

    fn refuse(&self, error: OAuthError) -> Response {
        match &self.uri {
            RedirectUri::Loopback(url) => self.redirect(
                url,
                &[
                    ("error", error.code()),
                    ("error_description", error.description()),
                ],
            ),
            RedirectUri::OutOfBand => refusal(StatusCode::BAD_REQUEST, error.description()),
        }
    }

    /// RFC 6749 section 4.1.2: the parameters are added to those that the URI has.
    fn redirect(&self, url: &Url, parameters: &[(&str, &str)]) -> Response {
        let mut url = url.clone();
        url.query_pairs_mut()
            .extend_pairs(parameters)
            .extend_pairs(self.state.as_ref().map(|state| ("state", state)));
        Redirect::to(url.as_str()).into_response()
    }
}

fn hidden_field(name: &str, value: &str) -> String {
    format!(
        "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
        Escaped(value)
    )
}
