//! Writes an [`ApiError`] in the caller's dialect: `google.rpc.Status` as JSON, or gRPC trailers.
//! Both carry the same `google.rpc.ErrorInfo`.

use std::{collections::HashMap, error::Error, sync::Arc};

use axum::{
    Json,
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
        response::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::clock::whole_seconds;

/// `domain` of every `ErrorInfo`: the reasons are ours (google/rpc/error_details.proto).
const DOMAIN: &str = "mayfly";
/// Key in the `ErrorInfo`'s metadata.
const REQUEST_ID: &str = "requestId";

/// How the caller speaks, and so how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// JSON and PEM over HTTP.
    Http,
    /// gRPC over HTTP/2.
    Grpc,
}

impl Dialect {
    /// gRPC says so in `Content-Type` (gRPC over HTTP2, "Requests").
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(CONTENT_TYPE) {
            Some(value) if value.as_bytes().starts_with(b"application/grpc") => Self::Grpc,
            _ => Self::Http,
        }
    }
}

/// An error as JSON: `google.rpc.Status`.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody<'a> {
    /// The gRPC code.
    #[schema(example = 3)]
    code: i32,
    /// What is wrong and what to do about it.
    #[schema(example = "There was an error processing the identity token: ...")]
    message: &'a str,
    /// One `google.rpc.ErrorInfo`.
    details: [ErrorInfo<'a>; 1],
}

/// `google.rpc.ErrorInfo` in proto3 JSON.
#[derive(Serialize, ToSchema)]
struct ErrorInfo<'a> {
    #[serde(rename = "@type")]
    #[schema(example = "type.googleapis.com/google.rpc.ErrorInfo")]
    type_url: &'static str,
    /// Stable and machine-readable.
    #[schema(example = "token_expired")]
    reason: &'static str,
    #[schema(example = "mayfly")]
    domain: &'static str,
    /// `requestId`, under which the operator finds the request in the log.
    metadata: HashMap<&'static str, &'a str>,
}

/// The error travels with the response until the request's id is at hand.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.codes().0.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// An [`ApiError`] on its way through the gRPC library.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Carried(Arc<ApiError>);

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut status = Self::new(error.codes().1, error.message());
        status.set_source(Arc::new(Carried(Arc::new(error))));
        status
    }
}

/// If `response` is a refusal: writes it out for the caller and hands back what it was, for the log.
pub(super) fn write_refusal(
    response: Response,
    dialect: Dialect,
    id: &str,
) -> (Response, Option<Arc<ApiError>>) {
    let (mut parts, body) = response.into_parts();
    let Some(error) = refusal(&mut parts) else {
        return (Response::from_parts(parts, body), None);
    };
    // The router has already counted the empty body that brought the error here.
    parts.headers.remove(CONTENT_LENGTH);
    let body = match dialect {
        Dialect::Http => http(&error, id, &mut parts.headers),
        Dialect::Grpc => {
            parts.status = StatusCode::OK;
            grpc(&error, id, &mut parts.headers);
            Body::empty()
        }
    };
    if let Some(after) = error.retry_after() {
        parts
            .headers
            .insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after).max(1)));
    }
    (Response::from_parts(parts, body), Some(error))
}

fn refusal(parts: &mut Parts) -> Option<Arc<ApiError>> {
    if let Some(error) = parts.extensions.remove::<Arc<ApiError>>() {
        return Some(error);
    }
    // Generated code answers unknown methods with headers alone.
    let status = parts
        .extensions
        .remove::<Status>()
        .or_else(|| Status::from_header_map(&parts.headers))
        .filter(|status| status.code() != Code::Ok)?;
    match status.source().and_then(|source| source.downcast_ref()) {
        Some(Carried(error)) => Some(Arc::clone(error)),
        None => Some(Arc::new(ApiError::from_library(&status))),
    }
}

fn http(error: &ApiError, id: &str, headers: &mut HeaderMap) -> Body {
    if let Some((media_type, body)) = error.body() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        return Body::from(body.to_vec());
    }
    let (_, code) = error.codes();
    let body = ErrorBody {
        code: code.into(),
        message: error.message(),
        details: [ErrorInfo {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo",
            reason: error.reason(),
            domain: DOMAIN,
            metadata: HashMap::from([(REQUEST_ID, id)]),
        }],
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Json(body).into_response().into_body()
}

fn grpc(error: &ApiError, id: &str, headers: &mut HeaderMap) {
    let metadata = HashMap::from([(REQUEST_ID.to_owned(), id.to_owned())]);
    let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, metadata);
    if error.retry_after().is_some() {
        details.set_retry_info(error.retry_after());
    }
    let (_, code) = error.codes();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Err(status) = Status::with_error_details(code, error.message(), details).add_header(headers) {
        tracing::error!(%status, "a gRPC status does not fit into headers");
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(i32::from(code)));
    }
}
