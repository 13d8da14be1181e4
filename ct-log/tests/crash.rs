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

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use ct_log::check::{self, Depth};
use ct_log::tree::{Frontier, sha256};
use ct_log::{
    Checkpoint, Entry, Fingerprint, Log, LogKey, LogSettings, Origin, PendingEntry, SequencedEntry,
    Submitter, Tile, TileKind,
};

const ROUNDS: u64 = 25;

/// Concurrent submitters in the child.
const SUBMITTERS: u64 = 16;

fn origin() -> Origin {
    Origin::new("ca.example.com/crash").unwrap()
}

fn open(directory: &Path) -> Log {
    let key = LogKey::from_pkcs8_der(&std::fs::read(directory.join("key")).unwrap()).unwrap();
    Log::open(
        LogSettings::new(directory.join("log"), origin()).min_free_bytes(0),
        key,
    )
    .unwrap()
}

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

/// Prints `entry <index> <timestamp> <SHA-256 of the TBS>` after each acknowledgement, and `tree <size> <root>` for what is published.
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
                let name = format!("entry {number} of {}", std::process::id());
                let tbs = name.repeat(1 + number as usize % 200).into_bytes();
                let pending = PendingEntry::precertificate(tbs, name.into_bytes(), [1; 32], issuers.clone());
                let entry = pending.entry().clone();
                let sct = log.submit(pending, Submitter::Internal).await.unwrap();
                sct.verify(&entry, log.public_key()).unwrap();
                let (index, time) = (sct.leaf_index().get(), sct.timestamp().get());
                say(&format!("entry {index} {time} {}", digest(&entry)));
                if number % 64 == 0 {
                    let seen = checkpoint(&log);
                    say(&format!("tree {} {}", seen.size(), seen.root()));
                }
            }
        });
    }
    // None ever ends well.
    submitters.join_next().await.unwrap().unwrap();
}

fn digest(entry: &Entry) -> Fingerprint {
    let Entry::Precertificate { tbs, .. } = entry else {
        unreachable!("only precertificates are submitted")
    };
    Fingerprint::new(sha256(tbs))
}

/// One line in one write.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn checkpoint(log: &Log) -> Checkpoint {
    Checkpoint::verify(&log.checkpoint(), log.origin(), log.public_key()).unwrap()
}

/// What was ever promised.
#[derive(Default)]
struct Promises {
    /// Index to timestamp and digest.
    entries: BTreeMap<u64, (u64, String)>,
    /// Size to root.
    trees: BTreeMap<u64, String>,
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

fn read_lines(lines: &mut impl BufRead, wanted: u64, promises: &mut Promises) {
    for _ in 0..wanted {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "entry" {
            let before = promises.entries.insert(
                words[1].parse().unwrap(),
                (words[2].parse().unwrap(), words[3].to_owned()),
            );
            assert_eq!(before, None, "index {} was given twice", words[1]);
        } else {
            let before = promises
                .trees
                .insert(words[1].parse().unwrap(), words[2].to_owned());
            assert!(
                before.is_none_or(|before| before == words[2]),
                "two trees of size {}",
                words[1]
            );
        }
    }
}

async fn verify(log: &Log, promises: &Promises) {
    let report = check::check(log, (log.origin(), log.public_key()), Depth::Structure).await;
    assert!(report.is_sound(), "{:?}", report.problems());
    let size = checkpoint(log).size();
    let mut frontier = Frontier::new();
    let mut promised = promises.entries.iter();
    for first in (0..size).step_by(256) {
        let width = u16::try_from((size - first).min(256)).unwrap();
        let tile = Tile::new(TileKind::Entries, first / 256, width).unwrap();
        let bytes = log.read_tile(tile).await.unwrap().unwrap();
        for entry in SequencedEntry::decode_all(&bytes).unwrap() {
            let index = entry.index().get();
            if promises.entries.contains_key(&index) {
                let held = (entry.timestamp().get(), digest(entry.entry()).to_string());
                assert_eq!(promised.next(), Some((&index, &held)));
            }
            if let Some(root) = promises.trees.get(&frontier.size()) {
                assert_eq!(root, &frontier.root().to_string(), "fork at {}", frontier.size());
            }
            frontier.push(entry.leaf_hash().unwrap());
        }
    }
    assert_eq!(
        promised.next(),
        None,
        "acknowledged, but not in the log of {size} entries"
    );
    let published = promises.trees.keys().next_back();
    assert!(
        published.is_none_or(|published| *published <= size),
        "{published:?} were published, {size} are left"
    );
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes)
}
