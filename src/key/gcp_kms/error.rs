//! What goes wrong with Google Cloud KMS.

use std::time::Duration;

use google_cloud_gax::{
    client_builder,
    error::{Error, rpc::Code},
};

use crate::key::remote::{Failure, Trouble};

/// A key in Google Cloud KMS cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GcpKmsError {
    /// Most often no credentials.
    #[error("Google's client cannot be made; it wants application default credentials")]
    Client(#[source] client_builder::Error),
    /// The key could not be asked for.
    #[error("Google Cloud KMS did not give the key's public half")]
    NoAnswer(#[source] Failure),
    /// An answer about something else.
    #[error("Google Cloud KMS answered for `{0}`, which is not how the key is named here")]
    Other(String),
    /// An answer that is not what was sent, or an echo of a request that is not ours.
    #[error("a checksum says that the request or the answer was damaged on its way")]
    Damaged,
    /// A key of another kind.
    #[error(
        "the key is {0}: it must be EC_SIGN_P256_SHA256, EC_SIGN_P384_SHA384, or RSA_SIGN_PKCS1_2048_SHA256, _3072_SHA256 or \
         _4096_SHA256"
    )]
    Kind(String),
}

/// What a request that failed means, in the service's words.
pub(super) fn failure_of(error: &Error) -> Failure {
    let trouble = trouble_of(error);
    match (error.status(), error.http_status_code()) {
        (Some(status), _) => Failure::new(trouble, format!("{}: {}", status.code.name(), status.message)),
        (None, Some(status)) => Failure::new(
            trouble,
            format!("status {status}, and nothing that KMS would say"),
        ),
        (None, None) => Failure::with_causes(trouble, error),
    }
}

/// By the code of the error if there is one, otherwise by the status.
fn trouble_of(error: &Error) -> Trouble {
    match (error.status().map(|status| status.code), error.http_status_code()) {
        (Some(Code::ResourceExhausted), _) | (_, Some(429)) => Trouble::Throttled(retry_after(error)),
        (
            Some(
                Code::Aborted
                | Code::Cancelled
                | Code::DataLoss
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::Unavailable
                | Code::Unknown,
            )
            | None,
            _,
        )
        | (_, Some(500..)) => Trouble::Passing,
        (Some(_), _) => Trouble::Refused,
    }
}

/// `Retry-After` (RFC 9110 10.2.3) in seconds.
fn retry_after(error: &Error) -> Option<Duration> {
    let value = error.http_headers()?.get("retry-after")?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}
