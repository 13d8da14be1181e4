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
use crate::storage::{Objects, SharedMemory};
use crate::submission::{SubmitError, Submitter, Unavailable};
use crate::tests::support::{Harness, checkpoint, entries, entry, origin};
use crate::tree::empty_root;

fn open(memory: &SharedMemory, harness: &Harness) -> Log {
    let platform = Platform {
        storage: Box::new(memory.clone()),
        clock: Arc::new(harness.clock.clone()),
    };
    Log::start(platform, LogSettings::new("shared", origin()), harness.key()).unwrap()
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
    harness.submit(&fork, 7..9).await;
    harness.submit(&fork, 9..12).await;
    let beyond = other.batch(2).expect("two batches");
    let sealed = other.batches.lock().unwrap().last().unwrap().clone();
    assert_eq!(beyond.header.first_index, log.size());
    memory.batches.lock().unwrap().push(sealed);
    log.failed().await;
    assert_eq!(harness.submit(&log, 20..21).await, [SubmitError::Unavailable]);
    assert_eq!(log.size(), 2);
}
