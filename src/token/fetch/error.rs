//! Why a fetch failed.

use std::{error::Error, iter};

use ct_log::{
    remote::CodingError,
    tls::{TrustError, certificate_refused},
};

use crate::{
    response::BodyError,
    token::{
        address::{AddressRefused, UrlError},
        error::Quoted,
    },
};

/// Why an issuer's keys could not be fetched; for the operator, not for the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Private or loopback addresses only.
    #[error("{}", AddressRefused)]
    Address,
    /// The certificates that the issuer's own must lead to cannot be used.
    #[error("the certificates that are trusted for the issuer cannot be used")]
    CaCertificates(#[source] TrustError),
    /// The issuer's TLS certificate is not trusted.
    #[error("{0}")]
    Certificate(String),
    /// No connection, or the exchange broke off.
    #[error("the request to the issuer failed")]
    Transport(#[source] reqwest::Error),
    /// Not done within five seconds.
    #[error("the issuer did not answer within 5 s")]
    Timeout,
    /// To another scheme, host or port, or more than three times.
    #[error("the issuer redirects to another host, or too often; that is not followed")]
    Redirect,
    /// Not 200.
    #[error("the issuer answered with status {0}")]
    Status(u16),
    /// In another coding than gzip, or damaged.
    #[error("the issuer's document {0}")]
    Coding(CodingError),
    /// More than 256 KiB.
    #[error("the issuer's document is larger than 256 KiB")]
    TooLarge,
    /// Not one JSON object, or one with a member twice that counts.
    #[error("the issuer's document is not the JSON object that it must be")]
    NotJson(#[source] serde_json::Error),
    /// A JSON object that lacks what it must have.
    #[error("the issuer's document has no valid {0:?}")]
    NotADocument(&'static str),
    /// The discovery document is of another issuer (OpenID Connect Discovery 1.0 section 4.3).
    #[error("the discovery document says that it is of issuer {said}")]
    IssuerMismatch {
        /// Its `issuer`.
        said: Quoted,
    },
    /// `jwks_uri` is not one that may be fetched.
    #[error("the discovery document's jwks_uri is refused: it {0}")]
    JwksUri(UrlError),
    /// More than a hundred keys.
    #[error("the issuer publishes more than 100 keys")]
    TooManyKeys,
    /// What Kubernetes gives every pod cannot be read.
    #[error("the pod's service account cannot be read")]
    ServiceAccount(#[source] std::io::Error),
    /// More requests wait for the fetch under way than may.
    #[error("too many requests wait for the keys already")]
    Crowded,
    /// More issuers of a pattern turn up than may.
    #[error(
        "the issuer is new here, and too many new issuers of its pattern turn up: it is asked for its keys later"
    )]
    NewIssuers,
    /// The fetch has not happened or was broken off on our side.
    #[error("the keys have not been fetched yet")]
    Interrupted,
}

impl From<BodyError> for FetchError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Transport(error) => Self::Transport(error),
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Coding(error) => Self::Coding(error),
        }
    }
}

impl FetchError {
    /// Whether the reason is on this side, and not the issuer's.
    pub(in crate::token) fn is_our_own(&self) -> bool {
        matches!(self, Self::Crowded | Self::NewIssuers | Self::Interrupted)
    }

    pub(super) fn of_request(error: reqwest::Error) -> Self {
        if error.is_redirect() {
            return Self::Redirect;
        }
        let causes = || iter::successors(error.source(), |&cause| cause.source());
        if causes().any(<dyn Error>::is::<AddressRefused>) {
            return Self::Address;
        }
        match causes().find_map(certificate_refused) {
            Some(words) => Self::Certificate(words),
            None => Self::Transport(error),
        }
    }
}
