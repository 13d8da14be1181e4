//! Answers of other people's servers: read up to a size, and taken at their word about when to come back.

use std::time::{Duration, SystemTime};

use ct_log::remote::{Coding, CodingError};
use reqwest::{Response, header::RETRY_AFTER};

/// Why the body of an answer was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It broke off.
    Transport(reqwest::Error),
    /// It is larger than was allowed.
    TooLarge,
    /// It is encoded, and cannot be decoded.
    Coding(CodingError),
}

/// The body, decoded if it is gzipped, if it has `largest` bytes at most both as it came and
/// decoded; no more than that is held.
pub(crate) async fn body(mut response: Response, largest: usize) -> Result<Vec<u8>, BodyError> {
    let coding = Coding::of(response.headers()).map_err(BodyError::Coding)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Transport)? {
        if body.len().saturating_add(chunk.len()) > largest {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    coding.decode(body, largest).map_err(|error| match error {
        CodingError::TooLarge(_) => BodyError::TooLarge,
        error => BodyError::Coding(error),
    })
}

/// `Retry-After`: seconds or a date (RFC 9110 section 10.2.3).
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}
