//! `Host` (RFC 9112 section 3.2, RFC 9110 section 7.2).

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Version};
use hyper::Request;

/// Whether a request names one host at most, in a form that is one, and over HTTP/1.1 names it at
/// all. HTTP/2 has `:authority` instead; HTTP/1.0 needs none.
pub(super) fn is_sound<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

/// `uri-host [ ":" port ]`, or nothing for a target without a host.
fn is_host(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.is_empty() || !value.contains(&b'@') && Authority::try_from(value).is_ok()
}
