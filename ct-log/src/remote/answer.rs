//! One answer of a log: asked for again while that may help, and no larger than it may be.

use std::time::Duration;

use reqwest::header::ACCEPT_ENCODING;
use reqwest::{Response, StatusCode};

use super::{Coding, CodingError, RemoteLog};
use crate::check::SourceError;
use crate::tls::in_one_line;

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
        let undecodable = |error: CodingError| Failed::Lasting(format!("it {}", in_one_line(&error)));
        let coding = Coding::of(response.headers()).map_err(undecodable)?;
        let body = read_body(response, limit).await?;
        coding.decode(body, limit).map_err(undecodable)
    }
}

fn transport(error: &reqwest::Error) -> Failed {
    let text = in_one_line(error);
    if error.is_redirect() {
        Failed::Lasting(text)
    } else {
        Failed::Passing(text)
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

fn too_large(limit: usize) -> Failed {
    Failed::Lasting(format!("it is over {limit} bytes"))
}
