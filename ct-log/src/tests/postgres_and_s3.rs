//! A database that decides and a bucket that follows, as doubles; `tests/postgres` has the real ones.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;

use crate::checkpoint::Checkpoint;
use crate::leaf::UnixMillis;
use crate::reach::{Part, Reach, is_away};
use crate::storage::{DatabaseAndBucket, Objects, Replaced, SharedMemory};
use crate::tests::support::{Harness, origin};
use crate::tree::leaf_hash;

struct Pair {
    database: SharedMemory,
    bucket: SharedMemory,
    both: DatabaseAndBucket,
}

impl Pair {
    fn new(harness: &Harness) -> Pair {
        let (database, bucket) = (SharedMemory::default(), SharedMemory::default());
        let both = DatabaseAndBucket {
            database: Box::new(database.clone()),
            files: Box::new(bucket.clone()),
            origin: origin(),
            key: harness.key().public().clone(),
        };
        Pair {
            database,
            bucket,
            both,
        }
    }

    /// What the two hold.
    fn shown(&self) -> [Option<Checkpoint>; 2] {
        [&self.database, &self.bucket].map(|memory| {
            let stored = memory.checkpoint.lock().unwrap();
            stored.as_ref().map(|(checkpoint, _)| *checkpoint)
        })
    }
}

fn signed(harness: &Harness, size: u64, time: u64) -> (Checkpoint, String) {
    let checkpoint = Checkpoint::new(size, leaf_hash(&[b"a tree"]), UnixMillis::new(time));
    let note = checkpoint.sign(&origin(), &harness.key()).unwrap();
    (checkpoint, note)
}

/// C4: a publisher that died between the two leaves a bucket that is behind; whoever comes next makes it good.
#[test]
fn c4_what_is_newer_in_the_database_is_shown_in_the_bucket() {
    let harness = Harness::new();
    let pair = Pair::new(&harness);
    let (first, first_note) = signed(&harness, 1, 1000);
    assert_eq!(
        pair.both.replace_checkpoint(&first, &first_note).unwrap(),
        Replaced::Yes
    );
    assert_eq!(pair.shown(), [Some(first); 2]);

    let (of_dead, note_of_dead) = signed(&harness, 2, 3000);
    pair.database.replace_checkpoint(&of_dead, &note_of_dead).unwrap();
    let (late, late_note) = signed(&harness, 2, 2000);
    let replaced = pair.both.replace_checkpoint(&late, &late_note).unwrap();
    assert_eq!(replaced, Replaced::Newer(note_of_dead));
    assert_eq!(pair.shown(), [Some(of_dead); 2]);

    // One that the bucket has already, from another replica that is ahead.
    let (ahead, ahead_note) = signed(&harness, 3, 5000);
    pair.bucket.replace_checkpoint(&ahead, &ahead_note).unwrap();
    let (ours, our_note) = signed(&harness, 3, 4000);
    let replaced = pair.both.replace_checkpoint(&ours, &our_note).unwrap();
    assert_eq!(replaced, Replaced::Newer(ahead_note));
    assert_eq!(pair.shown(), [Some(ours), Some(ahead)]);

    let foreign = "not a note".to_owned();
    *pair.database.checkpoint.lock().unwrap() = Some((signed(&harness, 9, 9000).0, foreign));
    let refused = pair.both.replace_checkpoint(&ours, &our_note).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
}

/// Which of the two is away decides whether the log takes entries.
#[test]
fn a_bucket_that_is_away_does_not_stop_entries() {
    let harness = Harness::new();
    let pair = Pair::new(&harness);
    let (reach, (first, note)) = (Reach::default(), signed(&harness, 1, 1000));
    pair.bucket.down.store(true, Ordering::SeqCst);
    for error in [
        pair.both.replace_checkpoint(&first, &note).unwrap_err(),
        pair.both
            .put_immutable(&[("issuer/00".to_owned(), b"one")])
            .unwrap_err(),
    ] {
        assert!(is_away(&error), "{error}");
        reach.report_away(&error);
        assert!(!reach.is_away());
    }
    assert_eq!(pair.shown(), [Some(first), None]);
    pair.bucket.down.store(false, Ordering::SeqCst);
    let (next, note) = signed(&harness, 1, 1001);
    assert_eq!(pair.both.replace_checkpoint(&next, &note).unwrap(), Replaced::Yes);
    assert_eq!(pair.shown(), [Some(next); 2]);

    pair.database.down.store(true, Ordering::SeqCst);
    reach.report_away(&pair.both.replace_checkpoint(&next, &note).unwrap_err());
    assert!(reach.is_away());
    reach.report_there(Part::Files);
    assert!(reach.is_away());
    reach.report_there(Part::Entries);
    assert!(!reach.is_away());
}

/// A bucket from which another writer removes at once what this one stores.
struct Forgetful(SharedMemory);

impl Objects for Forgetful {
    fn put_immutable(&self, _new: &[(String, &[u8])]) -> std::io::Result<()> {
        Ok(())
    }

    fn read(&self, path: &str) -> std::io::Result<Option<Vec<u8>>> {
        self.0.read(path)
    }

    fn replace_checkpoint(&self, checkpoint: &Checkpoint, note: &str) -> std::io::Result<Replaced> {
        self.0.replace_checkpoint(checkpoint, note)
    }

    fn free_bytes(&self) -> std::io::Result<u64> {
        self.0.free_bytes()
    }
}

fn forgetful(memory: &SharedMemory) -> DatabaseAndBucket {
    DatabaseAndBucket {
        files: Box::new(Forgetful(memory.clone())),
        ..Pair::new(&Harness::new()).both
    }
}

/// What another hand put in the place of a tile is found before the tile is let go of (C7).
#[test]
fn c7_files_are_read_back() {
    let memory = SharedMemory::default();
    let both = forgetful(&memory);
    let tile = || both.put_immutable(&[("tile/0/000".to_owned(), b"hashes")]);
    assert_eq!(tile().unwrap_err().kind(), ErrorKind::InvalidData);
    memory
        .put_immutable(&[("tile/0/000".to_owned(), b"other hashes")])
        .unwrap();
    assert_eq!(tile().unwrap_err().kind(), ErrorKind::InvalidData);
}

/// Another writer stores the full tile, and removes the partial ones, before this writer has read its own back.
#[test]
fn a_partial_tile_may_be_removed_once_its_full_one_is_stored() {
    let memory = SharedMemory::default();
    let both = forgetful(&memory);
    let partial = |bytes: &[u8]| both.put_immutable(&[("tile/0/000.p/3".to_owned(), bytes)]);
    let refused = |bytes| partial(bytes).unwrap_err().kind();
    assert_eq!(refused(b"has"), ErrorKind::InvalidData);
    memory
        .put_immutable(&[("tile/0/000".to_owned(), b"hashes")])
        .unwrap();
    partial(b"has").unwrap();
    assert_eq!(refused(b"other"), ErrorKind::InvalidData);
    memory
        .put_immutable(&[("tile/0/000.p/3".to_owned(), b"not")])
        .unwrap();
    assert_eq!(refused(b"has"), ErrorKind::InvalidData);
}
