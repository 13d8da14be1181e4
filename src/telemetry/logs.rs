//! Metrics of the logs that this process writes, read at each scrape. The label is the log's origin.

use std::time::UNIX_EPOCH;

use ct_log::{CommitTimes, Log, Phase};
use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use super::Logs;

const LABEL: &str = "log";

/// Asks the logs whenever it is asked.
pub(super) struct LogMetrics {
    logs: Logs,
    entries: IntGaugeVec,
    published: IntGaugeVec,
    checkpoint: IntGaugeVec,
    waiting: IntGaugeVec,
    usable: IntGaugeVec,
    window_end: IntGaugeVec,
    damages: IntGaugeVec,
    audited: IntGaugeVec,
    commits: Opts,
    commits_desc: Desc,
}

impl LogMetrics {
    pub(super) fn new(logs: Logs) -> Result<Self, prometheus::Error> {
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let commits = Opts::new(
            "mayfly_log_commit_seconds",
            "Time for a batch of entries to become durable, in seconds",
        );
        Ok(Self {
            logs,
            entries: gauges("mayfly_log_entries", "Durable entries of a log", &[LABEL])?,
            published: gauges(
                "mayfly_log_published_entries",
                "Entries that the newest checkpoint of a log covers",
                &[LABEL],
            )?,
            checkpoint: gauges(
                "mayfly_log_checkpoint_timestamp_seconds",
                "When the newest checkpoint of a log was signed, in seconds since 1970",
                &[LABEL],
            )?,
            waiting: gauges(
                "mayfly_log_waiting_entries",
                "Entries that wait to be written",
                &[LABEL, "submitter"],
            )?,
            usable: gauges(
                "mayfly_log_usable",
                "Whether a log takes entries now; /readyz says why not. Absent for shards that are over",
                &[LABEL],
            )?,
            window_end: gauges(
                "mayfly_log_window_end_timestamp_seconds",
                "When the window of a shard ends: certificates that end then or later need the next one; in seconds since 1970",
                &[LABEL],
            )?,
            damages: gauges(
                "mayfly_log_damages",
                "Files of a log that are not what it wrote; its readers get errors for them",
                &[LABEL],
            )?,
            audited: gauges(
                "mayfly_log_audited_timestamp_seconds",
                "When the last audit of all of a log ended, in seconds since 1970; 0 before the first",
                &[LABEL],
            )?,
            commits_desc: Desc::new(
                commits.name.clone(),
                commits.help.clone(),
                vec![LABEL.to_owned()],
                commits.const_labels.clone(),
            )?,
            commits,
        })
    }

    fn gauges(&self) -> [&IntGaugeVec; 8] {
        let Self {
            entries,
            published,
            checkpoint,
            waiting,
            usable,
            window_end,
            damages,
            audited,
            ..
        } = self;
        [
            entries, published, checkpoint, waiting, usable, window_end, damages, audited,
        ]
    }

    fn read(&self, log: &Log) -> Metric {
        let statistics = log.statistics();
        let name = log.origin().as_str();
        let set = |gauges: &IntGaugeVec, labels: &[&str], value: u64| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauges.with_label_values(labels).set(value);
        };
        let waiting = |waiting: usize| u64::try_from(waiting).unwrap_or(u64::MAX);
        set(&self.entries, &[name], statistics.entries);
        set(&self.published, &[name], statistics.published.size());
        let (internal, external) = (statistics.internal_waiting, statistics.external_waiting);
        set(&self.waiting, &[name, "internal"], waiting(internal));
        set(&self.waiting, &[name, "external"], waiting(external));
        if log.phase() == Phase::ReadOnly {
            // Nobody is to be alarmed because it takes nothing and signs nothing any more.
            for gauges in [&self.checkpoint, &self.usable] {
                let _ = gauges.remove_label_values(&[name]);
            }
        } else {
            let signed = statistics.published.timestamp().get() / 1000;
            set(&self.checkpoint, &[name], signed);
            set(&self.usable, &[name], log.health().is_ok().into());
        }
        if let Some(window) = log.window() {
            let end = window.end().duration_since(UNIX_EPOCH).unwrap_or_default();
            set(&self.window_end, &[name], end.as_secs());
        }
        let damages = u64::try_from(statistics.damages).unwrap_or(u64::MAX);
        set(&self.damages, &[name], damages);
        let audited = statistics.audited.map_or(0, |ended| ended.get() / 1000);
        set(&self.audited, &[name], audited);
        commit_times(name, &statistics.commits)
    }
}

impl Collector for LogMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges().into_iter().flat_map(Collector::desc);
        gauges.chain([&self.commits_desc]).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let times: Vec<Metric> = (self.logs)().iter().map(|log| self.read(log)).collect();
        let mut families: Vec<_> = self.gauges().into_iter().flat_map(Collector::collect).collect();
        let mut commits = MetricFamily::default();
        commits.set_name(self.commits.name.clone());
        commits.set_help(self.commits.help.clone());
        commits.set_field_type(MetricType::HISTOGRAM);
        commits.set_metric(times);
        families.push(commits);
        families
    }
}

fn commit_times(log: &str, times: &CommitTimes) -> Metric {
    let mut histogram = Histogram::default();
    let bucket = |(bound, count): &(std::time::Duration, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(*count);
        bucket
    };
    histogram.set_bucket(times.classes.iter().map(bucket).collect());
    histogram.set_sample_count(times.count);
    histogram.set_sample_sum(times.sum.as_secs_f64());
    let mut label = LabelPair::default();
    label.set_name(LABEL.to_owned());
    label.set_value(log.to_owned());
    let mut metric = Metric::from_label(vec![label]);
    metric.set_histogram(histogram);
    metric
}
