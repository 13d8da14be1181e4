//! Metrics of the logs' witnesses, read at each scrape. Labels are the logs' origins and the names in the witnesses' keys, which
//! are configured both.

use ct_log::Log;
use prometheus::{
    IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::Logs;

/// Asks the logs whenever it is asked.
pub(super) struct WitnessMetrics {
    logs: Logs,
    requests: IntCounterVec,
    cosigned: IntGaugeVec,
    witnessed: IntGaugeVec,
}

impl WitnessMetrics {
    pub(super) fn new(logs: Logs) -> Result<Self, prometheus::Error> {
        Ok(Self {
            logs,
            requests: IntCounterVec::new(
                Opts::new(
                    "mayfly_log_witness_requests_total",
                    "Checkpoints submitted to a witness, by outcome; `ahead` and `inconsistent` say that it contradicts the log",
                ),
                &["log", "witness", "outcome"],
            )?,
            cosigned: IntGaugeVec::new(
                Opts::new(
                    "mayfly_log_witness_cosigned_timestamp_seconds",
                    "When a witness last cosigned, by its clock, in seconds since 1970",
                ),
                &["log", "witness"],
            )?,
            witnessed: IntGaugeVec::new(
                Opts::new(
                    "mayfly_log_witnessed_timestamp_seconds",
                    "When a quorum of the witnesses last cosigned a checkpoint, in seconds since 1970",
                ),
                &["log"],
            )?,
        })
    }

    fn read(&self, log: &Log) {
        let (statistics, name) = (log.statistics(), log.origin().as_str());
        let seconds = |millis: u64| i64::try_from(millis / 1000).unwrap_or(i64::MAX);
        for witness in &statistics.witnesses {
            for (outcome, count) in &witness.outcomes {
                let labels = [name, &witness.name, outcome.as_str()];
                let requests = self.requests.with_label_values(&labels);
                requests.reset();
                requests.inc_by(*count);
            }
            if let Some(time) = witness.cosigned {
                let cosigned = self.cosigned.with_label_values(&[name, &witness.name]);
                cosigned.set(seconds(time.get()));
            }
        }
        if let Some(time) = statistics.witnessed_at {
            self.witnessed.with_label_values(&[name]).set(seconds(time.get()));
        }
    }

    fn collectors(&self) -> [&dyn Collector; 3] {
        [&self.requests, &self.cosigned, &self.witnessed]
    }
}

impl Collector for WitnessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.logs)().iter().for_each(|log| self.read(log));
        self.collectors()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}
