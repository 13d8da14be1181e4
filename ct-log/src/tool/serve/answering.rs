//! What `serve` answers, and what it says of connections that it cannot serve.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use tokio::time;
use tower::ServiceExt as _;

use crate::acceptor::{ConnectionEvent, Refusal, Service};

/// For a request, its body and its answer: four times what a proxy of RFC 6962 submitters waits.
const REQUEST: Duration = Duration::from_secs(60);

/// The routes of the log.
pub(super) struct Answering(pub(super) Router);

impl Service for Answering {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match time::timeout(REQUEST, self.0.clone().oneshot(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(never)) => match never {},
            Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        }
    }

    fn refuse(&self, refusal: Refusal, _headers: &HeaderMap) -> Response<Body> {
        match refusal {
            Refusal::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response(),
            Refusal::Host => StatusCode::BAD_REQUEST.into_response(),
            Refusal::Overloaded => {
                let later = [(RETRY_AFTER, HeaderValue::from_static("1"))];
                (StatusCode::SERVICE_UNAVAILABLE, later).into_response()
            }
        }
    }

    fn observe(&self, event: ConnectionEvent) {
        if let ConnectionEvent::Refused(reason) = event {
            tracing::debug!(?reason, "a connection was refused");
        }
    }
}
