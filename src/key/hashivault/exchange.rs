//! Requests to Vault: bounded in size, with the token that is valid now.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ct_log::{remote::CodingError, tls::TrustError};
use reqwest::{Client, Method, StatusCode, header::HeaderValue};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::place::{Place, header};
use crate::{
    key::{passphrase::PassphraseError, remote::Trouble},
    response::{self, BodyError},
};

/// From the first packet to a connection, TLS included.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// Largest answer that is read, in bytes. A key that was rotated each day for years fits.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Largest part of an error that is shown.
const MAX_SAID: usize = 300;

/// The way to a Vault.
pub(super) struct Exchange {
    place: Place,
    client: Client,
    /// It is read again when Vault does not take it any more.
    token: Mutex<HeaderValue>,
}

/// What Vault wraps its answers in.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Exchange {
    pub(super) async fn new(place: Place) -> Result<Self, VaultError> {
        // Reads files.
        let (place, client) = tokio::task::spawn_blocking(move || {
            let client = place.client()?;
            Ok::<_, VaultError>((place, client))
        })
        .await
        .map_err(|_| VaultError::Interrupted)??;
        let token = Mutex::new(read_token(&place).await?);
        Ok(Self { place, client, token })
    }

    pub(super) async fn get<A: DeserializeOwned>(&self, path: &[&str]) -> Result<A, VaultError> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    pub(super) async fn post<A: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<A, VaultError> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<A, VaultError> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = match self.send(method.clone(), path, body, token.clone()).await {
            Err(VaultError::Status { status, .. }) if status == StatusCode::FORBIDDEN => {
                let renewed = read_token(&self.place).await?;
                if renewed == token {
                    return Err(VaultError::Forbidden);
                }
                self.token
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone_from(&renewed);
                self.send(method, path, body, renewed).await
            }
            answer => answer,
        };
        let answer: Answer<A> = serde_json::from_slice(&answer?).map_err(|_| VaultError::Garbled)?;
        Ok(answer.data)
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&impl Serialize>,
        token: HeaderValue,
    ) -> Result<Vec<u8>, VaultError> {
        let request = self.client.request(method, self.place.url(path)?);
        let mut request = request.header("X-Vault-Token", token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(VaultError::Transport)?;
        let status = response.status();
        let retry_after = response::retry_after(&response);
        match (status, response::body(response, MAX_ANSWER).await) {
            (StatusCode::OK, body) => Ok(body?),
            // What else it says is not needed.
            (status, body) => Err(VaultError::Status {
                status,
                retry_after,
                said: said(&body.unwrap_or_default()),
            }),
        }
    }
}

async fn read_token(place: &Place) -> Result<HeaderValue, VaultError> {
    let source = place.token.clone();
    let token = tokio::task::spawn_blocking(move || source.read()).await;
    header(
        &token
            .map_err(|_| VaultError::Interrupted)?
            .map_err(VaultError::NoToken)?,
    )
}

impl From<BodyError> for VaultError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Transport(error) => Self::Transport(error),
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Coding(error) => Self::Coding(error),
        }
    }
}

/// Its own words, on one line.
fn said(body: &[u8]) -> String {
    let errors = serde_json::from_slice::<Errors>(body).map_or_else(|_| Vec::new(), |errors| errors.errors);
    let words = errors.iter().flat_map(|error| error.split_whitespace());
    let text = words.collect::<Vec<_>>().join(" ");
    text.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect()
}

/// Why Vault did not do what it was asked. No variant carries a token.
#[derive(Debug, thiserror::Error)]
pub(in crate::key) enum VaultError {
    #[error("the environment does not say where Vault is: set VAULT_ADDR")]
    NoAddress,
    #[error("VAULT_ADDR must be an https URL without a query or user, or an http one of this machine itself")]
    Address,
    #[error("the environment variable {0} cannot be what it is")]
    Variable(&'static str),
    #[error("the file of VAULT_CACERT cannot be read")]
    Authorities(#[source] io::Error),
    #[error("the certificates of VAULT_CACERT cannot be used")]
    Certificates(#[source] TrustError),
    #[error("the token for Vault is missing: name its place as `passphrase`, or set VAULT_TOKEN")]
    NoToken(#[source] PassphraseError),
    #[error("the token for Vault is not one line of text")]
    Token,
    #[error("the request to Vault failed")]
    Transport(#[source] reqwest::Error),
    #[error("Vault answered with status {}{}{said}", status.as_u16(), if said.is_empty() { "" } else { ": " })]
    Status {
        status: StatusCode,
        retry_after: Option<Duration>,
        said: String,
    },
    #[error(
        "Vault refuses the token, or its policies do not allow this: it needs read on keys/NAME and update on sign/NAME"
    )]
    Forbidden,
    #[error("the key has no version {version}, but {versions:?}")]
    NoVersion { version: u32, versions: Vec<u32> },
    #[error("the key is not ECDSA on P-256 or P-384, nor RSA")]
    Unsupported,
    #[error("Vault signed with another key than the one it named")]
    OtherKey,
    #[error("Vault's answer is larger than 4 MiB")]
    TooLarge,
    #[error("Vault's answer {0}")]
    Coding(CodingError),
    #[error("Vault's answer is not what it should be")]
    Garbled,
    #[error("Vault did not answer in time")]
    Late,
    #[error("asking Vault was interrupted")]
    Interrupted,
}

impl VaultError {
    /// What it means for the next attempt.
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Status {
                status, retry_after, ..
            } => trouble_of(*status, *retry_after),
            Self::Transport(_)
            | Self::OtherKey
            | Self::TooLarge
            | Self::Coding(_)
            | Self::Garbled
            | Self::Late
            | Self::Interrupted => Trouble::Passing,
            Self::NoAddress
            | Self::Address
            | Self::Variable(_)
            | Self::Authorities(_)
            | Self::Certificates(_)
            | Self::NoToken(_)
            | Self::Token
            | Self::Forbidden
            | Self::NoVersion { .. }
            | Self::Unsupported => Trouble::Refused,
        }
    }
}

/// A standby redirects to the active server, and answers 412, 472 or 473 for a while; 503 is a sealed one.
fn trouble_of(status: StatusCode, retry_after: Option<Duration>) -> Trouble {
    match (status.as_u16(), retry_after) {
        (429, after) | (503, after @ Some(_)) => Trouble::Throttled(after),
        (300..=399 | 408 | 412 | 472 | 473 | 500..=599, _) => Trouble::Passing,
        _ => Trouble::Refused,
    }
}
