//! C11, and that an index which is missing, stale, foreign or damaged costs answers and never makes wrong ones.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::rfc6962::Served;
use super::support::{entries, entry, origin};
use crate::key::LogKey;
use crate::leaf::{LeafIndex, PendingEntry};
use crate::log::Log;
use crate::lookup::LookupError;
use crate::recent::Identity;
use crate::sct::Sct;
use crate::settings::LogSettings;
use crate::submission::Submitter;
use crate::tree::Hash;

/// A log in a directory, with its key.
struct OnDisk {
    directory: TempDir,
    key: Vec<u8>,
}

impl OnDisk {
    fn create() -> (OnDisk, Log) {
        let (directory, key) = (tempfile::tempdir().unwrap(), LogKey::generate().unwrap());
        let pkcs8 = key.to_pkcs8_der().unwrap().to_vec();
        let on_disk = OnDisk {
            directory,
            key: pkcs8,
        };
        let log = Log::create(on_disk.settings(), key).unwrap();
        (on_disk, log)
    }

    fn open(&self) -> Log {
        Log::open(self.settings(), LogKey::from_pkcs8_der(&self.key).unwrap()).unwrap()
    }

    fn settings(&self) -> LogSettings {
        LogSettings::new(self.directory.path(), origin()).min_free_bytes(0)
    }

    fn index(&self) -> PathBuf {
        self.directory.path().join("index.redb")
    }

