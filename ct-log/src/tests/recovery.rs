//! What a log does with a directory that is not as it left it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::LogKey;
use crate::leaf::UnixMillis;
use crate::log::Log;
use crate::storage::{Files as _, OpenError, Record};
use crate::tests::model::Model;
use crate::tests::support::{Harness, checkpoint, origin};

/// A log of several records in one segment, shut down. Every entry is its own record.
async fn small_log(entries: u64) -> Harness {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    for number in 0..entries {
        harness.clock.move_by(10);
        assert_eq!(harness.submit(&log, number..number + 1).await, []);
    }
    log.shutdown().await;
    harness
}

fn segment(model: &Model) -> String {
    let segments = model.paths().into_iter().filter(|path| path.starts_with("wal/"));
    segments
        .filter(|path| model.contents(path).iter().any(|byte| *byte != 0))
        .max()
        .unwrap()
}

fn refused(result: Result<Log, OpenError>) -> OpenError {
    result.map(|log| log.size()).expect_err("the log must not start")
}

/// Bytes of each record in a segment, padding not counted; and where each begins.
fn records(segment: &[u8]) -> Vec<(usize, usize)> {
    let mut records = Vec::new();
    let mut start = 0;
    while let Ok(record) = Record::decode(&segment[start..]) {
        records.push((start, 204 + record.body.len() + 32));
        start += record.span;
    }
    records
}

/// The checkpoint is one entry behind. The last record may be torn off, at whatever place; all before it may not.
#[tokio::test]
async fn a_torn_tail_is_dropped_only_if_it_was_not_published() {
    let harness = small_log(2).await;
    let behind = harness.model.contents("checkpoint");
    let log = harness.open().unwrap();
    harness.clock.move_by(10);
    harness.submit(&log, 2..3).await;
    log.shutdown().await;
    harness.model.damage("checkpoint", |bytes| *bytes = behind);
    harness.checkpoints.lock().unwrap().pop();
    let path = segment(&harness.model);
    let contents = harness.model.contents(&path);
    let records = records(&contents);
    let (last, length) = *records.last().unwrap();
    let mut acks = harness.acks.lock().unwrap().clone();
    acks.truncate(2);
    for place in (last..last + length).step_by(7).chain([last + length - 1]) {
        for garble in [true, false] {
            let model = harness.model.copy();
            model.damage(&path, |bytes| {
                if garble {
                    bytes[place] ^= 0x55;
                } else if bytes[place..last + length].iter().any(|byte| *byte != 0) {
                    bytes[place..].fill(0);
                } else {
                    bytes[place - 1..].fill(0);
                }
            });
            let torn = harness.on(model);
            let log = torn.open().unwrap();
            assert_eq!(log.size(), 2, "byte {place}");
            torn.verify_these(&log, &acks).await;
        }
    }
    for (start, length) in &records[..records.len() - 1] {
        for place in (*start..start + length).step_by(11) {
            let model = harness.model.copy();
            model.damage(&path, |bytes| bytes[place] ^= 0x55);
            refused(harness.on(model).open());
        }
    }
}

/// A reader may have seen a checkpoint whose name a power cut took. Then somebody sets the clock back.
#[tokio::test]
async fn c4_a_checkpoint_that_was_on_its_way_is_not_forgotten() {
    let harness = small_log(1).await;
    let earlier = harness.model.contents("checkpoint");
    let log = harness.open().unwrap();
    harness.clock.move_by(10);
    harness.submit(&log, 1..2).await;
    harness.clock.move_by(500);
    log.shutdown().await;
    let seen = checkpoint(&log);
    let note = harness.model.contents("checkpoint");
    harness.model.damage("checkpoint", |bytes| *bytes = earlier);
    for (number, contents) in [note.clone(), b"torn".to_vec(), note[..note.len() - 9].to_vec()]
        .iter()
        .enumerate()
    {
        let file = harness.model.create(&format!("tmp/{number}"), 0).unwrap();
        file.write_at(contents, 0).unwrap();
    }
    harness.clock.jump_by(-1000);
    let log = harness.open().unwrap();
    assert!(checkpoint(&log).timestamp() >= seen.timestamp());
    harness.see_checkpoint(&log);
    harness.verify(&log).await;
}

