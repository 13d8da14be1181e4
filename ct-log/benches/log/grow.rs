//! A log as it grows: memory, start, proofs, audit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ct_log::check::{Depth, StoredLog, check};
use ct_log::proof::Plan;
use ct_log::tree::{Hash, leaf_hash, node_hash};
use ct_log::{LeafIndex, Log, LogKey};
use tokio::runtime::Runtime;

use crate::disk::percentile;
use crate::load::{create, grow, machine, settings};

const STARTS: usize = 5;
const PROOFS: usize = 1000;

pub(crate) fn run(sizes: &[u64], entry_bytes: usize, keep: Option<PathBuf>) {
    let temporary = tempfile::tempdir().unwrap();
    let directory = keep.unwrap_or_else(|| temporary.path().join("log"));
    let runtime = Runtime::new().unwrap();
    println!("{}", machine());
    println!("entries     grown at entries/s  memory MB");
    let mut log = if directory.exists() {
        open(&directory)
    } else {
        create(&directory)
    };
    for size in sizes {
        let by = size.saturating_sub(log.size());
        let began = Instant::now();
        runtime.block_on(grow(&log, by, entry_bytes));
        let rate = by as f64 / began.elapsed().as_secs_f64();
        println!("{:10}  {rate:18.0}  {:9.1}", log.size(), memory());
    }
    runtime.block_on(log.shutdown());
    drop(log);
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        log = open(&directory);
        starts.push(began.elapsed());
        runtime.block_on(log.shutdown());
    }
    println!(
        "start, ms: median {:.1} of {STARTS}; files in the page cache",
        percentile(&mut starts, 0.5)
    );
    proofs(&runtime, &directory);
    index(&runtime, &directory);
    audit(&runtime, &directory);
}

/// Proofs of random places and sizes, from tiles that are verified as they are read.
fn proofs(runtime: &Runtime, directory: &Path) {
    let log = open(directory);
    let size = log.published_size();
    let random = || {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        u64::from_be_bytes(bytes) % size
    };
    let (mut inclusion, mut consistency) = (Vec::new(), Vec::new());
    for _ in 0..PROOFS {
        let included = Plan::inclusion(LeafIndex::new(random()).unwrap(), size).unwrap();
        let consistent = Plan::consistency(random(), size).unwrap();
        for (plan, times) in [(included, &mut inclusion), (consistent, &mut consistency)] {
            let began = Instant::now();
            runtime.block_on(log.prove(&plan)).unwrap().unwrap();
            times.push(began.elapsed());
        }
    }
    runtime.block_on(log.shutdown());
    for (name, times) in [("inclusion", &mut inclusion), ("consistency", &mut consistency)] {
        let [p50, p99] = [0.5, 0.99].map(|share| percentile(times, share));
        println!("{name} proof, ms: p50 {p50:.2}, p99 {p99:.2} of {PROOFS}");
    }
}

/// Makes the index anew, while the log is open.
fn index(runtime: &Runtime, directory: &Path) {
    let file = directory.join("index.redb");
    std::fs::remove_file(&file).unwrap();
    let began = Instant::now();
    let log = open(directory);
    let size = log.published_size();
    let nobody = Hash::new([0; 32]);
    while runtime.block_on(log.find_leaf(nobody, size)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = began.elapsed().as_secs_f64();
    let memory = memory();
    runtime.block_on(log.shutdown());
    println!(
        "index made anew: {took:.1} s, {:.0} entries/s, {:.0} bytes for an entry; memory {memory:.1} MB",
        size as f64 / took,
        std::fs::metadata(&file).unwrap().len() as f64 / size as f64,
    );
}

fn open(directory: &Path) -> Log {
    let key = LogKey::from_pkcs8_der(&std::fs::read(directory.with_extension("key")).unwrap()).unwrap();
    Log::open(settings(directory), key).unwrap()
}

/// The audit of the directory, beside the hashing that it cannot do without: each leaf and node once.
fn audit(runtime: &Runtime, directory: &Path) {
    let log = StoredLog::read(directory).unwrap();
    let began = Instant::now();
    let report = runtime.block_on(check(&log, (log.origin(), log.public_key()), Depth::Structure));
    let took = began.elapsed();
    assert!(report.is_sound(), "{report}");
    let entries = report.entries();
    let bytes = entry_bytes(directory, entries);
    let bound = hashing(entries, bytes);
    println!(
        "audit of {entries} entries of {bytes} bytes: {:.1} s, {:.0} entries/s; hashing alone {:.1} s, ratio {:.1}",
        took.as_secs_f64(),
        entries as f64 / took.as_secs_f64(),
        bound.as_secs_f64(),
        took.as_secs_f64() / bound.as_secs_f64(),
    );
}

/// Mean length of a `TileLeaf`, by the first data tile.
fn entry_bytes(directory: &Path, entries: u64) -> usize {
    let tile = std::fs::read(directory.join("tile/data/000")).unwrap_or_default();
    tile.len() / entries.clamp(1, 256) as usize
}

fn hashing(entries: u64, bytes: usize) -> Duration {
    let leaf = vec![0u8; bytes];
    let began = Instant::now();
    let mut last = leaf_hash(&[&leaf]);
    for _ in 0..entries {
        let hash = leaf_hash(&[&leaf]);
        last = node_hash(last, hash);
    }
    std::hint::black_box(last);
    began.elapsed()
}

fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1000.0
}
