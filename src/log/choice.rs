//! Which logs a precertificate goes to, and whose SCTs the certificate carries.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::try_join_all, stream::FuturesUnordered};
use tokio::time::{self, Instant};

use super::{
    EMBEDDED, VerifiedSct,
    external::{AttemptError, ExternalLog, ExternalLogSettings},
    in_process::{EmbeddedError, EmbeddedLog},
    submission::Submission,
};
use crate::{clock::Timestamp, issuer::Precertificate};

/// When the next log is asked although the one before it may still answer.
const STAGGER: Duration = Duration::from_millis(150);

/// All attempts of one issuance together. The server gives a request 30 s in all.
const BUDGET: Duration = Duration::from_secs(15);

/// Longest pause that a request waits for a log; a log that wants a longer one is not asked for this certificate again.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Attempts on one log for one certificate.
const ATTEMPTS: u32 = 3;

/// Whose SCTs a certificate carries. There is no certificate without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedding {
    /// One: that of the log in this process.
    Embedded,
    /// One: that of the first log that gives one. The log in this process is asked first, then the others in their order,
    /// each as soon as one before it failed or has not answered for 150 ms.
    First,
    /// One of each log.
    All,
}

/// A log that gives SCTs for certificates.
pub(super) enum Source {
    Embedded(EmbeddedLog),
    External(Arc<ExternalLog>),
}

/// What is to be logged, in the form that each kind of log wants.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) precertificate: &'a Precertificate,
    pub(super) submission: &'a Submission,
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Embedded(_) => EMBEDDED,
            Self::External(log) => log.name(),
        }
    }

    /// How it is configured, if it is elsewhere.
    pub(super) fn external(&self) -> Option<&ExternalLogSettings> {
        match self {
            Self::Embedded(_) => None,
            Self::External(log) => Some(log.settings()),
        }
    }

    fn covers(&self, not_after: Duration) -> bool {
        match self {
            Self::Embedded(log) => log.covers(not_after),
            Self::External(log) => log.covers(not_after),
        }
    }

    pub(super) fn health(&self, now: Timestamp) -> Result<(), String> {
        match self {
            Self::Embedded(log) => log.health(now),
            Self::External(log) => log.health(),
        }
    }

    async fn submit(&self, request: Request<'_>) -> Result<VerifiedSct, Failure> {
        match self {
            Self::Embedded(log) => Ok(log.submit(request.precertificate).await?),
            Self::External(log) => Ok(log.submit(request.submission).await?),
        }
    }

    /// The attempt of that number, from 0, after a pause.
    async fn attempt(&self, number: u32, pause: Duration, request: Request<'_>) -> Attempt<'_> {
        if !pause.is_zero() {
            time::sleep(pause).await;
        }
        let result = self.submit(request).await;
        Attempt {
            source: self,
            number,
            result,
        }
    }
}

struct Attempt<'a> {
    source: &'a Source,
    number: u32,
    result: Result<VerifiedSct, Failure>,
}

/// The SCTs that `embedding` asks for, of the logs that take certificates that end when this one does.
pub(super) async fn submit(
    sources: &[Source],
    embedding: Embedding,
    request: Request<'_>,
) -> Result<Vec<VerifiedSct>, NoSct> {
    let not_after = request.submission.not_after();
    let sources: Vec<&Source> = sources.iter().filter(|source| source.covers(not_after)).collect();
    if sources.is_empty() {
        return Err(NoSct(Vec::new()));
    }
    match embedding {
        Embedding::All => try_join_all(sources.iter().map(|source| first(vec![*source], request))).await,
        Embedding::Embedded | Embedding::First => Ok(vec![first(sources, request).await?]),
    }
}

/// The first SCT; the attempts that are under way then are given up.
async fn first(sources: Vec<&Source>, request: Request<'_>) -> Result<VerifiedSct, NoSct> {
    let deadline = Instant::now() + BUDGET;
    let mut failures = NoSct(Vec::new());
    let found = time::timeout_at(deadline, race((sources, deadline), request, &mut failures)).await;
    match found {
        Ok(Some(sct)) => Ok(sct),
        Ok(None) => Err(failures),
        Err(_) => {
            failures.0.push(("all logs".into(), Failure::Deadline));
            Err(failures)
        }
    }
}

async fn race(
    (sources, deadline): (Vec<&Source>, Instant),
    request: Request<'_>,
    failures: &mut NoSct,
) -> Option<VerifiedSct> {
    let mut waiting = sources.into_iter();
    let mut running = FuturesUnordered::new();
    running.push(waiting.next()?.attempt(0, Duration::ZERO, request));
    let mut stagger = Box::pin(time::sleep(STAGGER));
    loop {
        let is_next_due = tokio::select! {
            biased;
            ended = running.next() => {
                let Attempt { source, number, result } = ended?;
                let failure = match result {
                    Ok(sct) => return Some(sct),
                    Err(failure) => failure,
                };
                let again = failure.retry_after().filter(|pause| {
                    number.saturating_add(1) < ATTEMPTS && *pause <= LONGEST_PAUSE && Instant::now() + *pause < deadline
                });
                failures.0.push((source.name().into(), failure));
                if let Some(pause) = again {
                    running.push(source.attempt(number.saturating_add(1), pause, request));
                }
                true
            }
            () = &mut stagger, if waiting.len() > 0 => true,
        };
        if is_next_due && let Some(source) = waiting.next() {
            running.push(source.attempt(0, Duration::ZERO, request));
            stagger.as_mut().reset(Instant::now() + STAGGER);
        }
    }
}

/// No log that was asked gave an SCT, or none takes certificates that end when this one would.
#[derive(Debug)]
pub struct NoSct(Vec<(Arc<str>, Failure)>);

/// Why one log gave none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The log in this process.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A log elsewhere.
    #[error(transparent)]
    External(#[from] AttemptError),
    /// The time for the request is up.
    #[error("not done within {} s", BUDGET.as_secs())]
    Deadline,
}

impl Failure {
    /// The log in this process is busy with requests such as this one: to come back is for the caller to do.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::External(error) => error.retry_after(),
            Self::Embedded(_) | Self::Deadline => None,
        }
    }
}

impl fmt::Display for NoSct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(failures) = self;
        if failures.is_empty() {
            return f.write_str("no configured log takes certificates that end when this one would");
        }
        f.write_str("no certificate transparency log gave an SCT")?;
        for (index, (log, failure)) in failures.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{log}: {failure}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoSct {}
