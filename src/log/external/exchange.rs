//! One `add-pre-chain` over HTTP: no redirects, bounded in size and time.

use std::{error::Error as _, iter, time::Duration};

use axum::body::Bytes;
use ct_log::tls::{self, TrustError, certificate_refused};
use reqwest::{Client, ClientBuilder, StatusCode, header::CONTENT_TYPE, redirect};
use url::Url;

use super::AttemptError;
use crate::response::{BodyError, body, retry_after};

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
    /// With `roots` (PEM) its certificate must be one of them or below one; without, below one that
    /// this machine trusts.
    pub(super) fn new(url: Url, roots: Option<&[u8]>) -> Result<Self, EndpointError> {
        let builder = client();
        let builder = match roots {
            Some(pem) => tls::http_client(builder, tls::only(pem)?),
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
    pub(super) async fn post(&self, submission: Bytes) -> Result<Vec<u8>, AttemptError> {
        let request = self.client.post(self.url.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(submission);
        let response = request.send().await.map_err(AttemptError::of_request)?;
        match response.status() {
            StatusCode::OK => Ok(body(response, MAX_ANSWER).await?),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(AttemptError::SentAway {
                status: response.status().as_u16(),
                retry_after: retry_after(&response).unwrap_or(DEFAULT_RETRY_AFTER),
            }),
            status => Err(AttemptError::Status(status.as_u16())),
        }
    }
}

/// Why a log cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The certificates that are configured for it cannot be used.
    #[error(transparent)]
    Certificates(#[from] TrustError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// No proxy from the environment: the operator named an address, and means it.
fn client() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("mayfly/", env!("CARGO_PKG_VERSION")))
}

impl AttemptError {
    fn of_request(error: reqwest::Error) -> Self {
        let mut causes = iter::successors(error.source(), |&cause| cause.source());
        match causes.find_map(certificate_refused) {
            Some(words) => Self::Certificate(words),
            None => Self::Transport(error),
        }
    }
}

impl From<BodyError> for AttemptError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Transport(error) => Self::Transport(error),
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Coding(error) => Self::Coding(error),
        }
    }
}
