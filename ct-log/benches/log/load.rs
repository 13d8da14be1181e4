//! Submitters in a closed loop, in turns with the bare disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ct_log::{IssuerChain, Log, LogKey, LogSettings, Origin, PendingEntry, Submitter};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::disk::{percentile, syncs};

/// Turns of each: what else the machine does meets both.
const TURNS: u32 = 6;

pub(crate) fn run(submitters: &[usize], during: Duration, entry_bytes: usize) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let log = create(&directory.path().join("log"));
    println!("{}", machine());
    println!("submitters  entries/s  p50 ms  p99 ms  fdatasync p50 ms  p99 ms  aim p50 ms  aim p99 ms");
    for count in submitters {
        let (mut latencies, mut bare, mut busy) = (Vec::new(), Vec::new(), Duration::ZERO);
        for _ in 0..TURNS {
            bare.extend(syncs(directory.path(), during / (2 * TURNS)));
            let began = Instant::now();
            let turn = submit(&log, *count, during / (2 * TURNS), entry_bytes);
            latencies.extend(runtime.block_on(turn));
            busy += began.elapsed();
        }
        let rate = latencies.len() as f64 / busy.as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|share| percentile(&mut latencies, share));
        let [disk50, disk99] = [0.5, 0.99].map(|share| percentile(&mut bare, share));
        let (aim50, aim99) = (1.5 * disk50 + 1.0, 2.5 * disk99 + 1.0);
        println!(
            "{count:10}  {rate:9.0}  {p50:6.2}  {p99:6.2}  {disk50:16.2}  {disk99:6.2}  {aim50:10.2}  {aim99:10.2}"
        );
    }
    runtime.block_on(log.shutdown());
}

pub(crate) async fn submit(
    log: &Log,
    submitters: usize,
    during: Duration,
    entry_bytes: usize,
) -> Vec<Duration> {
    let issuers = log.store_issuers(&[b"issuer"]).unwrap();
    let until = Instant::now() + during;
    let mut tasks = JoinSet::new();
    for _ in 0..submitters {
        let (log, issuers) = (log.clone(), issuers.clone());
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let entry = entry(entry_bytes, &issuers);
                let start = Instant::now();
                log.submit(entry, Submitter::Internal).await.unwrap();
                times.push(start.elapsed());
            }
            times
        });
    }
    tasks.join_all().await.concat()
}

pub(crate) fn create(directory: &std::path::Path) -> Log {
    let key = LogKey::generate().unwrap();
    std::fs::create_dir_all(directory.parent().unwrap()).unwrap();
    std::fs::write(directory.with_extension("key"), &*key.to_pkcs8_der().unwrap()).unwrap();
    Log::create(settings(directory), key).unwrap()
}

pub(crate) fn settings(directory: &std::path::Path) -> LogSettings {
    LogSettings::new(directory, Origin::new("bench.example.com/log").unwrap())
}

/// An entry like no other of this run.
pub(crate) fn entry(bytes: usize, issuers: &IssuerChain) -> PendingEntry {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut precertificate = vec![0x30; bytes.max(number.len())];
    precertificate[..number.len()].copy_from_slice(&number);
    let tbs = precertificate[..precertificate.len() * 3 / 4].to_vec();
    PendingEntry::precertificate(tbs, precertificate, [1; 32], issuers.clone())
}

pub(crate) fn machine() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load: Vec<_> = load.split(' ').take(3).collect();
    let cpus = std::thread::available_parallelism().unwrap();
    format!("{cpus} CPUs, load average {} at the start", load.join(" "))
}

/// Grows the log by that many entries as fast as it goes.
pub(crate) async fn grow(log: &Log, by: u64, entry_bytes: usize) {
    const SUBMITTERS: u64 = 512;
    let issuers = log.store_issuers(&[b"issuer"]).unwrap();
    let left = Arc::new(AtomicU64::new(by));
    let mut tasks = JoinSet::new();
    for _ in 0..SUBMITTERS {
        let (log, issuers, left) = (log.clone(), issuers.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                log.submit(entry(entry_bytes, &issuers), Submitter::Internal)
                    .await
                    .unwrap();
            }
        });
    }
    tasks.join_all().await;
}
