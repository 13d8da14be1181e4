//! Metrics of files that are read again while serving.

use prometheus::{IntCounterVec, IntGauge};

use super::Maker;

/// How a reading of a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is in force.
    Applied,
    /// It has mistakes, and the one before is in force.
    Refused,
}

/// What is counted of one file, or of files that count together.
pub(super) struct ReloadMetrics {
    outcomes: IntCounterVec,
    refused: IntGauge,
}

impl ReloadMetrics {
    /// Each metric by its name and its help.
    pub(super) fn new(
        make: &Maker,
        outcomes: (&str, &str),
        refused: (&str, &str),
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            outcomes: make.counters(outcomes.0, outcomes.1, &["outcome"])?,
            refused: make.gauge(refused.0, refused.1)?,
        })
    }

    pub(super) fn ended(&self, outcome: Reload) {
        let label = match outcome {
            Reload::Applied => "applied",
            Reload::Refused => "refused",
        };
        self.outcomes.with_label_values(&[label]).inc();
        self.refused.set((outcome == Reload::Refused).into());
    }
}
