//! One answer of a log: asked for again while that may help, and no larger than it may be.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};

use super::RemoteLog;
use crate::check::SourceError;

/// Waits before each further attempt at what failed in a way that passes.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
];

/// Why one attempt failed.
enum Failed {
    Missing,
    /// It may work later.
    Passing(String),
    /// It will not.
    Lasting(String),
}

impl RemoteLog {
    pub(super) async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, SourceError> {
        let mut delays = RETRIES.iter();
        loop {
            let reason = match self.attempt(path, limit).await {
                Ok(body) => return Ok(body),
                Err(Failed::Missing) => return Err(SourceError::Missing(path.to_owned())),
                Err(Failed::Passing(reason)) => match delays.next() {
                    Some(delay) => {
                        tokio::time::sleep(*delay).await;
                        continue;
                    }
                    None => reason,
                },
                Err(Failed::Lasting(reason)) => reason,
            };
            let what = path.to_owned();
            return Err(SourceError::Failed { what, reason });
        }
    }

    async fn attempt(&self, path: &str, limit: usize) -> Result<Vec<u8>, Failed> {
        let url = self.prefix.join(path);
        let url = url.map_err(|error| Failed::Lasting(error.to_string()))?;
        let request = self.client.get(url).header(ACCEPT_ENCODING, self.codings);
        let response = request.send().await.map_err(|error| transport(&error))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Failed::Missing),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Err(Failed::Passing(format!("the answer is {status}")));
            }
            _ if status.is_server_error() => return Err(Failed::Passing(format!("the answer is {status}"))),
            _ => return Err(Failed::Lasting(format!("the answer is {status}"))),
        }
        let zipped = is_zipped(response.headers())?;
        let body = read_body(response, limit).await?;
        if zipped { unzip(&body, limit) } else { Ok(body) }
    }
}

fn transport(error: &reqwest::Error) -> Failed {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if error.is_redirect() {
        Failed::Lasting(text)
    } else {
        Failed::Passing(text)
    }
}

fn is_zipped(headers: &HeaderMap) -> Result<bool, Failed> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(Failed::Lasting("it is encoded, but not as gzip".to_owned())),
    }
}

async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What comes out has the same limit as what came in.
fn unzip(body: &[u8], limit: usize) -> Result<Vec<u8>, Failed> {
    let mut unzipped = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(body).take(most).read_to_end(&mut unzipped);
    read.map_err(|error| Failed::Lasting(format!("it is not gzip: {error}")))?;
    if unzipped.len() > limit {
        return Err(too_large(limit));
    }
    Ok(unzipped)
}

fn too_large(limit: usize) -> Failed {
    Failed::Lasting(format!("it is over {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_gzip_does_not_become_much() {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut bomb, &[0; 1_000_000]).unwrap();
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 2_000);
        assert!(matches!(unzip(&bomb, 999_999), Err(Failed::Lasting(_))));
        assert_eq!(unzip(&bomb, 1_000_000).ok().unwrap().len(), 1_000_000);
        assert!(unzip(&bomb[..100], 1_000_000).is_err());
    }
}
