//! The one place where an error becomes a status and a message for the client.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

use super::query::ParameterError;
use super::{DYNAMIC, MAX_BODY};
use crate::chain::ChainError;
use crate::checkpoint::CheckpointError;
use crate::{LookupError, StorageError, SubmitError};

/// When to come back if the log cannot say: about what a supervisor needs to restart it.
const RETRY_LATER: Duration = Duration::from_secs(30);

/// When to come back if too many submissions are in progress.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// Why a request got no answer. `Display` is what the client reads.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    #[error("the body is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the body could not be read to its end")]
    Body,
    #[error("the body is not a JSON object with the one member \"chain\", an array of strings")]
    Json(#[source] serde_json::Error),
    #[error("certificate {position} of the chain is not base64 (RFC 4648 section 4, padded)")]
    Base64 {
        position: usize,
        #[source]
        source: base64::DecodeError,
    },
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    #[error("the log has no entry with this leaf hash in the tree of that tree_size")]
    UnknownLeaf,
    #[error("this method is not for this URL")]
    Method,
    #[error("not found")]
    NotFound,
    #[error("too many submissions at once; try again later")]
    Crowded,
    #[error("the server is at its limit; try again later")]
    #[cfg_attr(not(feature = "acceptor"), expect(dead_code, reason = "nothing is counted"))]
    Overloaded,
    #[error("too many submissions; try again in {} s", whole_seconds(*retry_after))]
    TooMany { retry_after: Duration },
    #[error("this log takes the entries of its own CA only")]
    Off,
    #[error("this log does not know yet whose certificates to take; try again later")]
    NoRoots,
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("the log's storage cannot be read or written")]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error("the log's checkpoint cannot be read")]
    TreeHead(#[from] CheckpointError),
    #[error("the log is shutting down")]
    Stopping,
}

impl From<BytesRejection> for HttpError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::TooLarge
        } else {
            Self::Body
        }
    }
}

#[cfg(feature = "acceptor")]
impl From<crate::acceptor::Overloaded> for HttpError {
    fn from(_: crate::acceptor::Overloaded) -> Self {
        Self::Overloaded
    }
}

impl HttpError {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body | Self::Json(_) | Self::Base64 { .. } | Self::Chain(_) => StatusCode::BAD_REQUEST,
            Self::Parameter(_) | Self::Submit(SubmitError::TooLarge(_)) => StatusCode::BAD_REQUEST,
            Self::Submit(SubmitError::ReadOnly) => StatusCode::GONE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Off => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound | Self::UnknownLeaf => StatusCode::NOT_FOUND,
            Self::Crowded
            | Self::Overloaded
            | Self::NoRoots
            | Self::Submit(_)
            | Self::Storage(_)
            | Self::Lookup(_)
            | Self::TreeHead(_)
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            Self::Crowded | Self::Overloaded => RETRY_SOON,
            Self::TooMany { retry_after } | Self::Submit(SubmitError::Busy { retry_after }) => *retry_after,
            _ => RETRY_LATER,
        }
    }
}

/// Rounded up: zero would invite a busy loop.
fn whole_seconds(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000).max(1)
}

/// A JSON object with `error_message`, as RFC 6962 section 4 wants it.
impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        if let Self::Storage(error) | Self::Lookup(LookupError::Storage(error)) = &self {
            tracing::error!(?error, "a request met a failing storage");
        }
        let status = self.status();
        let body = Json(json!({ "error_message": self.to_string() }));
        let mut response = (status, [(CACHE_CONTROL, DYNAMIC)], body).into_response();
        if let StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS = status
            && let Ok(seconds) = whole_seconds(self.retry_after()).to_string().parse()
        {
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
