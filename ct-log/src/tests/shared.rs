//! Several writers of one log (C16).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::log::Log;
use crate::running::Platform;
use crate::settings::LogSettings;
use crate::storage::{Objects, Record, RecordBuffer, SharedMemory};
use crate::submission::{SubmitError, Submitter, Unavailable};
use crate::tests::support::{Harness, checkpoint, entries, entry, origin};
use crate::tree::empty_root;

fn open(memory: &SharedMemory, harness: &Harness) -> Log {
    let platform = Platform {
        storage: Box::new(memory.clone()),
        clock: Arc::new(harness.clock.clone()),
    };
    Log::start(
        platform,
        LogSettings::new("shared", origin()).index_in_memory(),
        harness.key(),
    )
    .unwrap()
}

fn born(harness: &Harness) -> SharedMemory {
    let memory = SharedMemory::default();
    let first = Checkpoint::new(0, empty_root(), harness.clock.now());
    let note = first.sign(&origin(), &harness.key()).unwrap();
    memory.replace_checkpoint(&first, &note).unwrap();
    memory
}

async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c16_writers_of_one_log_make_one_tree() {
    let harness = Harness::new();
    let memory = born(&harness);
    let logs = [
        open(&memory, &harness),
        open(&memory, &harness),
        open(&memory, &harness),
    ];
    let mut submitters = JoinSet::new();
    for number in 0..900 {
        let log = logs[number % logs.len()].clone();
        submitters.spawn(async move {
            let pending = entry(&log, number as u64);
            let logged = pending.entry().clone();
            loop {
                match log.submit(pending.clone(), Submitter::Internal).await {
                    Ok(sct) => return (logged, sct),
                    Err(SubmitError::Busy { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let answers = submitters.join_all().await;
    for log in &logs {
        until("all published", || {
            harness.clock.move_by(1);
            checkpoint(log).size() == 900
        })
        .await;
        let held = entries(log).await;
        for (entry, sct) in &answers {
            sct.verify(entry, log.public_key()).unwrap();
            let held = &held[sct.leaf_index().get() as usize];
            assert_eq!(
                (held.entry(), held.timestamp()),
                (entry, sct.timestamp()),
                "C2, C5"
            );
        }
        harness.see_checkpoint(log);
        harness.verify(log).await;
    }
    for log in &logs {
        log.shutdown().await;
    }
    // A writer that comes later finds it all, and the tiles as the others stored them.
    harness.verify(&open(&memory, &harness)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_away_for_a_while_costs_a_refusal_only() {
    let harness = Harness::new();
    let memory = born(&harness);
    let log = open(&memory, &harness);
    assert_eq!(harness.submit(&log, 0..3).await, []);
    memory.down.store(true, Ordering::SeqCst);
    assert_eq!(harness.submit(&log, 3..4).await, [SubmitError::Unreachable]);
    assert!(matches!(log.health(), Err(Unavailable::Unreachable)));
    assert!(log.store_issuers(&[b"another issuer"]).is_err());
    memory.down.store(false, Ordering::SeqCst);
    assert_eq!(harness.submit(&log, 4..6).await, []);
    assert!(log.health().is_ok());
    log.store_issuers(&[b"another issuer"]).unwrap();
    memory.down.store(true, Ordering::SeqCst);
    // Its last checkpoint is not written, and that is not a failure either.
    log.shutdown().await;
    assert!(matches!(log.health(), Err(Unavailable::ShutDown)));
    memory.down.store(false, Ordering::SeqCst);
    let log = open(&memory, &harness);
    assert_eq!(log.size(), 5);
    harness.verify(&log).await;
}

/// A batch that does not continue the tree is a fork: the log must not go on beside it (C1).
#[tokio::test(flavor = "multi_thread")]
async fn c1_a_writer_stops_beside_a_fork() {
    let harness = Harness::new();
    let (memory, other) = (born(&harness), born(&harness));
    let log = open(&memory, &harness);
    harness.submit(&log, 0..2).await;
    let fork = open(&other, &harness);
    // One by one, so that a batch begins where the other log ends.
    for number in 7..12 {
        harness.submit(&fork, number..number + 1).await;
    }
    let beyond = |batch: &&Vec<u8>| Record::decode(batch).unwrap().header.first_index == log.size();
    let sealed = other.batches.lock().unwrap().iter().find(beyond).cloned();
    memory.batches.lock().unwrap().push(sealed.unwrap());
    log.failed().await;
    assert_eq!(harness.submit(&log, 20..21).await, [SubmitError::Unavailable]);
    assert_eq!(log.size(), 2);
}

/// A shared log of 700 entries in several batches; nobody has it open.
async fn filled(harness: &Harness) -> SharedMemory {
    let memory = born(harness);
    let log = open(&memory, harness);
    for first in (0..700).step_by(100) {
        assert_eq!(harness.submit(&log, first..first + 100).await, []);
    }
    harness.clock.move_by(1);
    log.shutdown().await;
    memory
}

fn refusal(memory: &SharedMemory, harness: &Harness) -> String {
    let platform = Platform {
        storage: Box::new(memory.clone()),
        clock: Arc::new(harness.clock.clone()),
    };
    let opened = Log::start(
        platform,
        LogSettings::new("shared", origin()).index_in_memory(),
        harness.key(),
    );
    opened.map(drop).expect_err("refused").to_string()
}

/// A writer may die between its batch and its tiles, after any of them.
#[tokio::test(flavor = "multi_thread")]
async fn c6_tiles_that_a_writer_left_out_are_stored_by_the_next() {
    let harness = Harness::new();
    let memory = filled(&harness).await;
    let stored = memory.files.lock().unwrap().clone();
    let tiles = ["tile/data/000", "tile/0/000", "tile/data/001", "tile/0/001"];
    for kept in 0..=tiles.len() {
        for tile in &tiles[kept..] {
            memory.files.lock().unwrap().remove(*tile).unwrap();
        }
        let log = open(&memory, &harness);
        assert_eq!(*memory.files.lock().unwrap(), stored, "{kept} tiles left");
        harness.verify(&log).await;
        log.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_batches_that_are_missing_or_changed_are_refused() {
    let harness = Harness::new();
    let memory = filled(&harness).await;
    let batches = memory.batches.lock().unwrap().clone();
    let last = batches.len() - 1;
    memory.batches.lock().unwrap().truncate(last);
    assert!(refusal(&memory, &harness).contains("of 700 published ones"));

    // Not even the checkpoint remembers: the tiles still do.
    let first = Checkpoint::new(0, empty_root(), harness.clock.now());
    memory.checkpoint.lock().unwrap().take();
    let note = first.sign(&origin(), &harness.key()).unwrap();
    memory.replace_checkpoint(&first, &note).unwrap();
    memory.batches.lock().unwrap().truncate(1);
    assert!(refusal(&memory, &harness).contains("holds more"));

    let mut unlinked = batches.clone();
    unlinked[last] = relinked(&batches[last]);
    *memory.batches.lock().unwrap() = unlinked;
    assert!(refusal(&memory, &harness).contains("does not follow"));

    *memory.batches.lock().unwrap() = batches;
    harness.verify(&open(&memory, &harness)).await;
}

/// The same batch after another one.
fn relinked(batch: &[u8]) -> Vec<u8> {
    let record = Record::decode(batch).unwrap();
    let mut header = record.header;
    header.chain.previous = [3; 32];
    let mut buffer = RecordBuffer::new();
    buffer.body_mut().extend_from_slice(record.body);
    buffer.seal(&header).0.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_writer_whose_clock_is_behind_does_not_start() {
    let harness = Harness::new();
    let memory = filled(&harness).await;
    harness.clock.move_by(-10_000);
    assert!(refusal(&memory, &harness).contains("clock is"));
    harness.clock.move_by(10_000);
    open(&memory, &harness).shutdown().await;
}

/// The clock of one machine is a minute behind that of another, which published already.
#[tokio::test(flavor = "multi_thread")]
async fn c4_a_writer_dates_nothing_before_the_checkpoint_of_another() {
    let (harness, behind) = (Harness::new(), Harness::new());
    let memory = born(&harness);
    let key = || harness.key();
    let open = |clock: &Harness| {
        let platform = Platform {
            storage: Box::new(memory.clone()),
            clock: Arc::new(clock.clock.clone()),
        };
        let settings = LogSettings::new("shared", origin()).index_in_memory();
        Log::start(platform, settings, key()).unwrap()
    };
    let late = open(&behind);
    harness.clock.move_by(64_700);
    let log = open(&harness);
    let published = checkpoint(&log);
    assert_eq!(published.timestamp(), harness.now());
    let refused = harness.submit(&late, 0..1).await;
    assert_eq!(refused, [SubmitError::ClockBehind]);
    assert!(matches!(late.health(), Err(Unavailable::ClockBehind)));
    behind.clock.move_by(63_000);
    assert_eq!(harness.submit(&late, 1..2).await, []);
    late.health().unwrap();
    let sct = harness.acks.lock().unwrap()[0].sct.clone();
    assert!(sct.timestamp() >= published.timestamp());
    log.shutdown().await;
    late.shutdown().await;
}
