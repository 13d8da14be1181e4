//! Metrics of private keys outside this process. `key` is what the key is for, from a fixed set and the configuration;
//! `backend` the scheme of its URI.

use std::time::Instant;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// What the keys do; counted by them, read at each scrape.
#[derive(Clone, Debug)]
pub struct KeyMetrics {
    signatures: IntCounterVec,
    latency: HistogramVec,
    breaker: IntGaugeVec,
}

/// The series of one key.
#[derive(Clone, Debug)]
pub(crate) struct KeySeries {
    signatures: IntCounterVec,
    labels: [String; 2],
    latency: Histogram,
    breaker: IntGauge,
}

/// How an attempt to have something signed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// With a signature that holds.
    Yes,
    /// With no answer in time.
    Late,
    /// With too many requests.
    Throttled,
    /// With a refusal that would be repeated.
    Refused,
    /// With a failure that may pass.
    Failed,
    /// With a signature that does not hold.
    Wrong,
    /// Given up by who asked.
    GivenUp,
}

/// An attempt under way; dropped without an end, it was given up.
#[derive(Debug)]
pub(crate) struct ObservedSignature<'a> {
    series: &'a KeySeries,
    started: Instant,
    outcome: Signed,
}

impl KeyMetrics {
    /// # Errors
    /// A name that Prometheus does not allow.
    pub fn new() -> Result<Self, prometheus::Error> {
        let labels = &["key", "backend"];
        Ok(Self {
            signatures: IntCounterVec::new(
                Opts::new(
                    "mayfly_key_signatures_total",
                    "Attempts to have a key outside this process sign",
                ),
                &["key", "backend", "outcome"],
            )?,
            latency: HistogramVec::new(
                HistogramOpts::new(
                    "mayfly_key_signing_seconds",
                    "Time of an attempt to have a key outside this process sign, however it ended, in seconds",
                ),
                labels,
            )?,
            breaker: IntGaugeVec::new(
                Opts::new(
                    "mayfly_key_breaker_open",
                    "1 while a key's service keeps failing and is asked rarely",
                ),
                labels,
            )?,
        })
    }

    /// The series of the key of that name, which is for something that is configured.
    pub(crate) fn of(&self, key: &str, backend: &str) -> KeySeries {
        let labels = [key, backend];
        KeySeries {
            signatures: self.signatures.clone(),
            labels: labels.map(str::to_owned),
            latency: self.latency.with_label_values(&labels),
            breaker: self.breaker.with_label_values(&labels),
        }
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.signatures.clone()))?;
        registry.register(Box::new(self.latency.clone()))?;
        registry.register(Box::new(self.breaker.clone()))
    }
}

impl KeySeries {
    pub(crate) fn attempt(&self) -> ObservedSignature<'_> {
        ObservedSignature {
            series: self,
            started: Instant::now(),
            outcome: Signed::GivenUp,
        }
    }

    pub(crate) fn breaker(&self, is_open: bool) {
        self.breaker.set(is_open.into());
    }
}

impl ObservedSignature<'_> {
    pub(crate) fn ended(mut self, outcome: Signed) {
        self.outcome = outcome;
    }
}

impl Drop for ObservedSignature<'_> {
    fn drop(&mut self) {
        let [key, backend] = &self.series.labels;
        let outcome = match self.outcome {
            Signed::Yes => "ok",
            Signed::Late => "timeout",
            Signed::Throttled => "throttled",
            Signed::Refused => "refused",
            Signed::Failed => "failed",
            Signed::Wrong => "wrong_signature",
            Signed::GivenUp => "given_up",
        };
        self.series
            .signatures
            .with_label_values(&[key.as_str(), backend, outcome])
            .inc();
        self.series.latency.observe(self.started.elapsed().as_secs_f64());
    }
}
