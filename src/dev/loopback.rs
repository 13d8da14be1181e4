//! Only programs and pages of this machine get an answer.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::page::refusal;

/// Refuses a name that is not a loopback one, which is how DNS rebinding arrives, and any other site's page:
/// this provider logs everybody in, so a page from elsewhere could ask for a token by itself.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let host = authority(request.headers(), request.uri());
    let Some(host) = host.filter(is_loopback) else {
        let reason = "The development provider answers to localhost, 127.0.0.1 and [::1] only.";
        return refusal(StatusCode::MISDIRECTED_REQUEST, reason);
    };
    if !is_same_origin(request.headers(), &host) {
        let reason = "The development provider does not take requests from other sites.";
        return refusal(StatusCode::FORBIDDEN, reason);
    }
    next.run(request).await
}

/// HTTP/1.1 has it in `Host`, HTTP/2 in `:authority`.
fn authority(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    match headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?.parse().ok(),
        None => uri.authority().cloned(),
    }
}

fn is_loopback(authority: &Authority) -> bool {
    !authority.as_str().contains('@') && matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]")
}

/// Browsers send `Origin` with every POST and every cross-origin fetch; other programs send none.
fn is_same_origin(headers: &HeaderMap, host: &Authority) -> bool {
    headers
        .get_all(header::ORIGIN)
        .iter()
        .all(|origin| origin.as_bytes() == format!("http://{host}").as_bytes())
}
