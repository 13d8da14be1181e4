//! The one place where an error becomes an HTTP status, a gRPC code, a stable reason and a sentence.
//!
//! Handlers return an [`ApiError`]; it travels with the response until [`super::answer`] writes it in the caller's
//! dialect, with the request's id.

mod outcome;

use std::{error::Error, fmt::Display, time::Duration};

use axum::http::StatusCode;
use tonic::{Code, Status};

/// Fulcio's sentence for everything that is wrong with a token.
const IDENTITY_TOKEN: &str = "There was an error processing the identity token";
/// Fulcio's sentence for a key that cannot be read.
const PUBLIC_KEY: &str = "The public key supplied in the request could not be parsed";
/// Fulcio's sentence for a proof that does not hold.
const PROOF: &str = "The signature supplied in the request could not be verified";
/// When to come back if a part of this instance does not work: somebody has to act, or a disk to catch up.
const REPAIR_RETRY: Duration = Duration::from_secs(30);
/// When to come back after an overload: issuances take milliseconds.
const OVERLOAD_RETRY: Duration = Duration::from_secs(1);

/// Whose fault it is, and what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    InvalidRequest,
    Refused,
    NotFound,
    MethodNotAllowed,
    LimitReached,
    BodyTimeout,
    TooLarge,
    HeaderTooLarge,
    UnsupportedMediaType,
    Unimplemented,
    Unavailable,
    RequestTimeout,
    Internal,
}

impl Kind {
    const fn codes(self) -> (StatusCode, Code) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Self::Refused => (StatusCode::FORBIDDEN, Code::PermissionDenied),
            Self::LimitReached => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
            Self::NotFound => (StatusCode::NOT_FOUND, Code::NotFound),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            Self::HeaderTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                Code::ResourceExhausted,
            ),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
            Self::Unimplemented => (StatusCode::NOT_IMPLEMENTED, Code::Unimplemented),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::RequestTimeout => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
        }
    }
}

