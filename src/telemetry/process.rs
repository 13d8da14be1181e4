//! Metrics of this process, under the names that Prometheus' client libraries give them. Read from
//! `/proc` (proc(5)) at each scrape; absent where there is none.

use std::{fs, time::Duration};

use prometheus::{
    Counter, Gauge, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

pub(super) struct ProcessMetrics {
    cpu: Counter,
    start: Gauge,
    threads: IntGauge,
    open_files: IntGauge,
    max_files: IntGauge,
    virtual_memory: IntGauge,
    max_virtual_memory: IntGauge,
    resident_memory: IntGauge,
}

/// What `/proc/self/stat` says, in its units.
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since boot.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl ProcessMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "User and system CPU time of this process, in seconds",
            )?,
            start: Gauge::new(
                "process_start_time_seconds",
                "When this process started, in seconds since 1970",
            )?,
            threads: IntGauge::new("process_threads", "Threads of this process")?,
            open_files: IntGauge::new("process_open_fds", "Open file descriptors")?,
            max_files: IntGauge::new("process_max_fds", "File descriptors that may be open")?,
            virtual_memory: IntGauge::new("process_virtual_memory_bytes", "Virtual memory in bytes")?,
            max_virtual_memory: IntGauge::new(
                "process_virtual_memory_max_bytes",
                "Virtual memory that may be had, in bytes; -1 if unlimited",
            )?,
            resident_memory: IntGauge::new("process_resident_memory_bytes", "Resident memory in bytes")?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 8] {
        [
            &self.cpu,
            &self.start,
            &self.threads,
            &self.open_files,
            &self.max_files,
            &self.virtual_memory,
            &self.max_virtual_memory,
            &self.resident_memory,
        ]
    }

    /// `None` without `/proc`.
    fn read(&self) -> Option<()> {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let boot = boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
        let used = seconds(stat.cpu_ticks).as_secs_f64() - self.cpu.get();
        self.cpu.inc_by(used.max(0.0));
        self.start.set((boot + seconds(stat.start_ticks)).as_secs_f64());
        set(&self.threads, Some(stat.threads));
        // Without the one by which they are counted.
        let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        set(&self.open_files, u64::try_from(open).ok());
        set(&self.max_files, getrlimit(Resource::Nofile).current);
        set(&self.virtual_memory, Some(stat.virtual_bytes));
        set(&self.max_virtual_memory, getrlimit(Resource::As).current);
        let page = u64::try_from(page_size()).ok()?;
        set(
            &self.resident_memory,
            Some(stat.resident_pages.saturating_mul(page)),
        );
        Some(())
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        match self.read() {
            Some(()) => self
                .collectors()
                .into_iter()
                .flat_map(Collector::collect)
                .collect(),
            None => Vec::new(),
        }
    }
}

impl Stat {
    /// The second field is the name of the program, in parentheses, which may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        // The first of these is the third of the line.
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// `btime` of `/proc/stat`.
fn boot_time(text: &str) -> Option<Duration> {
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().map(Duration::from_secs).ok()
}

fn seconds(ticks: u64) -> Duration {
    let millis = ticks.saturating_mul(1000) / clock_ticks_per_second().max(1);
    Duration::from_millis(millis)
}

/// -1 for what is unlimited, as the clients in C and Go show it.
fn set(gauge: &IntGauge, value: Option<u64>) {
    gauge.set(value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 5 0 4000 1048576 250 18446744073709551615";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks), (42, 5, 4000));
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (1_048_576, 250));
        assert!(Stat::parse("7 (x) S 1").is_none());
    }

    #[test]
    fn the_time_of_the_boot() {
        let text = "cpu 1 2\nbtime 1790000000\nprocesses 9\n";
        assert_eq!(boot_time(text), Some(Duration::from_secs(1_790_000_000)));
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }
}
