//! Metrics of the certificate logs outside this process. The label is a name from the configuration.

use std::time::Instant;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// What the configured logs do; counted by them, read at each scrape.
#[derive(Clone, Debug)]
pub struct ExternalLogMetrics {
    submissions: IntCounterVec,
    latency: HistogramVec,
    breaker: IntGaugeVec,
    dropped: IntCounterVec,
}

/// The series of one log.
#[derive(Clone, Debug)]
pub(crate) struct ExternalLogSeries {
    submissions: IntCounterVec,
    name: String,
    latency: Histogram,
    breaker: IntGauge,
    dropped: IntCounter,
}

/// How an attempt to have an entry logged ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempted {
    /// An SCT that holds.
    Accepted,
    /// 429 or 503.
    SentAway,
    /// Another status.
    Refused,
    /// Something that is no SCT for the entry.
    BadAnswer,
    /// No answer in time.
    Unreachable,
    /// Given up, because another log was faster or the request's time was up.
    GivenUp,
}

/// An attempt under way; dropped without an end, it was given up.
#[derive(Debug)]
pub(crate) struct ObservedAttempt<'a> {
    metrics: &'a ExternalLogSeries,
    started: Instant,
    outcome: Attempted,
}

impl ExternalLogMetrics {
    /// # Errors
    /// A name that Prometheus does not allow.
    pub fn new() -> Result<Self, prometheus::Error> {
        let log = &["log"];
        Ok(Self {
            submissions: IntCounterVec::new(
                Opts::new(
                    "mayfly_external_log_submissions_total",
                    "Attempts to have an entry logged by an external log",
                ),
                &["log", "outcome"],
            )?,
            latency: HistogramVec::new(
                HistogramOpts::new(
                    "mayfly_external_log_submission_seconds",
                    "Time of an attempt on an external log, however it ended, in seconds",
                ),
                log,
            )?,
            breaker: IntGaugeVec::new(
                Opts::new(
                    "mayfly_external_log_breaker_open",
                    "1 while an external log keeps failing and is asked rarely",
                ),
                log,
            )?,
            dropped: IntCounterVec::new(
                Opts::new(
                    "mayfly_external_log_dropped_total",
                    "Entries that an informational log was not given, or did not take",
                ),
                log,
            )?,
        })
    }

    /// The series of the log of that name, which is a configured one.
    pub(crate) fn of(&self, name: &str) -> ExternalLogSeries {
        let of_log = [name];
        ExternalLogSeries {
            submissions: self.submissions.clone(),
            name: name.to_owned(),
            latency: self.latency.with_label_values(&of_log),
            breaker: self.breaker.with_label_values(&of_log),
            dropped: self.dropped.with_label_values(&of_log),
        }
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.submissions.clone()))?;
        registry.register(Box::new(self.latency.clone()))?;
        registry.register(Box::new(self.breaker.clone()))?;
        registry.register(Box::new(self.dropped.clone()))
    }
}

impl ExternalLogSeries {
    pub(crate) fn attempt(&self) -> ObservedAttempt<'_> {
        ObservedAttempt {
            metrics: self,
            started: Instant::now(),
            outcome: Attempted::GivenUp,
        }
    }

    pub(crate) fn breaker(&self, is_open: bool) {
        self.breaker.set(is_open.into());
    }

    pub(crate) fn dropped(&self) {
        self.dropped.inc();
    }
}

impl ObservedAttempt<'_> {
    pub(crate) fn end(mut self, outcome: Attempted) {
        self.outcome = outcome;
    }
}

impl Drop for ObservedAttempt<'_> {
    fn drop(&mut self) {
        let outcome = match self.outcome {
            Attempted::Accepted => "accepted",
            Attempted::SentAway => "sent_away",
            Attempted::Refused => "refused",
            Attempted::BadAnswer => "bad_answer",
            Attempted::Unreachable => "unreachable",
            Attempted::GivenUp => "given_up",
        };
        let labels = [self.metrics.name.as_str(), outcome];
        self.metrics.submissions.with_label_values(&labels).inc();
        let took = self.started.elapsed().as_secs_f64();
        self.metrics.latency.observe(took);
    }
}