/// A refusal: what the client may know, and what only the log may.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ApiError {
    kind: Kind,
    reason: &'static str,
    message: String,
    retry_after: Option<Duration>,
    /// Media type and bytes, instead of what is written of all this otherwise.
    body: Option<(&'static str, Vec<u8>)>,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    fn new(kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason,
            message: message.into(),
            retry_after: None,
            body: None,
            cause: None,
        }
    }

    /// The body is not what the API describes; `problem` says where.
    pub(super) fn malformed(problem: impl Display) -> Self {
        Self::new(
            Kind::InvalidRequest,
            "request_malformed",
            format!("The request body is malformed: {problem}"),
        )
    }

    pub(super) fn token_missing() -> Self {
        Self::new(
            Kind::InvalidRequest,
            "token_missing",
            format!(
                "{IDENTITY_TOKEN}: there is none; send it in credentials.oidcIdentityToken or as Authorization: Bearer"
            ),
        )
    }

    pub(super) fn key_missing() -> Self {
        Self::new(
            Kind::InvalidRequest,
            "key_missing",
            format!(
                "{PUBLIC_KEY}: there is none; send a public key with its proof of possession, or a certificate signing request"
            ),
        )
    }

    pub(super) fn proof_missing() -> Self {
        Self::new(
            Kind::InvalidRequest,
            "proof_missing",
            format!(
                "{PROOF}: there is none; sign the challenge claim of the token with the private key and send the signature with the public key"
            ),
        )
    }

    pub(super) fn key_ambiguous() -> Self {
        Self::new(
            Kind::InvalidRequest,
            "key_ambiguous",
            format!("{PUBLIC_KEY}: send either a public key or a certificate signing request, not both"),
        )
    }

    pub(super) fn timestamp_content_type() -> Self {
        Self::new(
            Kind::UnsupportedMediaType,
            "content_type_unsupported",
            "The request body must be a timestamp request: send Content-Type: application/timestamp-query or application/json",
        )
    }

    pub(super) fn content_encoding() -> Self {
        Self::new(
            Kind::UnsupportedMediaType,
            "content_encoding_unsupported",
            "The request body must not be compressed: send it without Content-Encoding",
        )
    }

    /// UNIMPLEMENTED by the rules of gRPC (compression.md), where JSON has 415.
    pub(super) fn message_encoding() -> Self {
        Self::new(
            Kind::Unimplemented,
            "content_encoding_unsupported",
            "The message must not be compressed but by gzip: send it with grpc-encoding: gzip, or without",
        )
    }

    pub(super) fn body_too_large(max: usize) -> Self {
        Self::new(
            Kind::TooLarge,
            "body_too_large",
            format!("The request body is larger than {max} bytes"),
        )
    }

    pub(super) fn too_many_header_fields() -> Self {
        Self::new(
            Kind::HeaderTooLarge,
            "header_too_large",
            "The request has too many header fields; the proxies and clients that know this API send a few",
        )
    }

    /// RFC 9112 section 3.2.
    pub(super) fn host() -> Self {
        Self::new(
            Kind::InvalidRequest,
            "host_invalid",
            "The request must have one header field Host, with a host and perhaps a port",
        )
    }

    pub(super) fn body_timeout() -> Self {
        Self::new(
            Kind::BodyTimeout,
            "body_timeout",
            "The request body did not arrive in time",
        )
    }

    pub(super) fn body_aborted() -> Self {
        Self::new(
            Kind::InvalidRequest,
            "request_malformed",
            "The request body ended before it was complete",
        )
    }

    pub(super) fn request_timeout() -> Self {
        Self::new(
            Kind::RequestTimeout,
            "request_timeout",
            "The request took too long; try again",
        )
    }

    pub(super) fn overloaded() -> Self {
        Self {
            retry_after: Some(OVERLOAD_RETRY),
            ..Self::new(
                Kind::Unavailable,
                "overloaded",
                "The server is at its limit; try again shortly",
            )
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            Kind::NotFound,
            "not_found",
            "There is nothing at this path; GET /api/v2/openapi.json lists what there is",
        )
    }

    /// Nothing is guessed from the request, which anybody may send with any name in it.
    pub(super) fn no_public_url() -> Self {
        Self::new(
            Kind::NotFound,
            "public_url_missing",
            "It is not known where clients reach this CA: its operator must write `url` into mayfly.yaml",
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            Kind::MethodNotAllowed,
            "method_not_allowed",
            "This path does not take this method; see the Allow header",
        )
    }

    pub(super) fn unknown_method() -> Self {
        Self::new(
            Kind::Unimplemented,
            "method_unknown",
            "There is no such gRPC method; ask the reflection service",
        )
    }

    /// A part of this instance does not work now; `cause` goes to the log.
    fn unavailable(
        reason: &'static str,
        message: &'static str,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            cause: Some(cause.into()),
            retry_after: Some(REPAIR_RETRY),
            ..Self::new(Kind::Unavailable, reason, message)
        }
    }

    /// A fixed sentence for the client; `cause` goes to the log.
    pub(super) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                Kind::Internal,
                "internal",
                "Internal error; the operator finds the details in the log under this request's id",
            )
        }
    }

    /// What the gRPC library refused by itself, before a method of ours saw the message.
    pub(super) fn from_library(status: &Status) -> Self {
        let (kind, reason) = match status.code() {
            Code::Unimplemented => (Kind::Unimplemented, "method_unknown"),
            Code::OutOfRange | Code::ResourceExhausted => (Kind::TooLarge, "body_too_large"),
            Code::Internal | Code::InvalidArgument => (Kind::InvalidRequest, "request_malformed"),
            Code::NotFound => (Kind::NotFound, "not_found"),
            _ => return Self::internal(status.to_string()),
        };
        Self::new(kind, reason, status.message())
    }

    /// With a body that is already written, of this media type.
    pub(super) fn with_body(self, media_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            body: Some((media_type, body)),
            ..self
        }
    }

    /// Media type and bytes of a body that is already written.
    pub(super) fn body(&self) -> Option<(&'static str, &[u8])> {
        let (media_type, body) = self.body.as_ref()?;
        Some((media_type, body))
    }

    /// Stable and machine-readable; a bounded set, so it is also a metric label.
    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }

    /// What only the operator may see.
    pub(super) fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }

    /// The HTTP status and the gRPC code.
    pub(super) const fn codes(&self) -> (StatusCode, Code) {
        self.kind.codes()
    }

    /// What the client may know.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// When it is worth trying again, if it passes by itself.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_errors_tell_the_client_nothing() {
        let error = ApiError::internal("the key is in /etc/secret");
        assert!(!error.message().contains("secret") && error.cause().is_some());
    }
}
