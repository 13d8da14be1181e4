//! What goes wrong with Azure Key Vault.

use std::time::Duration;

use azure_core::{
    error::{Error, ErrorKind},
    http::{RawResponse, headers::RETRY_AFTER},
};

use crate::key::remote::{Failure, Trouble};

/// A key in Azure Key Vault cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AzureKmsError {
    /// Not a host.
    #[error("`{0}` is not the host of a vault")]
    Vault(String),
    /// The environment names some, but not whole.
    #[error("Azure's credentials in the environment cannot be used")]
    Credential(#[source] Error),
    /// The key could not be asked for.
    #[error("Azure Key Vault did not give the key's public half")]
    NoAnswer(#[from] Failure),
    /// An answer without what it must have.
    #[error("Azure Key Vault answered without a key or without a signature")]
    Incomplete,
    /// An answer about something else.
    #[error("Azure Key Vault answered for `{0}`, which is another key or version")]
    Other(String),
    /// A version that is switched off.
    #[error("the key's version is disabled")]
    Disabled,
    /// A key that may not sign.
    #[error("the key may be used for [{0}] only, which must contain sign")]
    Use(String),
    /// A key of another kind.
    #[error("the key is {0}: it must be EC or EC-HSM on P-256 or P-384, or RSA or RSA-HSM")]
    Kind(String),
}

/// What a request that failed means, in the service's words.
pub(super) fn failure_of(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::HttpResponse {
            status,
            error_code,
            raw_response,
        } => {
            let status = u16::from(*status);
            let code = error_code.as_deref().unwrap_or("no code");
            let after = raw_response.as_deref().and_then(retry_after);
            Failure::new(
                trouble_of(status, after),
                format!("status {status}, {code}: {error}"),
            )
        }
        // The first three: no connection, no answer, no token. The last: no JSON.
        ErrorKind::Connection | ErrorKind::Io | ErrorKind::Credential | ErrorKind::DataConversion => {
            Failure::with_causes(Trouble::Passing, error)
        }
        _ => Failure::with_causes(Trouble::Refused, error),
    }
}

fn trouble_of(status: u16, retry_after: Option<Duration>) -> Trouble {
    match status {
        429 => Trouble::Throttled(retry_after),
        408 | 500.. => Trouble::Passing,
        _ => Trouble::Refused,
    }
}

/// In seconds (RFC 9110 10.2.3).
fn retry_after(answer: &RawResponse) -> Option<Duration> {
    let value = answer.headers().get_optional_str(&RETRY_AFTER)?;
    value.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_means_for_the_next_attempt() {
        let second = Some(Duration::from_secs(1));
        for (status, trouble) in [
            (429, Trouble::Throttled(second)),
            (408, Trouble::Passing),
            (500, Trouble::Passing),
            (503, Trouble::Passing),
            (400, Trouble::Refused),
            (401, Trouble::Refused),
            (403, Trouble::Refused),
            (404, Trouble::Refused),
        ] {
            assert_eq!(trouble_of(status, second), trouble, "{status}");
        }
    }
}
