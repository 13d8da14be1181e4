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
    pub(super) fn of_issuer_file(make: &Maker) -> Result<Self, prometheus::Error> {
        Self::new(
            make,
            (
                "mayfly_issuer_file_reloads_total",
                "Readings of a changed issuer file",
            ),
            (
                "mayfly_issuer_file_refused",
                "1 while the issuer file on the disk has mistakes and an older one is in force",
            ),
        )
    }

    pub(super) fn of_configuration(make: &Maker) -> Result<Self, prometheus::Error> {
        Self::new(
            make,
            (
                "mayfly_configuration_reloads_total",
                "Readings of mayfly.yaml and the files of its CA and timestamp authority while serving",
            ),
            (
                "mayfly_configuration_refused",
                "1 if mayfly.yaml or a file of its CA or timestamp authority cannot be used as it is now, and what was in force \
                 before stays",
            ),
        )
    }

    /// Each metric by its name and its help.
    fn new(make: &Maker, outcomes: (&str, &str), refused: (&str, &str)) -> Result<Self, prometheus::Error> {
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
