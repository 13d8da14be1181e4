//! What goes wrong with AWS KMS.

use std::error::Error;

use aws_sdk_kms::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::key::remote::{Failure, Trouble};

/// A key in AWS KMS cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AwsKmsError {
    /// Neither the environment nor the key's name has one.
    #[error("no AWS region is known: set AWS_REGION, or name the key by its ARN")]
    NoRegion,
    /// Not a host.
    #[error("`{0}` is not the host of an endpoint, or its host and port")]
    Endpoint(String),
    /// The key could not be asked for.
    #[error("AWS KMS did not give the key's public half")]
    NoAnswer(#[source] Failure),
    /// An answer without what it must have.
    #[error("AWS KMS answered without a key or without a signature")]
    Incomplete,
    /// A key that decrypts or authenticates.
    #[error("the key's usage is {0}: it must be SIGN_VERIFY, which is chosen when the key is made")]
    Usage(String),
    /// A key of another kind.
    #[error("the key is {0}: it must be ECC_NIST_P256, ECC_NIST_P384 or RSA")]
    Kind(String),
}

/// What a request that failed means, in the service's words.
pub(super) fn failure_of<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let trouble = match error {
        SdkError::ConstructionFailure(_) => Trouble::Refused,
        _ => trouble_of(error.code(), status),
    };
    match (error.code(), error.message(), status) {
        (Some(code), Some(message), _) => Failure::new(trouble, format!("{code}: {message}")),
        (Some(code), None, _) => Failure::new(trouble, code.to_owned()),
        (None, _, Some(status)) => Failure::new(
            trouble,
            format!("status {status}, and nothing that KMS would say"),
        ),
        (None, _, None) => Failure::with_causes(trouble, error),
    }
}

/// By the code of the error if there is one, otherwise by the status.
fn trouble_of(code: Option<&str>, status: Option<u16>) -> Trouble {
    match (code, status) {
        (
            Some(
                "ThrottlingException"
                | "Throttling"
                | "TooManyRequestsException"
                | "RequestLimitExceeded"
                | "LimitExceededException",
            ),
            _,
        )
        | (_, Some(429)) => Trouble::Throttled(None),
        (Some("DependencyTimeoutException" | "KeyUnavailableException" | "KMSInternalException"), _)
        | (_, Some(500..))
        | (None, _) => Trouble::Passing,
        (Some(_), _) => Trouble::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_means_for_the_next_attempt() {
        for (code, status, trouble) in [
            (Some("ThrottlingException"), Some(400), Trouble::Throttled(None)),
            (
                Some("LimitExceededException"),
                Some(400),
                Trouble::Throttled(None),
            ),
            (None, Some(429), Trouble::Throttled(None)),
            (Some("KMSInternalException"), Some(500), Trouble::Passing),
            (Some("DependencyTimeoutException"), Some(503), Trouble::Passing),
            (Some("KeyUnavailableException"), Some(500), Trouble::Passing),
            (Some("InternalFailure"), Some(500), Trouble::Passing),
            (None, Some(502), Trouble::Passing),
            (None, Some(200), Trouble::Passing),
            (None, None, Trouble::Passing),
            (Some("DisabledException"), Some(400), Trouble::Refused),
            (Some("NotFoundException"), Some(400), Trouble::Refused),
            (Some("AccessDeniedException"), Some(400), Trouble::Refused),
            (Some("KMSInvalidStateException"), Some(400), Trouble::Refused),
        ] {
            assert_eq!(trouble_of(code, status), trouble, "{code:?} {status:?}");
        }
    }
}
