//! What a log in another process acknowledged and published, one line each, and that it is all there afterwards.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;

use ct_log::check::{self, Depth};
use ct_log::tree::{Frontier, sha256};
use ct_log::{
    Checkpoint, Entry, Fingerprint, IssuerChain, Log, LogKey, LogSettings, Origin, PendingEntry,
    SequencedEntry, SubmitError, Submitter, Tile, TileKind,
};

pub(crate) fn origin() -> Origin {
    Origin::new("ca.example.com/crash").unwrap()
}

pub(crate) fn open(directory: &Path) -> Log {
    let key = LogKey::from_pkcs8_der(&std::fs::read(directory.join("key")).unwrap()).unwrap();
    Log::open(
        LogSettings::new(directory.join("log"), origin()).min_free_bytes(0),
        key,
    )
    .unwrap()
}

/// Submits one entry and prints `entry <index> <timestamp> <SHA-256 of the TBS>` after its acknowledgement, and now and then
/// `tree <size> <root>` for what is published.
pub(crate) async fn submit(log: &Log, issuers: &IssuerChain, number: u64) -> Result<(), SubmitError> {
    let name = format!("entry {number} of {}", std::process::id());
    let tbs = name.repeat(1 + number as usize % 200).into_bytes();
    let pending = PendingEntry::precertificate(tbs, name.into_bytes(), [1; 32], issuers.clone());
    let entry = pending.entry().clone();
    let sct = log.submit(pending, Submitter::Internal).await?;
    sct.verify(&entry, log.public_key()).unwrap();
    let (index, time) = (sct.leaf_index().get(), sct.timestamp().get());
    say(&format!("entry {index} {time} {}", digest(&entry)));
    if number.is_multiple_of(64) {
        say_tree(log);
    }
    Ok(())
}

pub(crate) fn say_tree(log: &Log) {
    let seen = checkpoint(log);
    say(&format!("tree {} {}", seen.size(), seen.root()));
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
pub(crate) struct Promises {
    /// Index to timestamp and digest.
    pub(crate) entries: BTreeMap<u64, (u64, String)>,
    /// Size to root.
    pub(crate) trees: BTreeMap<u64, String>,
}

pub(crate) fn read_lines(lines: &mut impl BufRead, wanted: u64, promises: &mut Promises) {
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

pub(crate) async fn verify(log: &Log, promises: &Promises) {
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
