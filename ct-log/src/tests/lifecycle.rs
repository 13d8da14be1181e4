//! The end of a log's time, by a clock that is moved by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::lifecycle::{Phase, Window};
use crate::log::Log;
use crate::submission::{SubmitError, Submitter, Unavailable};
use crate::tests::support::{Harness, checkpoint, entry};
use crate::tile::{Tile, TileKind};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A log in the middle of its window, and the first millisecond at which it is closed.
fn harness() -> (Harness, SystemTime) {
    let mut harness = Harness::new();
    let now = UNIX_EPOCH + Duration::from_millis(harness.clock.now().get());
    let window = Window::new(now - HOUR, now + HOUR).unwrap();
    harness.window = Some(window);
    (harness, window.closes_at())
}

/// Waits for what another thread does; the test runner ends a test that never gets there.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn entries_tile(log: &Log, width: u16) -> Vec<u8> {
    let tile = Tile::new(TileKind::Entries, 0, width).unwrap();
    log.read_tile(tile).await.unwrap().unwrap()
}

/// C13.
#[tokio::test(flavor = "multi_thread")]
async fn closed_log_takes_nothing_and_reads_as_before() {
    let (harness, closes_at) = harness();
    let log = harness.create().unwrap();
    assert_eq!(log.phase(), Phase::Active);
    assert_eq!(harness.submit(&log, 0..10).await, []);
    harness.clock.set(closes_at - Duration::from_millis(1));
    assert_eq!(harness.submit(&log, 10..11).await, [], "a moment before");
    assert_eq!(log.final_checkpoint(), None);
    harness.clock.set(closes_at);
    assert_eq!(harness.submit(&log, 11..12).await, [SubmitError::ReadOnly]);
    let external = log.submit(entry(&log, 12), Submitter::External).await;
    assert_eq!(external.unwrap_err(), SubmitError::ReadOnly);
    assert!(matches!(log.health(), Err(Unavailable::ReadOnly)));

    until(|| log.final_checkpoint().is_some()).await;
    let last = log.final_checkpoint().unwrap();
    assert_eq!((last.size(), last), (11, checkpoint(&log)));
    harness.clock.set(closes_at - HOUR);
    assert_eq!(log.phase(), Phase::ReadOnly, "it never goes back");
    assert_eq!(harness.submit(&log, 13..14).await, [SubmitError::ReadOnly]);
    let tile = entries_tile(&log, 11).await;
    harness.clock.set(closes_at + HOUR);
    log.shutdown().await;
    assert_eq!(checkpoint(&log), last, "the last tree head stays the last");
    harness.verify(&log).await;
    drop(log);

    for _ in 0..2 {
        let log = harness.open().unwrap();
        assert_eq!(harness.submit(&log, 14..15).await, [SubmitError::ReadOnly]);
        until(|| log.final_checkpoint().is_some()).await;
        let now = log.final_checkpoint().unwrap();
        assert_eq!((now.size(), now.root()), (last.size(), last.root()));
        assert_eq!(entries_tile(&log, 11).await, tile);
        harness.verify(&log).await;
        log.shutdown().await;
    }
}

/// C13 for entries that are under way when the time is over.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sequenced_after_the_end() {
    let (harness, closes_at) = harness();
    let log = harness.create().unwrap();
    let closing = u64::try_from(closes_at.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    harness.clock.set(closes_at - Duration::from_millis(50));
    let mut refused = Vec::new();
    for round in 0..100 {
        refused.extend(harness.submit(&log, round * 20..(round + 1) * 20).await);
        harness.clock.move_by(1);
    }
    assert!(!refused.is_empty() && refused.iter().all(|error| *error == SubmitError::ReadOnly));
    let acks = harness.acks.lock().unwrap().clone();
    assert!(!acks.is_empty() && acks.iter().all(|ack| ack.sct.timestamp().get() < closing));
    until(|| log.final_checkpoint().is_some()).await;
    assert_eq!(log.final_checkpoint().unwrap().size(), acks.len() as u64);
    harness.verify(&log).await;
}

/// A certificate that is issued before the window begins may expire in it.
#[tokio::test(flavor = "multi_thread")]
async fn pending_log_takes_what_is_early() {
    let (mut harness, _) = harness();
    let now = UNIX_EPOCH + Duration::from_millis(harness.clock.now().get());
    harness.window = Some(Window::new(now + HOUR, now + 2 * HOUR).unwrap());
    let log = harness.create().unwrap();
    assert_eq!(log.phase(), Phase::Pending);
    log.health().unwrap();
    assert_eq!(
        checkpoint(&log).size(),
        0,
        "it is published before its first entry"
    );
    assert_eq!(harness.submit(&log, 0..3).await, []);
    log.shutdown().await;
    harness.verify(&log).await;
}
