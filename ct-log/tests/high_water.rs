//! C15: a directory that was rolled back, or is another one than it was, does not start beside a high-water mark that knows better.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ct_log::{Checkpoint, Log, LogKey, LogSettings, OpenError, PendingEntry, Sct, Submitter, Unavailable};
use support::{Pki, grow, origin};
use tempfile::TempDir;

/// A log, its key, and a mark outside of its directory.
struct Place {
    folder: TempDir,
    key: Vec<u8>,
    pki: Pki,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
            key: LogKey::generate().unwrap().to_pkcs8_der().unwrap().to_vec(),
            pki: Pki::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self) -> LogKey {
        LogKey::from_pkcs8_der(&self.key).unwrap()
    }

    fn settings(&self, directory: &str) -> LogSettings {
        LogSettings::new(self.path(directory), origin()).min_free_bytes(0)
    }

    fn marked(&self, directory: &str) -> LogSettings {
        self.settings(directory).high_water_mark(self.path("mark"))
    }

    fn open(&self, directory: &str) -> Result<Log, OpenError> {
        Log::open(self.marked(directory), self.key())
    }

    /// Opens the log, adds entries, and closes it. Its last checkpoint.
    async fn life(&self, settings: LogSettings, entries: u64) -> Checkpoint {
        let log = Log::open(settings, self.key()).unwrap();
        grow(&log, &self.pki, entries).await;
        log.shutdown().await;
        verified(&log.checkpoint(), self)
    }

    fn mark(&self) -> Checkpoint {
        verified(&fs::read_to_string(self.path("mark")).unwrap(), self)
    }

    fn copy(&self, from: &str, to: &str) {
        copy_directory(&self.path(from), &self.path(to));
    }
}

