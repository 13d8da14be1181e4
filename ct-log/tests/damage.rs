//! Bits that flip where they are kept, below a log that is open: no reader gets them for what the log wrote, and the log says that
//! it is damaged (C7, C9).
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use ct_log::check::{Depth, Source, SourceError, check};
use ct_log::{Entry, Fingerprint, Log, LogPublicKey, LogSettings, SequencedEntry, Tile};
use support::{origin, reopened_directory};

const ENTRIES: u64 = 600;

fn open(directory: &Path, key: &LogPublicKey, scrub_every: Duration) -> Log {
    let settings = LogSettings::new(directory, origin()).scrub_every(scrub_every);
    Log::open_read_only(settings, Some(key)).unwrap()
}

/// Puts one byte of a file in the place of another.
fn overwrite(path: &Path, position: usize, byte: u8) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[byte], u64::try_from(position).unwrap())
        .unwrap();
}

async fn read(log: &Log, path: &str) -> Result<Vec<u8>, SourceError> {
    if let Some(fingerprint) = path.strip_prefix("issuer/") {
        let fingerprint: [u8; 32] = hex::decode(fingerprint).unwrap().try_into().unwrap();
        return Source::issuer(log, Fingerprint::new(fingerprint)).await;
    }
    Source::tile(log, path.parse::<Tile>().unwrap()).await
}

/// Every file of full tiles and issuers.
fn immutable(directory: &Path) -> Vec<String> {
    let files = support::files(directory);
    let paths = files
        .iter()
        .map(|path| path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
    paths
        .filter(|path| path.starts_with("tile/") || path.starts_with("issuer/"))
        .collect()
}

/// Whether two data tiles differ in nothing that the tree covers.
fn same_leaves(one: &[u8], other: &[u8]) -> bool {
    let leaves = |bytes| {
        let entries = SequencedEntry::decode_all(bytes).unwrap();
        entries
            .iter()
            .map(|entry| entry.leaf_hash().unwrap())
            .collect::<Vec<_>>()
    };
    leaves(one) == leaves(other)
}

#[tokio::test]
async fn no_flipped_bit_is_served_as_part_of_the_tree() {
    let (directory, key) = reopened_directory(ENTRIES).await;
    let log = open(directory.path(), &key, Duration::MAX);
    let paths = immutable(directory.path());
    assert_eq!(paths.len(), 2 + 2 + 2, "{paths:?}");
    let (mut flips, mut uncovered) = (0, 0);
    for path in &paths {
        let file = directory.path().join(path);
        let good = fs::read(&file).unwrap();
        let stride = if path.starts_with("tile/data/") { 211 } else { 1 };
        for position in (0..good.len()).step_by(stride) {
            overwrite(&file, position, good[position] ^ 1 << (position % 8));
            flips += 1;
            if let Ok(served) = read(&log, path).await {
                assert!(path.starts_with("tile/data/"), "{path} byte {position}");
                assert!(same_leaves(&served, &good), "{path} byte {position}");
                uncovered += 1;
                if uncovered % 200 == 1 {
                    let report = check(&log, (&origin(), &key), Depth::Certificates).await;
                    assert!(!report.is_sound(), "{path} byte {position}");
                }
            }
            overwrite(&file, position, good[position]);
        }
        assert_eq!(read(&log, path).await.unwrap(), good);
    }
    assert!(flips > 15_000, "{flips} flips");
    assert!(uncovered > 100, "{uncovered} of {flips} were of precertificates");
    assert!(log.statistics().damages >= paths.len());
}

/// A partial tile that is cut from a damaged one, and proofs that need one, are no better.
#[tokio::test]
async fn what_is_made_of_a_damaged_tile_is_refused() {
    let (directory, key) = reopened_directory(ENTRIES).await;
    let log = open(directory.path(), &key, Duration::MAX);
    for path in ["tile/0/000", "tile/data/000"] {
        let file = directory.path().join(path);
        let good = fs::read(&file).unwrap();
        overwrite(&file, good.len() - 10, good[good.len() - 10] ^ 1);
        let narrow: Tile = format!("{path}.p/1").parse().unwrap();
        let narrow = log.read_tile(narrow).await;
        let first = ct_log::LeafIndex::new(0).unwrap();
        if path == "tile/0/000" {
            narrow.unwrap_err();
            let plan = ct_log::proof::Plan::inclusion(first, ENTRIES).unwrap();
            log.prove(&plan).await.unwrap_err();
            log.read_entries(first, 5).await.unwrap_err();
        }
        fs::remove_file(&file).unwrap();
        read(&log, path).await.unwrap_err();
        log.read_entries(first, 5).await.unwrap_err();
        fs::write(&file, &good).unwrap();
        assert_eq!(read(&log, path).await.unwrap(), good);
    }
}

async fn until(log: &Log, what: &str, condition: impl Fn(&Log) -> bool) {
    let waiting = async {
        while !condition(log) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), waiting).await;
    assert!(waited.is_ok(), "{what}");
}

/// The signature of a precertificate is not in the tree, and nobody reads the tile: the audit finds it, and that it was repaired.
#[tokio::test]
async fn the_audit_finds_what_nobody_reads() {
    let (directory, key) = reopened_directory(300).await;
    let log = open(directory.path(), &key, Duration::from_millis(10));
    until(&log, "no audit ends", |log| log.statistics().audited.is_some()).await;
    assert_eq!(log.statistics().damages, 0);

    let file = directory.path().join("tile/data/000");
    let good = fs::read(&file).unwrap();
    let entries = SequencedEntry::decode_all(&good).unwrap();
    let Entry::Precertificate { precertificate, .. } = entries[77].entry() else {
        unreachable!("only precertificates are logged here")
    };
    let start = good
        .windows(precertificate.len())
        .position(|window| window == precertificate)
        .unwrap();
    let last = start + precertificate.len() - 1;
    overwrite(&file, last, good[last] ^ 1);
    until(&log, "the damage is not found", |log| {
        log.statistics().damages == 1
    })
    .await;

    overwrite(&file, last, good[last]);
    until(&log, "the repair is not found", |log| {
        log.statistics().damages == 0
    })
    .await;
    log.shutdown().await;
}
