//! Errors in the form that OAuth clients read.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Answers that carry tokens, codes or their refusal are never cached (RFC 6749 section 5.1).
pub(super) const NO_STORE: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::PRAGMA, HeaderValue::from_static("no-cache")),
];

/// RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5; the text says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OAuthError {
    InvalidRequest(&'static str),
    InvalidClient,
    InvalidGrant(&'static str),
    InvalidScope,
    UnsupportedGrantType,
    UnsupportedResponseType,
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    TemporarilyUnavailable,
    ServerError,
}

impl OAuthError {
    /// The `error` parameter.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The `error_description` parameter.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(what) | Self::InvalidGrant(what) => what,
            Self::InvalidClient => "the only client is \"sigstore\", and it has no secret",
            Self::InvalidScope => "ask for the scope \"openid email\"",
            Self::UnsupportedGrantType => {
                "use authorization_code or urn:ietf:params:oauth:grant-type:device_code"
            }
            Self::UnsupportedResponseType => "use response_type=code",
            Self::AuthorizationPending => "the code has not been entered in a browser yet",
            Self::SlowDown => "wait five seconds longer between two polls",
            Self::ExpiredToken => "the device code has expired: start again",
            Self::TemporarilyUnavailable => "too many logins are pending: try again in a few minutes",
            Self::ServerError => "the token could not be made: see the log",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code(), "error_description": self.description() });
        let mut response = (self.status(), NO_STORE, Json(body)).into_response();
        if self == Self::InvalidClient {
            // RFC 6749 section 5.2: a client that tried Basic is told the scheme.
            let scheme = HeaderValue::from_static("Basic realm=\"mayfly dev\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
