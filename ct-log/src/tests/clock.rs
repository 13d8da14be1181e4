//! What a log does when somebody sets the clock (C4).

use std::time::Duration;

use crate::leaf::{SequencedEntry, UnixMillis};
use crate::log::Log;
use crate::storage::OpenError;
use crate::submission::{SubmitError, Unavailable};
use crate::tests::support::{Harness, checkpoint, entries};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

/// Sizes and times only grow, and no entry is newer than the checkpoint above it.
async fn verify_times(harness: &Harness, log: &Log) {
    harness.see_checkpoint(log);
    let seen = harness.checkpoints.lock().unwrap().clone();
    assert!(seen.is_sorted_by(
        |one, next| one == next || one.timestamp() < next.timestamp() && one.size() <= next.size()
    ));
    let published = checkpoint(log);
    let entries = entries(log).await;
    assert!(entries.is_sorted_by_key(SequencedEntry::timestamp));
    assert!(
        entries
            .iter()
            .all(|entry| entry.timestamp() <= published.timestamp())
    );
    harness.verify(log).await;
}

async fn until_published(log: &Log, size: u64) {
    let published = async {
        while log.published_size() < size {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), published)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_is_waited_for() {
    for (step, answers) in [
        (-SECOND, vec![]),
        (-10 * SECOND, vec![SubmitError::ClockBehind]),
        (-HOUR, vec![SubmitError::ClockBehind]),
    ] {
        let harness = Harness::new();
        let log = harness.create().unwrap();
        harness.clock.move_by(SECOND);
        assert_eq!(harness.submit(&log, 0..3).await, []);
        harness.clock.jump_by(step);
        assert_eq!(harness.submit(&log, 3..4).await, answers, "{step}");
        assert_eq!(
            matches!(log.health(), Err(Unavailable::ClockBehind)),
            !answers.is_empty()
        );
        harness.clock.move_by(-step);
        assert_eq!(harness.submit(&log, 4..5).await, [], "{step}");
        log.health().unwrap();
        log.shutdown().await;
        verify_times(&harness, &log).await;
    }
}

/// The time that would close the log until it has come is not written anywhere: not to an entry, not to a checkpoint.
#[tokio::test]
async fn a_clock_that_is_set_far_ahead_is_waited_for() {
    for step in [HOUR, 24 * 365 * HOUR, 80 * 8766 * HOUR] {
        let harness = Harness::new();
        let log = harness.create().unwrap();
        assert_eq!(harness.submit(&log, 0..3).await, []);
        until_published(&log, 3).await;
        let before = checkpoint(&log);
        harness.clock.jump_by(step);
        assert_eq!(harness.submit(&log, 3..4).await, [SubmitError::ClockAhead]);
        assert!(matches!(log.health(), Err(Unavailable::ClockAhead)));
        assert_eq!(checkpoint(&log), before);

        harness.clock.jump_by(-step);
        harness.clock.move_by(SECOND);
        assert_eq!(harness.submit(&log, 4..5).await, []);
        log.health().unwrap();
        harness.clock.jump_by(step);
        log.shutdown().await;
        assert!(checkpoint(&log).timestamp().get() < before.timestamp().get() + 60_000);

        harness.clock.jump_by(-step);
        let log = harness.open().unwrap();
        assert_eq!(log.size(), 4);
        verify_times(&harness, &log).await;
    }
}

/// A machine that slept, and a small step, are no jump; and a restart confirms a large one.
#[tokio::test]
async fn time_that_passed_is_no_jump() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    harness.clock.move_by(100 * 24 * HOUR);
    assert_eq!(harness.submit(&log, 0..1).await, []);
    harness.clock.jump_by(HOUR / 10);
    assert_eq!(harness.submit(&log, 1..2).await, []);
    harness.clock.jump_by(HOUR);
    assert_eq!(harness.submit(&log, 2..3).await, [SubmitError::ClockAhead]);
    log.shutdown().await;
    let log = harness.open().unwrap();
    assert_eq!(harness.submit(&log, 3..4).await, []);
    log.shutdown().await;
    verify_times(&harness, &log).await;
}

/// A step in the middle of a burst, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_wavers_orders_nothing_wrongly() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    for wave in 0..40 {
        let steps = [700, -1_500, 30, -900, 1_900, -1, 0];
        harness.clock.jump_by(steps[wave as usize % steps.len()]);
        let errors = harness.submit(&log, wave * 10..(wave + 1) * 10).await;
        assert!(errors.iter().all(|error| *error == SubmitError::ClockBehind));
    }
    log.shutdown().await;
    verify_times(&harness, &log).await;
    assert!(log.size() > 200, "{} entries", log.size());
}

/// 2038 and 2106, where 32 bits of seconds end, and the last milliseconds of 64 bits.
#[tokio::test]
async fn the_ends_of_time() {
    for edge in [1u64 << 31, 1 << 32].map(|seconds| seconds * 1000) {
        let harness = Harness::new();
        harness.clock.jump_to(edge - 2);
        let log = harness.create().unwrap();
        for number in 0..6 {
            assert_eq!(harness.submit(&log, number..number + 1).await, []);
            harness.clock.move_by(1);
        }
        log.shutdown().await;
        let log = harness.open().unwrap();
        assert_eq!(harness.submit(&log, 6..7).await, []);
        log.shutdown().await;
        verify_times(&harness, &log).await;
        assert!(checkpoint(&log).timestamp() > UnixMillis::new(edge));
    }
    let harness = Harness::new();
    drop(harness.create().unwrap());
    for late in [1 << 53, 1 << 63, u64::MAX - 1] {
        harness.clock.jump_to(late);
        match harness.open() {
            Ok(log) => {
                harness.submit(&log, 0..1).await;
                log.shutdown().await;
                verify_times(&harness, &log).await;
            }
            Err(error) => assert!(matches!(error, OpenError::ClockAhead), "{error}"),
        }
    }
    harness.clock.jump_to(0);
    assert!(matches!(
        harness.open().map(|log| log.size()),
        Err(OpenError::ClockBehind { .. })
    ));
}
