//! A panic outside of the routes, of what every request gets, is an answer too. That it is counted and written down is the panic
//! hook's part, wherever it happens: also in a body that is being sent, or in a task of its own.

use std::{future::Future, panic::AssertUnwindSafe};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use futures_util::FutureExt;
use tonic::{Code, Status};

use super::answer::Dialect;

/// `google.rpc.Status`, made without what may have panicked.
const BODY: &str = r#"{"code":13,"message":"Internal error","details":[]}"#;

/// The answer, or status 500 if making it panics.
pub(super) async fn answered(dialect: Dialect, answer: impl Future<Output = Response>) -> Response {
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    answer.unwrap_or_else(|_| internal_error(dialect))
}

fn internal_error(dialect: Dialect) -> Response {
    let (status, media_type, body) = match dialect {
        Dialect::Http => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "application/json",
            Body::from(BODY),
        ),
        Dialect::Grpc => (StatusCode::OK, "application/grpc", Body::empty()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if dialect == Dialect::Grpc {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(i32::from(Code::Internal)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_in_the_callers_dialect() {
        let http = answered(Dialect::Http, async { panic!("of the test") }).await;
        assert_eq!(http.status(), 500);
        assert_eq!(http.headers()[CONTENT_TYPE], "application/json");
        let grpc = answered(Dialect::Grpc, async { panic!("of the test") }).await;
        assert_eq!(
            (grpc.status(), &grpc.headers()[Status::GRPC_STATUS]),
            (StatusCode::OK, &HeaderValue::from(13))
        );
    }
}