/// A damaged record with a good one behind it is no torn write, whatever was published.
#[tokio::test]
async fn a_hole_is_refused_even_if_nothing_was_published() {
    let harness = Harness::new();
    harness.create().unwrap().shutdown().await;
    let unpublished = harness.model.contents("checkpoint");
    let log = harness.open().unwrap();
    for number in 0..3 {
        harness.submit(&log, number..number + 1).await;
    }
    log.shutdown().await;
    harness.model.damage("checkpoint", |bytes| *bytes = unpublished);
    let path = segment(&harness.model);
    let records = records(&harness.model.contents(&path));
    for (start, length) in &records[1..records.len() - 1] {
        for place in *start..start + length {
            let model = harness.model.copy();
            model.damage(&path, |bytes| bytes[place] ^= 0x55);
            let error = refused(harness.on(model).open());
            assert!(error.to_string().contains("is due"), "byte {place}: {error}");
        }
    }
}

/// One write can be torn, not two: the header of a second damaged record tells.
#[tokio::test]
async fn two_damaged_records_are_refused_even_if_nothing_was_published() {
    let harness = Harness::new();
    harness.create().unwrap().shutdown().await;
    let unpublished = harness.model.contents("checkpoint");
    let log = harness.open().unwrap();
    for number in 0..3 {
        harness.submit(&log, number..number + 1).await;
    }
    log.shutdown().await;
    harness.model.damage("checkpoint", |bytes| *bytes = unpublished);
    let path = segment(&harness.model);
    let records = records(&harness.model.contents(&path));
    let [.., (first, first_length), (second, second_length)] = records[..] else {
        unreachable!("a snapshot and three batches")
    };
    for place in [first, first + 100, first + first_length - 1] {
        let model = harness.model.copy();
        model.damage(&path, |bytes| {
            bytes[place] ^= 0x55;
            bytes[second + second_length - 1] ^= 0x55;
        });
        let error = refused(harness.on(model).open());
        assert!(error.to_string().contains("is due"), "byte {place}: {error}");
    }
}

#[tokio::test]
async fn every_damaged_or_missing_file_is_noticed() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    for wave in 0..3 {
        harness.submit(&log, wave * 200..(wave + 1) * 200).await;
    }
    log.shutdown().await;
    // A second life, so that the full tiles are no longer in the write-ahead log.
    harness.open().unwrap().shutdown().await;
    let paths = harness.model.paths();
    let needed = paths.iter().filter(|path| {
        ["tile/0/", "log.json", "checkpoint"]
            .iter()
            .any(|start| path.starts_with(start))
            || **path == "tile/data/001"
            || **path == segment(&harness.model)
    });
    for path in needed.clone() {
        let model = harness.model.copy();
        model.delete(path);
        refused(harness.on(model).open());
        let model = harness.model.copy();
        model.damage(path, |bytes| bytes[20] ^= 1);
        refused(harness.on(model).open());
    }
    assert_eq!(needed.count(), 2 + 2 + 1 + 1, "{paths:?}");
    harness.verify(&harness.open().unwrap()).await;
}

#[tokio::test]
async fn a_rolled_back_write_ahead_log_is_refused() {
    let harness = small_log(2).await;
    let old = harness.model.copy();
    let log = harness.open().unwrap();
    harness.submit(&log, 2..5).await;
    log.shutdown().await;
    let newest = harness.model.contents("checkpoint");
    old.damage("checkpoint", |bytes| *bytes = newest);
    let error = refused(harness.on(old).open());
    assert!(error.to_string().contains("2 entries are left of 5"), "{error}");
}

