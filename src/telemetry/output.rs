//! What the output of the process counts: panics, and log lines that were dropped. Read at each scrape.

use ct_log::output;
use prometheus::{
    IntCounter,
    core::{Collector, Desc},
    proto::{Counter, Metric, MetricFamily},
};

/// Counters that are kept elsewhere, read at each scrape.
pub(super) struct OutputMetrics([(IntCounter, fn() -> u64); 2]);

impl OutputMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let panics = IntCounter::new(
            "mayfly_panics_total",
            "Panics, also those that were caught; must stay 0",
        )?;
        let dropped = IntCounter::new(
            "mayfly_log_lines_dropped_total",
            "Log lines that could not be written to standard error",
        )?;
        Ok(Self([(panics, output::panics), (dropped, output::dropped_lines)]))
    }
}

impl Collector for OutputMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().flat_map(|(counter, _)| counter.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let read = |(counter, read): &(IntCounter, fn() -> u64)| {
            // Two scrapes at once must not add the same twice, as `inc_by` would.
            let mut families = counter.collect();
            let metrics = families.iter_mut().flat_map(MetricFamily::mut_metric);
            metrics.for_each(|metric| set(metric, read()));
            families
        };
        self.0.iter().flat_map(read).collect()
    }
}

/// Counts beyond 2^53 are not exact, which is how the text format has all numbers.
#[expect(clippy::as_conversions, reason = "there is no other way from u64 to f64")]
fn set(metric: &mut Metric, count: u64) {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    metric.set_counter(counter);
}
