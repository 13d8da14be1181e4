//! The log is killed with SIGKILL in the middle of a burst, again and again, and must hold every entry that it acknowledged
//! and every tree that it published (C1, C2, C10).
//!
//! This program is its own child: with `CRASH_CHILD` set it opens the log there, submits without end, and prints each
//! acknowledgement. `CRASH_ROUNDS` sets the number of kills.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

#[path = "support/promises.rs"]
mod promises;

use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use ct_log::{Log, LogKey, LogSettings};
use promises::{Promises, open, origin, read_lines, submit, verify};

const ROUNDS: u64 = 25;

/// Concurrent submitters in the child.
const SUBMITTERS: u64 = 16;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match std::env::var_os("CRASH_CHILD") {
        Some(directory) => runtime.block_on(submit_without_end(Path::new(&directory))),
        None => runtime.block_on(kill_and_verify()),
    }
}

async fn submit_without_end(directory: &Path) {
    let log = open(directory);
    let issuers = log.store_issuers(&[b"issuer"]).unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        let (log, issuers, next) = (log.clone(), issuers.clone(), Arc::clone(&next));
        submitters.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                submit(&log, &issuers, number).await.unwrap();
            }
        });
    }
    // None ever ends well.
    submitters.join_next().await.unwrap().unwrap();
}

async fn kill_and_verify() {
    let rounds = std::env::var("CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let key = LogKey::generate().unwrap();
    std::fs::write(directory.path().join("key"), &*key.to_pkcs8_der().unwrap()).unwrap();
    let settings = LogSettings::new(directory.path().join("log"), origin()).min_free_bytes(0);
    Log::create(settings, key).unwrap().shutdown().await;
    let mut promises = Promises::default();
    for round in 0..rounds {
        run_and_kill(directory.path(), random(), &mut promises);
        verify(&open(directory.path()), &promises).await;
        print!(
            "\rround {}: {} entries acknowledged",
            round + 1,
            promises.entries.len()
        );
        std::io::stdout().flush().unwrap();
    }
    println!();
    assert!(
        promises.entries.len() as u64 > rounds * 20,
        "the child did almost nothing"
    );
}

/// Kills the child after a random number of lines, or, one time in four, after a random time, which may be in its recovery.
fn run_and_kill(directory: &Path, random: u64, promises: &mut Promises) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env("CRASH_CHILD", directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    if random.is_multiple_of(4) {
        std::thread::sleep(Duration::from_micros(random >> 8 & 0xffff));
    } else {
        let wanted = random >> 8 & 0x1ff;
        read_lines(&mut lines, wanted, promises);
    }
    child.kill().unwrap();
    read_lines(&mut lines, u64::MAX, promises);
    child.wait().unwrap();
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes)
}
