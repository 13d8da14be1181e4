//! The audit: it accepts every log that is right, and nothing else.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use ct_log::check::{Depth, Problem, Report, Source, SourceError, StoredLog, check};
use ct_log::{Fingerprint, Log, LogKey, LogPublicKey, Origin, PendingEntry, Submitter, Tile};
use support::{Pki, files, finished_directory, grow, origin, reopened_directory};

async fn audit(source: &impl Source, key: &LogPublicKey) -> Report {
    check(source, (&origin(), key), Depth::Certificates).await
}

/// A log in memory whose last checkpoint covers all its entries.
async fn finished_log(size: u64) -> Log {
    let log = Log::in_memory(origin(), LogKey::generate().unwrap()).unwrap();
    grow(&log, &Pki::new(), size).await;
    log.shutdown().await;
    log
}

#[tokio::test]
async fn sound_logs_of_all_shapes_are_accepted() {
    for (size, counts) in [
        (0, "read 0 entries, 0 data tiles, 0 hash tiles, 0 issuers"),
        (1, "read 1 entries, 1 data tiles, 1 hash tiles, 2 issuers"),
        (255, "read 255 entries, 1 data tiles, 1 hash tiles, 2 issuers"),
        (256, "read 256 entries, 1 data tiles, 2 hash tiles, 2 issuers"),
        (257, "read 257 entries, 2 data tiles, 3 hash tiles, 2 issuers"),
        (600, "read 600 entries, 3 data tiles, 4 hash tiles, 2 issuers"),
    ] {
        let log = finished_log(size).await;
        let report = audit(&log, log.public_key()).await;
        assert!(report.is_sound(), "{report}");
        assert!(report.to_string().ends_with(counts), "{report}");
        assert_eq!(report.size(), Some(size));
    }
}

/// The first tile of level 2 appears with entry 65,536. The entries are no certificates: that takes too long.
#[tokio::test]
async fn sound_log_with_three_levels_is_accepted() {
    let log = Log::in_memory(origin(), LogKey::generate().unwrap()).unwrap();
    let issuers = log.store_issuers(&[b"issuer"]).unwrap();
    for batch in 0..66u32 {
        let mut submissions = tokio::task::JoinSet::new();
        for number in 0..1000u32 {
            let entry = [batch.to_be_bytes(), number.to_be_bytes()].concat();
            let (log, entry) = (log.clone(), PendingEntry::certificate(entry, issuers.clone()));
            submissions.spawn(async move { log.submit(entry, Submitter::Internal).await });
        }
        assert!(submissions.join_all().await.iter().all(Result::is_ok));
    }
    log.shutdown().await;
    let report = check(&log, (&origin(), log.public_key()), Depth::Structure).await;
    assert!(report.is_sound(), "{report}");
    let counts = "read 66000 entries, 258 data tiles, 261 hash tiles, 1 issuers";
    assert!(report.to_string().ends_with(counts), "{report}");
}

#[tokio::test]
async fn log_of_another_name_or_key_is_refused() {
    let log = finished_log(1).await;
    let other = Origin::new("other.example/ct").unwrap();
    assert!(
        !check(&log, (&other, log.public_key()), Depth::Structure)
            .await
            .is_sound()
    );
    let other = LogKey::generate().unwrap();
    let report = audit(&log, other.public()).await;
    assert!(matches!(report.problems(), [Problem::Checkpoint(_)]), "{report}");
    assert_eq!(report.size(), None);
}

/// What a test does to one resource of a log.
#[derive(Clone, Copy)]
enum Damage {
    Missing,
    Flipped(usize),
    Longer,
    Shorter,
}

impl Damage {
    fn apply(self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Damage::Missing => return None,
            Damage::Flipped(position) => bytes[position] ^= 1,
            Damage::Longer => bytes.push(0),
            Damage::Shorter => drop(bytes.pop()),
        }
        Some(bytes)
    }
}

/// A sound log, one resource of which comes out damaged.
struct Damaged<'a> {
    log: &'a Log,
    path: &'a str,
    damage: Damage,
}

impl Damaged<'_> {
    fn pass(&self, path: String, bytes: Vec<u8>) -> Result<Vec<u8>, SourceError> {
        if path != self.path {
            return Ok(bytes);
        }
        self.damage.apply(bytes).ok_or(SourceError::Missing(path))
    }
}

impl Source for Damaged<'_> {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        let note = self.pass(
            "checkpoint".into(),
            Source::checkpoint(self.log).await?.into_bytes(),
        )?;
        Ok(String::from_utf8_lossy(&note).into_owned())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        self.pass(tile.to_string(), Source::tile(self.log, tile).await?)
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        self.pass(
            format!("issuer/{fingerprint}"),
            Source::issuer(self.log, fingerprint).await?,
        )
    }
}

