//! What each failure of issuing and of signing times is to the caller.

use ct_log::SubmitError;

use super::{ApiError, IDENTITY_TOKEN, Kind, REPAIR_RETRY};
use crate::{
    admission::AdmissionError,
    issue::IssueError,
    issuer::IssuerError,
    log::{EmbeddedError, LogError},
    profile::ProfileError,
    timestamp::{ClockError, TimestampError},
    token::TokenError,
};

/// Fulcio's sentence for a log that does not answer.
const LOG: &str =
    "Error entering certificate in CTL: the log takes no entries now, so nothing was issued; try again";
const NO_SHARD: &str = "The certificate transparency log has no shard for a certificate of this time, so nothing was issued; its operator must act";
const CA: &str = "The certificate authority cannot sign now, so nothing was issued; its operator must act";
const TIMESTAMP: &str = "The timestamp authority cannot sign now; its operator must act";
const CLOCK: &str = "The clock cannot be relied on, so no time is signed; the operator must act";
const AUDIT: &str = "The audit record cannot be written, so nothing was issued; the operator must act";
impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Token(error) => Self::from_token(&error),
            IssueError::Identity(error) => Self::new(
                Kind::InvalidRequest,
                error.reason(),
                format!("{IDENTITY_TOKEN}: {error}"),
            ),
            IssueError::Admission(error) => Self::from_admission(&error),
            IssueError::Proof(error) => Self::new(Kind::InvalidRequest, error.reason(), error.to_string()),
            IssueError::Profile(ProfileError::Encoding(error)) => Self::from_encoding(error),
            IssueError::Profile(error) => Self::unavailable("ca_unavailable", CA, error),
            IssueError::Issuer(error @ IssuerError::Key(_)) => Self::unavailable("ca_unavailable", CA, error),
            IssueError::Issuer(error) => Self::internal(error),
            IssueError::Log(LogError::Embedded(EmbeddedError::Submit(
                error @ SubmitError::Busy { retry_after },
            ))) => Self {
                retry_after: Some(retry_after),
                ..Self::unavailable("log_busy", LOG, error)
            },
            IssueError::Log(error @ LogError::Embedded(EmbeddedError::NoShard(_))) => {
                Self::unavailable("log_has_no_shard", NO_SHARD, error)
            }
            IssueError::Log(error) => Self::unavailable("log_unavailable", LOG, error),
            IssueError::Audit(error) => Self::unavailable("audit_unavailable", AUDIT, error),
            error @ IssueError::Interrupted => Self::internal(error),
        }
    }
}

impl From<TimestampError> for ApiError {
    fn from(error: TimestampError) -> Self {
        match error {
            TimestampError::Query(error) => {
                let message = format!("The timestamp request is refused: {error}");
                Self::new(Kind::InvalidRequest, error.reason(), message)
            }
            error @ TimestampError::Clock(ClockError::Stepped(_)) => {
                Self::unavailable("clock_stepped", CLOCK, error)
            }
            error @ TimestampError::Clock(ClockError::Unconfirmed) => {
                Self::unavailable("clock_unconfirmed", CLOCK, error)
            }
            error @ (TimestampError::Key(_) | TimestampError::CertificatesNotValid) => {
                Self::unavailable("timestamp_unavailable", TIMESTAMP, error)
            }
            error => Self::internal(error),
        }
    }
}

impl ApiError {
    fn from_token(error: &TokenError) -> Self {
        let retry_after = error.retry_after();
        let kind = match retry_after {
            None => Kind::InvalidRequest,
            Some(_) => Kind::Unavailable,
        };
        let is_ours = matches!(error, TokenError::IssuerUnavailable { .. });
        Self {
            retry_after,
            cause: is_ours.then(|| error.to_string().into()),
            ..Self::new(kind, error.reason(), format!("{IDENTITY_TOKEN}: {error}"))
        }
    }

    fn from_admission(error: &AdmissionError) -> Self {
        let (kind, retry_after) = match error {
            AdmissionError::ConditionNotMet { .. } => (Kind::Refused, None),
            AdmissionError::RateLimited(reached) => (Kind::LimitReached, Some(reached.retry_after)),
            AdmissionError::TooManyTokens => (Kind::Unavailable, Some(REPAIR_RETRY)),
            AdmissionError::KeyNotNamed(_) | AdmissionError::TokenUsed => (Kind::InvalidRequest, None),
        };
        Self {
            retry_after,
            ..Self::new(kind, error.reason(), format!("{IDENTITY_TOKEN}: {error}"))
        }
    }

    fn from_encoding(cause: der::Error) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                Kind::InvalidRequest,
                "san_invalid",
                format!("{IDENTITY_TOKEN}: its identity does not fit into a certificate"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tonic::Code;

    use super::{super::PROOF, *};
    use crate::{identity::IdentityError, proof::ProofError};

    #[test]
    fn refusals_of_the_authority_keep_fulcios_sentence_and_say_more() {
        for (error, reason, sentence) in [
            (
                IssueError::from(IdentityError::EmailNotVerified),
                "email_not_verified",
                IDENTITY_TOKEN,
            ),
            (
                IssueError::from(ProofError::CsrSignatureInvalid),
                "proof_signature_invalid",
                PROOF,
            ),
        ] {
            let error = ApiError::from(error);
            assert_eq!(error.codes(), (StatusCode::BAD_REQUEST, Code::InvalidArgument));
            assert_eq!(error.reason(), reason);
            assert!(error.message().starts_with(sentence), "{error}");
        }
    }
}
