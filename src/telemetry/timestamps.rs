//! Metrics of the timestamp authority.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use super::Maker;

/// Requests for timestamps and how they ended.
pub(super) struct TimestampMetrics {
    outcomes: IntCounterVec,
    took: HistogramVec,
    clock_confirmed: IntGaugeVec,
    end: IntGaugeVec,
}

/// For what is there only once it is known.
const NO_LABELS: &[&str] = &[];

impl TimestampMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            outcomes: make.counters(
                "mayfly_timestamps_total",
                "Requests for timestamps, by `granted` or the stable reason of the refusal",
                &["outcome"],
            )?,
            took: make.histogram(
                "mayfly_timestamp_seconds",
                "Time to read a request for a timestamp and to answer it, in seconds",
                &["outcome"],
            )?,
            clock_confirmed: make.gauges(
                "mayfly_timestamp_clock_confirmed",
                "1 while the time servers of the configuration say that the clock is right",
                NO_LABELS,
            )?,
            end: make.gauges(
                "mayfly_timestamp_end_timestamp_seconds",
                "When the timestamp authority's chain is over, since the Unix epoch",
                NO_LABELS,
            )?,
        })
    }

    pub(super) fn clock_confirmed(&self, confirmed: bool) {
        self.clock_confirmed
            .with_label_values(NO_LABELS)
            .set(confirmed.into());
    }

    pub(super) fn signs_until(&self, end: Duration) {
        let seconds = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
        self.end.with_label_values(NO_LABELS).set(seconds);
    }

    /// `outcome` is of a bounded set.
    pub(super) fn ended(&self, outcome: &'static str, took: Duration) {
        self.outcomes.with_label_values(&[outcome]).inc();
        let kind = match outcome {
            "granted" => outcome,
            _ => "refused",
        };
        self.took.with_label_values(&[kind]).observe(took.as_secs_f64());
    }
}
