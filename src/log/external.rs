//! A log that others run, or that runs elsewhere: how it is configured, and one attempt to have an entry logged there.
//!
//! Nothing that a log answers is believed: its SCT is used only if the key that the operator pinned signed it, for this very
//! precertificate, at a time that can be true.

mod exchange;

use std::{ops::Range, sync::Arc, time::Duration};

use ct_log::{ExternalLogKey, ExternalSct, LogSpec, external::ExternalSctError, remote::CodingError};
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};
use url::Url;

use self::exchange::Endpoint;
pub use self::exchange::EndpointError;
use super::{VerifiedSct, submission::Submission};
use crate::{
    breaker::{Breaker, Leave, Rests},
    clock::{Clock, Timestamp},
    telemetry::{Attempted, ExternalLogMetrics, ExternalLogSeries},
};

/// The submission endpoint below a log's URL (RFC 6962 section 4.2).
const ADD_PRE_CHAIN: &str = "ct/v1/add-pre-chain";

/// One attempt, from the first packet to the last of the answer. Static logs answer once the entry is published, which
/// takes a second or two.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Attempts on one log at the same time; more wait for their turn.
const CONCURRENT_ATTEMPTS: usize = 64;

/// For how long a log that keeps failing is left alone.
const RESTS: Rests = Rests {
    first: Duration::from_secs(10),
    longest: Duration::from_secs(160),
};

/// At least, between two attempts on a log for the same entry.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How far a log's clock may be from ours.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// What becomes of a log's SCTs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Certificates may carry them, as the policy says.
    Embed,
    /// They are kept in the audit record. Whatever the log does, nothing is delayed or refused.
    Informational,
}

/// A log as the operator configured it.
#[derive(Clone, Debug)]
pub struct ExternalLogSettings {
    /// Its name in metrics, log lines and the audit record.
    pub name: Arc<str>,
    /// Its submission prefix, to which `/ct/v1/add-pre-chain` is added.
    pub url: Url,
    /// The key that its SCTs must be signed with.
    pub key: ExternalLogKey,
    /// What it promises to be.
    pub spec: LogSpec,
    /// What becomes of its SCTs.
    pub purpose: Use,
    /// The ends of validity that it takes, since the Unix epoch: from the first, before the second.
    pub not_after: Range<Duration>,
    /// PEM certificates, one of which must be above its TLS certificate; those of this machine otherwise.
    pub roots: Option<Arc<[u8]>>,
}

/// A configured log, with what is known of its health.
pub(super) struct ExternalLog {
    settings: ExternalLogSettings,
    endpoint: Endpoint,
    breaker: Breaker,
    places: Semaphore,
    metrics: ExternalLogSeries,
    clock: Arc<dyn Clock>,
}

