//! Metrics of the self-audit.

use ct_log::auditor::Round;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::Maker;

/// What was looked up in the public logs, each by its origin.
pub(super) struct SelfAuditMetrics {
    found: IntCounterVec,
    alarms: IntCounterVec,
    failing: IntGaugeVec,
    waiting: IntGaugeVec,
}

impl SelfAuditMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            found: make.counters(
                "mayfly_log_self_audit_found_total",
                "Entries that were found in the public log as their SCTs say",
                &["log"],
            )?,
            alarms: make.counters(
                "mayfly_log_self_audit_alarms_total",
                "Alarms of the self-audit of a log; must stay 0",
                &["log"],
            )?,
            failing: make.gauges(
                "mayfly_log_self_audit_failing",
                "1 while a public log is not what SCTs were given out for",
                &["log"],
            )?,
            waiting: make.gauges(
                "mayfly_log_self_audit_waiting_entries",
                "Entries with SCTs that were not found in the public log yet",
                &["log"],
            )?,
        })
    }

    pub(super) fn ended(&self, origin: &str, round: &Round, alarms: usize) {
        let label = [origin];
        self.found.with_label_values(&label).inc_by(round.found);
        self.alarms
            .with_label_values(&label)
            .inc_by(u64::try_from(alarms).unwrap_or(u64::MAX));
        self.failing.with_label_values(&label).set((alarms > 0).into());
        self.waiting
            .with_label_values(&label)
            .set(i64::try_from(round.waiting).unwrap_or(i64::MAX));
    }
}