/// Whoever restores an older write-ahead log and checkpoint, but not older tiles, is told before the log forks.
#[tokio::test]
async fn a_tile_beyond_the_last_entry_is_refused() {
    let harness = small_log(2).await;
    let old = harness.model.copy();
    let log = harness.open().unwrap();
    harness.submit(&log, 2..600).await;
    log.shutdown().await;
    for tile in ["tile/data/000", "tile/0/000"] {
        let rolled_back = old.copy();
        let bytes = harness.model.contents(tile);
        crate::storage::Files::create(&rolled_back, tile, 0).unwrap();
        rolled_back.damage(tile, |contents| *contents = bytes);
        let error = refused(harness.on(rolled_back).open());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(tile), "{error}");
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_tree_is_refused() {
    let harness = small_log(3).await;
    let fork = small_log(0).await;
    for size in [1, 2, 3] {
        let model = harness.model.copy();
        let other = Checkpoint::new(
            size,
            crate::tree::leaf_hash(&[b"fork"]),
            UnixMillis::new(1_795_000_000_000),
        );
        let note = other.sign(&origin(), &harness.key()).unwrap();
        model.damage("checkpoint", |bytes| *bytes = note.into_bytes());
        assert!(matches!(
            refused(harness.on(model).open()),
            OpenError::Corrupt { .. }
        ));
    }
    let model = harness.model.copy();
    let foreign = fork.model.contents("checkpoint");
    model.damage("checkpoint", |bytes| *bytes = foreign);
    assert!(matches!(
        refused(harness.on(model).open()),
        OpenError::Corrupt { .. }
    ));
}

#[tokio::test]
async fn another_key_or_name_is_refused() {
    let harness = small_log(1).await;
    let other = harness.open_as(origin(), LogKey::generate().unwrap());
    assert!(matches!(refused(other), OpenError::OtherKey { .. }));
    let other = harness.open_as(Origin::new("elsewhere").unwrap(), harness.key());
    assert!(matches!(refused(other), OpenError::OtherOrigin { .. }));
    harness.verify(&harness.open().unwrap()).await;
}

#[tokio::test]
async fn the_clock_may_be_two_seconds_behind_and_no_more() {
    let harness = small_log(1).await;
    harness.clock.move_by(-1_900);
    let log = harness.open().unwrap();
    harness.submit(&log, 1..2).await;
    log.shutdown().await;
    harness.verify(&harness.open().unwrap()).await;
    harness.clock.move_by(-1_000);
    assert!(matches!(refused(harness.open()), OpenError::ClockBehind { .. }));
    harness.clock.move_by(3_000);
    harness.verify(&harness.open().unwrap()).await;
}

#[tokio::test]
async fn an_unknown_file_among_the_segments_is_refused() {
    for name in [
        "wal/1",
        "wal/00000000000000000099.old",
        "wal/+0000000000000000001",
    ] {
        let harness = small_log(1).await;
        let store = harness.store();
        crate::storage::Files::create(&harness.model, name, 0).unwrap();
        drop(store);
        assert!(
            matches!(refused(harness.open()), OpenError::Corrupt { .. }),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_unused_segment_is_no_damage() {
    let harness = small_log(1).await;
    crate::storage::Files::create(&harness.model, "wal/00000000000000000099", 8192).unwrap();
    harness.verify(&harness.open().unwrap()).await;
}

/// A crash after the new segment has its name and before the old ones are gone.
#[tokio::test]
async fn superseded_segments_are_ignored_and_removed() {
    let harness = small_log(3).await;
    let old = segment(&harness.model);
    let contents = harness.model.contents(&old);
    harness.open().unwrap().shutdown().await;
    crate::storage::Files::create(&harness.model, &old, 0).unwrap();
    harness.model.damage(&old, |bytes| *bytes = contents);
    let log = harness.open().unwrap();
    harness.verify(&log).await;
    assert!(!harness.model.paths().contains(&old));
}

#[tokio::test]
async fn timestamps_of_checkpoints_strictly_increase_over_restarts() {
    let harness = small_log(1).await;
    let mut last = UnixMillis::new(0);
    for _ in 0..5 {
        let log = harness.open().unwrap();
        let first = checkpoint(&log).timestamp();
        log.shutdown().await;
        let second = checkpoint(&log).timestamp();
        assert!(last < first && first < second, "the clock stands still");
        last = second;
    }
}

/// Whatever byte of `log.json` is another: the log does not start, unless it means the same or is of the time of creation, which
/// nothing else knows.
#[tokio::test]
async fn a_damaged_identity_is_refused() {
    let harness = Harness::new();
    harness.create().unwrap().shutdown().await;
    let whole = harness.model.contents("log.json");
    let text = String::from_utf8(whole.clone()).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let but_created = |value: &serde_json::Value| {
        let mut value = value.clone();
        value.as_object_mut()?.remove("created")?.as_u64()?;
        Some(value)
    };
    let mut refused = 0;
    for position in 0..whole.len() {
        for change in [b'A', b'0', b' '] {
            let mut damaged = whole.clone();
            damaged[position] = change;
            let read = serde_json::from_slice(&damaged);
            let same = read.is_ok_and(|value| but_created(&value) == but_created(&parsed));
            harness
                .model
                .damage("log.json", |bytes| bytes.clone_from(&damaged));
            let opened = harness.recover();
            assert_eq!(opened.is_ok(), same, "{}", String::from_utf8_lossy(&damaged));
            refused += usize::from(!same);
        }
    }
    assert!(refused > 500, "{refused}");
    let other = LogKey::generate().unwrap();
    let others = STANDARD.encode(other.public().spki_der());
    let ours = parsed["public_key"].as_str().unwrap();
    let elsewhere = "\"entries\": \"postgresql\",\n  \"created\"";
    for damaged in [
        text.replace(ours, &others),
        text.replace("\"created\"", elsewhere),
    ] {
        harness
            .model
            .damage("log.json", |bytes| *bytes = damaged.into_bytes());
        let error = harness.recover().map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    }
    harness.model.damage("log.json", |bytes| *bytes = whole);
    harness.open().unwrap();
}