impl ExternalLog {
    pub(super) fn new(
        settings: ExternalLogSettings,
        metrics: &ExternalLogMetrics,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EndpointError> {
        Ok(Self {
            endpoint: Endpoint::new(endpoint_url(&settings.url), settings.roots.as_deref())?,
            breaker: Breaker::new(RESTS),
            places: Semaphore::new(CONCURRENT_ATTEMPTS),
            metrics: metrics.of(&settings.name),
            settings,
            clock,
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    pub(super) fn settings(&self) -> &ExternalLogSettings {
        &self.settings
    }

    pub(super) fn metrics(&self) -> &ExternalLogSeries {
        &self.metrics
    }

    /// Whether it takes certificates that end then.
    pub(super) fn covers(&self, not_after: Duration) -> bool {
        self.settings.not_after.contains(&not_after)
    }

    /// # Errors
    /// The breaker is open.
    pub(super) fn health(&self) -> Result<(), String> {
        match self.breaker.is_open() {
            true => Err(format!("the log {} keeps failing", self.name())),
            false => Ok(()),
        }
    }

    /// One attempt. Given up early, the entry may be in the log nevertheless.
    pub(super) async fn submit(&self, submission: &Submission) -> Result<VerifiedSct, AttemptError> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(AttemptError::Timeout);
        };
        let leave = self.breaker.ask(Instant::now());
        let leave = leave.map_err(|retry_after| AttemptError::Resting { retry_after })?;
        let observed = self.metrics.attempt();
        let attempt = time::timeout(ATTEMPT_TIMEOUT, self.attempt(submission));
        let result = attempt.await.unwrap_or(Err(AttemptError::Timeout));
        observed.end(
            result
                .as_ref()
                .map_or_else(AttemptError::outcome, |_| Attempted::Accepted),
        );
        self.settle(leave, result.as_ref().err());
        result
    }

    async fn attempt(&self, submission: &Submission) -> Result<VerifiedSct, AttemptError> {
        let answer = self.endpoint.post(submission.body()).await?;
        let sct = ExternalSct::from_json(&answer)?;
        let ExternalLogSettings { name, key, spec, .. } = &self.settings;
        sct.verify(submission.entry(), key, *spec)?;
        check_time(&sct, submission.made(), self.clock.now())?;
        Ok(VerifiedSct::external(Arc::clone(name), &sct))
    }

    fn settle(&self, leave: Leave<'_>, error: Option<&AttemptError>) {
        let was_open = self.breaker.is_open();
        match error {
            None => leave.succeeded(),
            Some(AttemptError::SentAway { retry_after, .. }) => leave.sent_away(Instant::now(), *retry_after),
            Some(_) => leave.failed(Instant::now()),
        }
        let is_open = self.breaker.is_open();
        self.metrics.breaker(is_open);
        let log = &*self.settings.name;
        if let Some(error) = error {
            let error: &dyn std::error::Error = error;
            tracing::warn!(log, error, "a certificate log gave no SCT");
        }
        match (was_open, is_open) {
            (false, true) => {
                tracing::error!(log, "the certificate log keeps failing: it is asked rarely now");
            }
            (true, false) => tracing::info!(log, "the certificate log works again"),
            _ => {}
        }
    }
}

fn endpoint_url(prefix: &Url) -> Url {
    let mut url = prefix.clone();
    url.set_path(&format!(
        "{}/{ADD_PRE_CHAIN}",
        prefix.path().trim_end_matches('/')
    ));
    url
}

/// A log that has the entry already, because an earlier attempt got through, answers with the SCT of then. But no log can
/// have had it before it was made.
fn check_time(sct: &ExternalSct, made: Timestamp, now: Timestamp) -> Result<(), AttemptError> {
    let promised = Timestamp::from_unix(Duration::from_millis(sct.timestamp().get()));
    if promised < made.minus(CLOCK_TOLERANCE) || promised > now.plus(CLOCK_TOLERANCE) {
        return Err(AttemptError::Clock);
    }
    Ok(())
}

/// Why a log gave no SCT that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// It failed too often, or asked for a pause: it was not asked.
    #[error("it is left alone for another {} s", retry_after.as_secs())]
    Resting {
        /// Until it may be asked again.
        retry_after: Duration,
    },
    /// Its TLS certificate is not trusted.
    #[error("{0}")]
    Certificate(String),
    /// No connection, or the exchange broke off.
    #[error("the request failed")]
    Transport(#[source] reqwest::Error),
    /// Not done in time.
    #[error("it did not answer in time")]
    Timeout,
    /// 429 or 503.
    #[error("it is overloaded (status {status})")]
    SentAway {
        /// The status.
        status: u16,
        /// When to come back.
        retry_after: Duration,
    },
    /// Not 200; redirects are not followed.
    #[error("it answered with status {0} (redirects are not followed)")]
    Status(u16),
    /// More than 64 KiB.
    #[error("its answer is larger than 64 KiB")]
    TooLarge,
    /// The answer is encoded, and cannot be decoded.
    #[error("its answer {0}")]
    Coding(CodingError),
    /// The answer is no SCT for the entry.
    #[error(transparent)]
    Sct(#[from] ExternalSctError),
    /// The SCT is from before the precertificate, or from the future.
    #[error("its SCT is from before the precertificate or from the future: its clock is wrong, or ours")]
    Clock,
}

impl AttemptError {
    /// How long to wait before it is worth trying again; never if it is the log's doing that it did not work.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Resting { retry_after } | Self::SentAway { retry_after, .. } => {
                Some((*retry_after).max(RETRY_PAUSE))
            }
            Self::Certificate(_) | Self::Transport(_) | Self::Timeout | Self::Status(500..) => {
                Some(RETRY_PAUSE)
            }
            Self::Status(_) | Self::TooLarge | Self::Coding(_) | Self::Sct(_) | Self::Clock => None,
        }
    }

    fn outcome(&self) -> Attempted {
        match self {
            Self::Certificate(_) | Self::Transport(_) | Self::Timeout | Self::Resting { .. } => {
                Attempted::Unreachable
            }
            Self::SentAway { .. } => Attempted::SentAway,
            Self::Status(_) => Attempted::Refused,
            Self::TooLarge | Self::Coding(_) | Self::Sct(_) | Self::Clock => Attempted::BadAnswer,
        }
    }
}