/// Path and length of everything that a log with one data tile of this width publishes.
async fn resources(log: &Log, width: u16) -> Vec<(String, usize)> {
    let data: Tile = format!("tile/data/000.p/{width}").parse().unwrap();
    let hashes: Tile = format!("tile/0/000.p/{width}").parse().unwrap();
    let entries = Source::tile(log, data).await.unwrap();
    let mut resources = vec![
        ("checkpoint".to_owned(), log.checkpoint().len()),
        (data.to_string(), entries.len()),
        (hashes.to_string(), usize::from(width) * 32),
    ];
    let first = &ct_log::SequencedEntry::decode_all(&entries).unwrap()[0];
    for fingerprint in first.issuers() {
        let issuer = Source::issuer(log, *fingerprint).await.unwrap();
        resources.push((format!("issuer/{fingerprint}"), issuer.len()));
    }
    resources
}

/// C9 and more: no byte of what a log publishes is free.
#[tokio::test]
async fn every_flipped_byte_of_what_is_published_is_found() {
    let log = finished_log(2).await;
    let resources = resources(&log, 2).await;
    assert_eq!(resources.len(), 5);
    for (path, length) in &resources {
        let flips = (0..*length).map(Damage::Flipped);
        for damage in flips.chain([Damage::Missing, Damage::Longer, Damage::Shorter]) {
            let report = audit(
                &Damaged {
                    log: &log,
                    path,
                    damage,
                },
                log.public_key(),
            )
            .await;
            let at = if let Damage::Flipped(at) = damage {
                at
            } else {
                *length
            };
            assert!(!report.is_sound(), "{path}, byte {at}");
        }
    }
}

#[tokio::test]
async fn damage_in_full_tiles_and_upper_levels_is_found() {
    let log = finished_log(300).await;
    for path in [
        "tile/data/000",
        "tile/data/001.p/44",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
    ] {
        for damage in [
            Damage::Flipped(20),
            Damage::Missing,
            Damage::Longer,
            Damage::Shorter,
        ] {
            let report = audit(
                &Damaged {
                    log: &log,
                    path,
                    damage,
                },
                log.public_key(),
            )
            .await;
            assert!(!report.is_sound(), "{path}");
        }
    }
}

async fn audit_directory(directory: &Path, key: &LogPublicKey) -> Option<Report> {
    let log = StoredLog::read(directory).ok()?;
    Some(audit(&log, key).await).filter(Report::is_sound)
}

/// A flipped byte is found, or it is one that says nothing: the time of creation, or the zeros between and
/// after records. In no case does the log come out shorter or different.
async fn every_flipped_byte_is_found(directory: &Path, key: &LogPublicKey, stride: usize) {
    let sound = audit_directory(directory, key).await.unwrap();
    for path in files(directory) {
        let bytes = fs::read(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        for position in (0..bytes.len())
            .step_by(stride)
            .filter(|position| bytes[*position] != 0)
        {
            let at = u64::try_from(position).unwrap();
            file.write_all_at(&[bytes[position] ^ 1], at).unwrap();
            if let Some(report) = audit_directory(directory, key).await {
                assert!(path.ends_with("log.json"), "{} byte {position}", path.display());
                assert_eq!((report.size(), report.root()), (sound.size(), sound.root()));
            }
            file.write_all_at(&bytes[position..=position], at).unwrap();
        }
    }
}

#[tokio::test]
async fn every_flipped_byte_of_a_small_directory_is_found() {
    let (directory, key) = finished_directory(2).await;
    for path in files(directory.path()) {
        if fs::read(&path).unwrap().iter().all(|byte| *byte == 0) {
            fs::remove_file(path).unwrap(); // A segment that waits for its first record: 8 MiB to read each time.
        }
    }
    every_flipped_byte_is_found(directory.path(), &key, 1).await;
}

#[tokio::test]
async fn flipped_bytes_of_a_directory_with_full_tiles_are_found() {
    for (directory, key) in [finished_directory(257).await, reopened_directory(257).await] {
        assert!(directory.path().join("tile/data/000").is_file());
        every_flipped_byte_is_found(directory.path(), &key, 9_973).await;
    }
}

#[tokio::test]
async fn missing_and_truncated_files_are_found() {
    let (directory, key) = reopened_directory(257).await;
    for path in files(directory.path()) {
        let bytes = fs::read(&path).unwrap();
        if bytes.iter().all(|byte| *byte == 0) {
            continue; // A segment that waits for its first record.
        }
        fs::remove_file(&path).unwrap();
        assert!(
            audit_directory(directory.path(), &key).await.is_none(),
            "without {}",
            path.display()
        );
        for length in [0, 1, bytes.len() / 2] {
            if bytes[length..].iter().any(|byte| *byte != 0) {
                fs::write(&path, &bytes[..length]).unwrap();
                assert!(
                    audit_directory(directory.path(), &key).await.is_none(),
                    "cut {}",
                    path.display()
                );
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(audit_directory(directory.path(), &key).await.is_some());
}