fn verified(note: &str, place: &Place) -> Checkpoint {
    Checkpoint::verify(note, &origin(), place.key().public()).unwrap()
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn refused(result: Result<Log, OpenError>) -> OpenError {
    result.map(|log| log.size()).unwrap_err()
}

/// As a snapshot of the machine's disk that is restored after certificates were issued.
#[tokio::test]
async fn an_older_copy_of_the_directory_is_refused() {
    for between in [1, 300] {
        let place = Place::new();
        Log::create(place.marked("log"), place.key())
            .unwrap()
            .shutdown()
            .await;
        place.life(place.marked("log"), 2).await;
        place.copy("log", "old");
        let newest = place.life(place.marked("log"), between).await;
        assert_eq!(place.mark(), newest);

        let error = refused(place.open("old"));
        assert!(matches!(error, OpenError::BehindHighWaterMark { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("holds 2 entries") && said.contains(&format!("a tree of {}", 2 + between)),
            "{said}"
        );
        assert_eq!(place.mark(), newest, "a refusal leaves the mark");
        assert_eq!(place.open("log").unwrap().size(), 2 + between);
    }
}

/// Two copies of a directory went on for themselves: the mark has one of them. C16, where no lock reaches.
#[tokio::test]
async fn a_fork_of_the_log_is_refused_at_any_size() {
    let place = Place::new();
    Log::create(place.marked("log"), place.key())
        .unwrap()
        .shutdown()
        .await;
    place.life(place.marked("log"), 3).await;
    place.copy("log", "fork");
    place.life(place.marked("log"), 2).await;
    for more in [2, 300] {
        place.life(place.settings("fork"), more).await;
        let error = refused(place.open("fork"));
        assert!(
            matches!(error, OpenError::BehindHighWaterMark { published: 5, .. }),
            "{error}"
        );
    }
    assert_eq!(place.open("log").unwrap().size(), 5);
}

#[tokio::test]
async fn a_mark_that_is_missing_is_not_taken_for_a_new_one() {
    let place = Place::new();
    Log::create(place.settings("log"), place.key())
        .unwrap()
        .shutdown()
        .await;
    let error = refused(place.open("log"));
    assert!(matches!(error, OpenError::NoHighWaterMark { .. }), "{error}");
    assert!(
        error.to_string().contains("create it as an empty file"),
        "{error}"
    );
    fs::write(place.path("mark"), "").unwrap();
    let newest = place.life(place.marked("log"), 4).await;
    assert_eq!(place.mark(), newest);
}

#[tokio::test]
async fn the_mark_of_another_log_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    Log::create(other.marked("log"), other.key())
        .unwrap()
        .shutdown()
        .await;
    Log::create(place.marked("log"), place.key())
        .unwrap()
        .shutdown()
        .await;
    for wrong in [
        fs::read(other.path("mark")).unwrap(),
        b"text".to_vec(),
        vec![0xff, 0xfe],
    ] {
        fs::write(place.path("mark"), wrong).unwrap();
        let error = refused(place.open("log"));
        assert!(matches!(error, OpenError::ForeignHighWaterMark { .. }), "{error}");
        let error = refused(Log::create(place.marked("new"), place.key()));
        assert!(matches!(error, OpenError::ForeignHighWaterMark { .. }), "{error}");
    }
}

/// The checkpoint of the directory is older than the mark, the entries are not: time goes on from the mark (C4).
#[tokio::test]
async fn a_checkpoint_behind_the_mark_is_no_rollback() {
    let place = Place::new();
    Log::create(place.marked("log"), place.key())
        .unwrap()
        .shutdown()
        .await;
    let before = place.path("log/checkpoint");
    let old = fs::read(&before).unwrap();
    let newest = place.life(place.marked("log"), 3).await;
    fs::write(&before, old).unwrap();
    let log = place.open("log").unwrap();
    assert_eq!(log.size(), 3);
    assert!(verified(&log.checkpoint(), &place).timestamp() > newest.timestamp());
}

/// Any reader's copy of a checkpoint will do.
#[tokio::test]
async fn a_readers_copy_is_a_mark() {
    let place = Place::new();
    Log::create(place.settings("log"), place.key())
        .unwrap()
        .shutdown()
        .await;
    place.copy("log", "old");
    place.life(place.settings("log"), 1).await;
    fs::copy(place.path("log/checkpoint"), place.path("mark")).unwrap();
    assert!(matches!(
        refused(place.open("old")),
        OpenError::BehindHighWaterMark { .. }
    ));
    drop(place.open("log").unwrap());
}

/// Rather no checkpoint than one that is not remembered.
#[tokio::test]
async fn a_mark_that_cannot_be_written_stops_the_log() {
    let place = Place::new();
    fs::create_dir(place.path("other-disk")).unwrap();
    let settings = place
        .settings("log")
        .high_water_mark(place.path("other-disk/mark"));
    let log = Log::create(settings, place.key()).unwrap();
    grow(&log, &place.pki, 1).await;
    fs::remove_dir_all(place.path("other-disk")).unwrap();
    let published = log.published_size();
    grow(&log, &place.pki, 1).await;
    let failure = log.failed().await;
    assert!(
        failure.to_string().contains("write a high-water mark"),
        "{failure}"
    );
    log.health().unwrap_err();
    assert!(log.published_size() <= published.max(1));
}

/// Somebody puts an older checkpoint there, as an older copy of the mark's own disk would: what was acknowledged is remembered beside
/// it.
#[tokio::test]
async fn the_file_beside_the_mark_is_a_mark_too() {
    let place = Place::new();
    Log::create(place.marked("log"), place.key())
        .unwrap()
        .shutdown()
        .await;
    place.life(place.marked("log"), 2).await;
    place.copy("log", "old");
    let mark = fs::read(place.path("mark")).unwrap();
    place.life(place.marked("log"), 3).await;
    fs::write(place.path("mark"), mark).unwrap();
    let error = refused(place.open("old"));
    assert!(
        matches!(&error, OpenError::BehindHighWaterMark { mark, published: 5, size: 2 } if mark.ends_with("mark.acknowledged")),
        "{error}"
    );
    assert_eq!(place.open("log").unwrap().size(), 5);
    let created = refused(Log::create(place.marked("new"), LogKey::generate().unwrap()));
    assert!(
        matches!(created, OpenError::ForeignHighWaterMark { .. }),
        "{created}"
    );
    // Whoever empties the mark says that what it remembered does not count.
    fs::write(place.path("mark"), "").unwrap();
    assert_eq!(place.open("old").unwrap().size(), 2);
}

async fn submit(log: &Log, name: &str) -> Sct {
    let issuers = log.store_issuers(&[b"an issuer"]).unwrap();
    let entry = PendingEntry::certificate(name.as_bytes().to_vec(), issuers);
    log.submit(entry, Submitter::Internal).await.unwrap()
}

/// Without any mark: somebody has the SCT on record.
#[tokio::test]
async fn a_log_without_the_entry_of_an_sct_is_refused() {
    for between in [0, 300] {
        let place = Place::new();
        let log = Log::create(place.settings("log"), place.key()).unwrap();
        let first = submit(&log, "first").await;
        log.shutdown().await;
        drop(log);
        place.copy("log", "old");
        let log = Log::open(place.settings("log"), place.key()).unwrap();
        grow(&log, &place.pki, between).await;
        let last = submit(&log, "last").await;
        log.shutdown().await;
        drop(log);
        let other = Log::in_memory(origin(), LogKey::generate().unwrap()).unwrap();
        let others = submit(&other, "in another log").await;

        let open = |directory: &str| {
            let settings = place.settings(directory);
            let scts = [&first, &last, &others];
            let settings = scts.into_iter().cloned().fold(settings, LogSettings::gave_out);
            Log::open(settings, place.key())
        };
        let error = refused(open("old"));
        assert!(
            matches!(error, OpenError::LacksEntry { index, size: 1 } if index == 1 + between),
            "{error}"
        );
        assert!(error.to_string().contains("holds 1 only"), "{error}");
        // It went on, and has another entry there.
        let log = Log::open(place.settings("old"), place.key()).unwrap();
        grow(&log, &place.pki, between + 2).await;
        log.shutdown().await;
        drop(log);
        let error = refused(open("old"));
        assert!(matches!(error, OpenError::LacksEntry { .. }), "{error}");
        assert!(error.to_string().contains("is not the one"), "{error}");
        assert_eq!(open("log").unwrap().size(), 2 + between);
    }
}

/// Nothing is published that the mark does not know, and nothing ends.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_mark_without_space_is_waited_for() {
    let place = Place::new();
    let log = Log::create(place.marked("log"), place.key()).unwrap();
    // Every write there finds no space.
    let unfinished = place.path("mark.new");
    std::os::unix::fs::symlink("/dev/full", &unfinished).unwrap();
    let published = log.checkpoint();
    grow(&log, &place.pki, 1).await;
    while log.health().is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        matches!(log.health(), Err(Unavailable::DiskFull)),
        "{:?}",
        log.health()
    );
    assert_eq!(log.checkpoint(), published);
    fs::remove_file(&unfinished).unwrap();
    while log.health().is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ne!(log.checkpoint(), published);
    grow(&log, &place.pki, 1).await;
    log.shutdown().await;
    assert_eq!(place.mark().size(), log.size());
}
