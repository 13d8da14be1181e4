//! One `add-pre-chain` over HTTP: no redirects, bounded in size and time.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use reqwest::{
    Certificate, Client, ClientBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect,
};
use url::Url;

use super::AttemptError;

/// Largest answer that is read, in bytes. An SCT in JSON is less than 2 KiB.
const MAX_ANSWER: usize = 64 * 1024;

/// From the first packet to a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a log that does not say is left alone when it answers 429 or 503.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where a log takes precertificates.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: Url,
    client: Client,
}

impl Endpoint {
    /// With `roots` (PEM) its certificate must be below one of them; without, below one that this machine trusts.
    pub(super) fn new(url: Url, roots: Option<&[u8]>) -> Result<Self, reqwest::Error> {
        let builder = client();
        let builder = match roots {
            Some(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem)?),
            // Without TLS there is nothing to trust, and the machine may have no certificates at all.
            None if url.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        Ok(Self {
            client: builder.build()?,
            url,
        })
    }

    /// The body of the answer.
    pub(super) async fn post(&self, body: Bytes) -> Result<Vec<u8>, AttemptError> {
        let request = self.client.post(self.url.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(AttemptError::Transport)?;
        match response.status() {
            StatusCode::OK => bounded(response).await,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(AttemptError::SentAway {
                status: response.status().as_u16(),
                retry_after: retry_after(&response).unwrap_or(DEFAULT_RETRY_AFTER),
            }),
            status => Err(AttemptError::Status(status.as_u16())),
        }
    }
}

/// No proxy from the environment: the operator named an address, and means it.
fn client() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("mayfly/", env!("CARGO_PKG_VERSION")))
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, AttemptError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(AttemptError::Transport)? {
        if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
            return Err(AttemptError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}