    /// What a disk holds after `kill -9`: the files as they are now, without what is in memory.
    fn copy(&self) -> OnDisk {
        let directory = tempfile::tempdir().unwrap();
        copy(self.directory.path(), directory.path());
        OnDisk {
            directory,
            key: self.key.clone(),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

async fn external(log: &Log, number: u64) -> Sct {
    log.submit(entry(log, number), Submitter::External).await.unwrap()
}

async fn internal(log: &Log, number: u64) -> Sct {
    log.submit(entry(log, number), Submitter::Internal).await.unwrap()
}

fn place(sct: &Sct) -> (LeafIndex, u64) {
    (sct.leaf_index(), sct.timestamp().get())
}

/// The published leaf hashes.
async fn leaves(log: &Log) -> Vec<Hash> {
    while log.published_size() < log.size() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let entries = entries(log).await;
    entries.iter().map(|entry| entry.leaf_hash().unwrap()).collect()
}

/// What the index says as soon as it is there. A lookup itself waits for two seconds only, in which a busy machine may not have
/// opened the file.
async fn find(log: &Log, hash: Hash, size: u64) -> Option<LeafIndex> {
    loop {
        match log.find_leaf(hash, size).await {
            Err(LookupError::NotIndexed) => tokio::time::sleep(Duration::from_millis(20)).await,
            found => return found.unwrap(),
        }
    }
}

/// Every leaf is found where it is, as soon as the index is there.
async fn check_leaves(log: &Log) {
    let leaves = leaves(log).await;
    let size = leaves.len() as u64;
    for (number, hash) in (0..).zip(&leaves) {
        assert_eq!(find(log, *hash, size).await, LeafIndex::new(number));
    }
    assert_eq!(find(log, Hash::new([7; 32]), size).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_gets_the_same_sct_after_a_restart() {
    let (on_disk, log) = OnDisk::create();
    let mut before = Vec::new();
    for number in 0..300 {
        before.push(external(&log, number).await);
    }
    log.shutdown().await;
    let log = on_disk.open();
    for (number, sct) in (0..).zip(&before) {
        assert_eq!(&external(&log, number).await, sct);
    }
    assert_eq!(log.size(), 300);
    check_leaves(&log).await;
}

/// The index is written down now and then: what it lost is found in the log, and only the signature can differ.
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_gets_the_same_place_after_a_crash() {
    let (on_disk, log) = OnDisk::create();
    let before = [
        external(&log, 1).await,
        internal(&log, 2).await,
        external(&log, 3).await,
    ];
    let after = on_disk.copy();
    drop(log);
    let log = after.open();
    for (number, sct) in (1..).zip(&before) {
        let again = external(&log, number).await;
        assert_eq!(place(&again), place(sct));
        assert_eq!(external(&log, number).await, again);
    }
    assert_eq!(log.size(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_the_ca_is_not_logged_again_for_others() {
    let (on_disk, log) = OnDisk::create();
    let own = internal(&log, 1).await;
    let first = external(&log, 1).await;
    assert_eq!(place(&first), place(&own));
    log.shutdown().await;
    let log = on_disk.open();
    assert_eq!(external(&log, 1).await, first);
    assert_eq!(log.size(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_of_an_old_entry_get_one_sct() {
    let (on_disk, log) = OnDisk::create();
    internal(&log, 1).await;
    log.shutdown().await;
    let log = on_disk.open();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let log = log.clone();
        tasks.spawn(async move { external(&log, 1).await });
    }
    let scts = tasks.join_all().await;
    assert!(scts.iter().all(|sct| sct == &scts[0]));
    assert_eq!(log.size(), 1);
}

/// The TBSCertificate and the issuer count; what the precertificate was signed with does not, and no SCT covers it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_sct_covers_makes_the_difference() {
    let (_on_disk, log) = OnDisk::create();
    let issuers = || log.store_issuers(&[b"an issuer"]).unwrap();
    let precertificate = |tbs: &[u8], whole: &[u8], key| {
        PendingEntry::precertificate(tbs.to_vec(), whole.to_vec(), [key; 32], issuers())
    };
    let submit = async |entry| log.submit(entry, Submitter::External).await.unwrap();
    let first = submit(precertificate(b"tbs", b"whole", 1)).await;
    assert_eq!(submit(precertificate(b"tbs", b"signed anew", 1)).await, first);
    let others = [
        submit(precertificate(b"tbs", b"whole", 2)).await,
        submit(precertificate(b"other tbs", b"whole", 1)).await,
        submit(PendingEntry::certificate(b"tbs".to_vec(), issuers())).await,
    ];
    assert_eq!(others.map(|sct| sct.leaf_index().get()), [1, 2, 3]);
}

/// A missing file, one of another log, one of a later state of this log, and rubbish.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_not_of_this_log_is_made_anew() {
    let (on_disk, log) = OnDisk::create();
    let sct = external(&log, 1).await;
    internal(&log, 2).await;
    log.shutdown().await;
    let earlier = on_disk.copy();
    let log = on_disk.open();
    internal(&log, 3).await;
    log.shutdown().await;
    let (other, log) = OnDisk::create();
    internal(&log, 4).await;
    log.shutdown().await;
    let files = [
        None,
        Some(fs::read(other.index()).unwrap()),
        Some(fs::read(on_disk.index()).unwrap()),
        Some(Vec::new()),
        Some(b"no database".to_vec()),
        Some(vec![0xa5; 1 << 20]),
    ];
    for (case, file) in files.into_iter().enumerate() {
        let copy = earlier.copy();
        match file {
            Some(bytes) => fs::write(copy.index(), bytes).unwrap(),
            None => fs::remove_file(copy.index()).unwrap(),
        }
        let log = copy.open();
        check_leaves(&log).await;
        let again = external(&log, 1).await;
        assert_eq!(place(&again), place(&sct), "case {case}");
        assert_eq!(log.size(), 2, "case {case}");
        log.shutdown().await;
    }
}

/// Whichever part of the file is destroyed, what is answered is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_made_anew() {
    let (on_disk, log) = OnDisk::create();
    let mut before = Vec::new();
    for number in 0..40 {
        before.push(external(&log, number).await);
    }
    log.shutdown().await;
    let length = fs::metadata(on_disk.index()).unwrap().len();
    let mut seen = 0;
    for page in 0..length.div_ceil(4096) {
        let mut bytes = [0; 4096];
        let copy = on_disk.copy();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(copy.index())
            .unwrap();
        file.read_at(&mut bytes, page * 4096).unwrap();
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        seen += 1;
        for byte in bytes.iter_mut().step_by(61) {
            *byte ^= 0x55;
        }
        file.write_all_at(&bytes, page * 4096).unwrap();
        drop(file);
        let log = copy.open();
        check_leaves(&log).await;
        for (number, sct) in (0..).zip(&before).step_by(13) {
            assert_eq!(place(&external(&log, number).await), place(sct), "page {page}");
        }
        assert_eq!(log.size(), 40, "page {page}");
    }
    assert!(seen > 5, "{seen} pages");
}

/// Makes the index say that entry 1 is elsewhere.
fn misdirect(log: &Log, leaf: Hash, to: u64) {
    let database = log.shared().index.database().unwrap();
    database.misdirect(Identity::of(entry(log, 1).entry()), leaf, to);
}

/// An index that points to another entry must never yield an SCT or a proof.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_points_elsewhere_is_not_believed() {
    let (on_disk, log) = OnDisk::create();
    for number in 0..3 {
        internal(&log, number).await;
    }
    let leaves = leaves(&log).await;
    // Now the index has them, and writes them down when it ends.
    check_leaves(&log).await;
    log.shutdown().await;
    for wrong in [0, 2, 3, 1 << 41, u64::MAX] {
        let copy = on_disk.copy();
        let log = copy.open();
        assert_eq!(find(&log, leaves[1], 3).await, LeafIndex::new(1));
        misdirect(&log, leaves[1], wrong);
        let found = log.find_leaf(leaves[1], 3).await;
        assert!(!matches!(found, Ok(Some(_))), "{wrong}: {found:?}");
        check_leaves(&log).await;
        // Another copy: this file was made anew, and may be once more.
        let copy = on_disk.copy();
        let log = copy.open();
        assert_eq!(find(&log, leaves[1], 3).await, LeafIndex::new(1));
        misdirect(&log, leaves[1], wrong);
        let second = external(&log, 1).await;
        assert_eq!(second.leaf_index().get(), 3, "not found, so logged again");
        let pending = entry(&log, 1);
        second.verify(pending.entry(), log.public_key()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_without_its_index() {
    let (directory, key) = (tempfile::tempdir().unwrap(), LogKey::generate().unwrap());
    let nowhere = directory.path().join("nowhere/index.redb");
    let settings = LogSettings::new(directory.path().join("log"), origin());
    let log = Log::create(settings.min_free_bytes(0).index_file(&nowhere), key).unwrap();
    let first = external(&log, 1).await;
    assert_eq!(external(&log, 1).await, first);
    let leaves = leaves(&log).await;
    assert!(matches!(
        log.find_leaf(leaves[0], 1).await,
        Err(LookupError::NotIndexed)
    ));
    Served::of(log.clone()).check_not_indexed(leaves[0], 1).await;
    log.shutdown().await;
    assert!(!nowhere.exists());
}
