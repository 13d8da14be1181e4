//! Every storage call fails once, before or after it took effect; then the process is killed or the power fails; then the
//! log must come back with everything it ever acknowledged. And the power fails at every call, without any error.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::log::Log;
use crate::running::Platform;
use crate::settings::LogSettings;
use crate::storage::{Disk, OpenError};
use crate::submission::{SubmitError, Unavailable};
use crate::tests::model::{Effect, Fault, Lasts};
use crate::tests::support::{Harness, origin};

const EFFECTS: [Effect; 2] = [Effect::None, Effect::Done];

/// No log makes this many calls in these tests.
const MAX_CALLS: usize = 1_000;

fn fault(call: usize, effect: Effect) -> Fault {
    Fault {
        call,
        kind: ErrorKind::Other,
        effect,
        lasts: Lasts::OneCall,
    }
}

/// Enough for one full tile and a partial one.
async fn burst(harness: &Harness, log: &Log) -> Vec<SubmitError> {
    let mut errors = Vec::new();
    for wave in 0..3 {
        harness.clock.move_by(1);
        errors.extend(harness.submit(log, wave * 90..(wave + 1) * 90).await);
    }
    errors
}

async fn must_recover(harness: &Harness, what: &str) {
    let log = harness.open().unwrap_or_else(|error| panic!("{what}: {error}"));
    harness.verify(&log).await;
    assert_eq!(harness.submit(&log, 10_000..10_003).await, [], "{what}");
    log.shutdown().await;
    harness.see_checkpoint(&log);
    harness.verify(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_failed_call_poisons_the_log_and_loses_nothing() {
    let mut calls = 0;
    for effect in EFFECTS {
        for call in 0..MAX_CALLS {
            let harness = Harness::new();
            let log = harness.create().unwrap();
            harness.model.set_fault(Some(fault(call, effect)));
            let errors = burst(&harness, &log).await;
            log.shutdown().await;
            let fired = harness.model.fired();
            if fired.is_empty() {
                assert_eq!(errors, []);
                break;
            }
            calls += 1;
            let what = format!("call {call} ({fired:?}, {effect:?})");
            assert!(matches!(log.health(), Err(Unavailable::Failed(_))), "{what}");
            assert!(
                errors.iter().all(|error| *error == SubmitError::Unavailable),
                "{what}: {errors:?}"
            );
            assert_eq!(
                harness.model.retried(),
                0,
                "{what}: a failed file was written again"
            );
            log.failed().await;
            drop(log);
            for seed in 0..2 {
                let after = harness.on(harness.model.copy());
                after.model.lose_power(seed * 977 + call as u64);
                must_recover(&after, &format!("{what}, power lost")).await;
            }
            harness.model.kill();
            must_recover(&harness, &format!("{what}, killed")).await;
        }
    }
    assert!(calls > 50, "only {calls} calls were tried");
}

/// A write that failed although it took effect is read by the next process, and gone if the power fails then. A tile must
/// not outlast the entries in it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_synced_may_be_recovered_and_lost_afterwards() {
    let harness = tile_in_a_failed_write().await;
    let mut failed = 0;
    for call in 0..MAX_CALLS {
        let after = harness.on(harness.model.copy());
        after.model.set_fault(Some(fault(call, Effect::Done)));
        drop(after.open());
        if after.model.fired().is_empty() {
            break;
        }
        failed += 1;
        after.model.lose_power(call as u64);
        must_recover(&after, &format!("call {call} of recovery")).await;
    }
    assert!(failed > 20, "only {failed} calls failed");
}

/// A log that ended with the write of the entry which completes a tile.
async fn tile_in_a_failed_write() -> Harness {
    for call in 0..MAX_CALLS {
        let harness = Harness::new();
        let log = harness.create().unwrap();
        assert_eq!(harness.submit(&log, 0..200).await, []);
        harness.model.set_fault(Some(fault(call, Effect::Done)));
        harness.submit(&log, 200..270).await;
        log.shutdown().await;
        drop(log);
        harness.model.kill();
        let has_tile = harness.model.paths().contains(&"tile/data/000".to_owned());
        let recovered = harness.on(harness.model.copy()).open();
        if !has_tile && recovered.is_ok_and(|log| log.size() > 256) {
            return harness;
        }
    }
    panic!("no write completes a tile");
}

/// The first record of a segment cannot be written while full tiles hold all entries. The segment before has the last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_stays_until_the_next_one_has_a_record() {
    let mut records = 0;
    for call in 0..8 {
        let harness = Harness::new();
        let log = harness.create().unwrap();
        // Each is a record of one block, and the segment has room for so many.
        for number in 0..256 {
            harness.clock.move_by(1);
            assert_eq!(harness.submit(&log, number..number + 1).await, []);
        }
        harness.model.set_fault(Some(fault(call, Effect::None)));
        harness.submit(&log, 256..257).await;
        log.shutdown().await;
        drop(log);
        records += usize::from(harness.model.fired() == ["write"]);
        harness.model.kill();
        must_recover(&harness, &format!("call {call}")).await;
    }
    assert!(records > 0, "no write failed");
}

/// C3 as seen from outside: what was acknowledged before a call is durable before that call.
#[tokio::test(flavor = "multi_thread")]
async fn power_may_fail_at_any_call() {
    let mut looked = 0;
    for call in 0..MAX_CALLS {
        let harness = Harness::new();
        let log = harness.create().unwrap();
        harness.model.look_at(call, &harness.acknowledged);
        assert_eq!(burst(&harness, &log).await, []);
        log.shutdown().await;
        let Some((model, acknowledged)) = harness.model.seen() else {
            break;
        };
        looked += 1;
        for seed in 0..3 {
            let after = harness.on(model.copy());
            after.model.lose_power(seed * 7919 + call as u64);
            after.acks.lock().unwrap().truncate(acknowledged);
            after.checkpoints.lock().unwrap().clear();
            must_recover(&after, &format!("power lost at call {call}")).await;
        }
    }
    assert!(looked > 30, "only {looked} calls were looked at");
}

/// The same with entries so large that segments are used up and deleted on the way.
#[tokio::test(flavor = "multi_thread")]
async fn power_may_fail_when_segments_change() {
    let mut deleted = 0;
    for call in (0..MAX_CALLS).step_by(7) {
        let mut harness = Harness::new();
        harness.padding = 60_000;
        let log = harness.create().unwrap();
        harness.model.look_at(call, &harness.acknowledged);
        assert_eq!(burst(&harness, &log).await, []);
        log.shutdown().await;
        let Some((model, acknowledged)) = harness.model.seen() else {
            break;
        };
        let first = model.paths().into_iter().find(|path| path.starts_with("wal/"));
        deleted += usize::from(first.is_some_and(|first| !first.ends_with("01")));
        let after = harness.on(model);
        after.model.lose_power(call as u64);
        after.acks.lock().unwrap().truncate(acknowledged);
        after.checkpoints.lock().unwrap().clear();
        must_recover(&after, &format!("power lost at call {call}")).await;
    }
    assert!(deleted > 0, "no segment was deleted on the way");
}

/// A fault in recovery, and a second one in the recovery after that (design: Raio).
#[tokio::test(flavor = "multi_thread")]
async fn recovery_may_fail_at_any_call_twice() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    burst(&harness, &log).await;
    drop(log);
    harness.model.kill();
    let mut pairs = 0;
    for first in 0..MAX_CALLS {
        let once = harness.on(harness.model.copy());
        once.model.set_fault(Some(fault(first, Effect::Done)));
        if once
            .open()
            .is_ok_and(|log| log.health().is_ok() && once.model.fired().is_empty())
        {
            break;
        }
        for second in [first / 2, first, first + 4] {
            let twice = once.on(once.model.copy());
            twice.model.lose_power((first * 31 + second) as u64);
            twice.model.set_fault(Some(fault(second, Effect::None)));
            drop(twice.open());
            twice.model.lose_power((first * 17 + second) as u64);
            pairs += 1;
            must_recover(&twice, &format!("faults at {first} and {second} of recovery")).await;
        }
    }
    assert!(pairs > 50, "only {pairs} pairs were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_that_fails_leaves_no_log_or_an_empty_one() {
    for effect in EFFECTS {
        for call in 0..MAX_CALLS {
            let harness = Harness::new();
            harness.model.set_fault(Some(fault(call, effect)));
            let born = harness.create();
            if harness.model.fired().is_empty() {
                born.unwrap();
                break;
            }
            drop(born);
            for seed in 0..4 {
                let after = harness.on(harness.model.copy());
                after.model.lose_power(seed * 13 + call as u64);
                match after.open() {
                    Ok(log) => assert_eq!(log.size(), 0),
                    Err(OpenError::Missing { .. }) => {}
                    Err(other) => panic!("call {call}: {other}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_disk_that_turns_read_only_stops_the_log() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    harness.submit(&log, 0..5).await;
    let read_only = Fault {
        call: 0,
        kind: ErrorKind::ReadOnlyFilesystem,
        effect: Effect::None,
        lasts: Lasts::Forever,
    };
    harness.model.set_fault(Some(read_only));
    assert_eq!(harness.submit(&log, 5..6).await, [SubmitError::Unavailable]);
    log.failed().await;
    log.shutdown().await;
    drop(log);
    harness.model.set_fault(Some(read_only));
    assert!(matches!(harness.open(), Err(OpenError::Io { .. })));
    harness.model.kill();
    must_recover(&harness, "writable again").await;
}

/// Nothing but the write-ahead log must have space, and that is allocated in advance.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_nothing_for_good() {
    for call in 0..MAX_CALLS {
        let harness = Harness::new();
        let log = harness.create().unwrap();
        let full = Fault {
            call,
            kind: ErrorKind::StorageFull,
            effect: Effect::None,
            lasts: Lasts::OneCall,
        };
        harness.model.set_fault(Some(full));
        let errors = burst(&harness, &log).await;
        log.shutdown().await;
        let fired = harness.model.fired();
        if fired.is_empty() {
            break;
        }
        let refused = |error: &SubmitError| matches!(error, SubmitError::Unavailable | SubmitError::DiskFull);
        assert!(errors.iter().all(refused), "call {call} ({fired:?}): {errors:?}");
        drop(log);
        harness.model.kill();
        must_recover(&harness, &format!("disk full at call {call} ({fired:?})")).await;
    }
}

/// Whoever is told that the log failed can start it anew at once: how far it was is written down by then.
#[tokio::test(flavor = "multi_thread")]
async fn c15_what_was_acknowledged_is_remembered_before_the_failure_is_told() {
    let harness = Harness::new();
    harness.create().unwrap().shutdown().await;
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    std::fs::write(&mark, "").unwrap();
    let disk = Disk {
        files: Arc::new(harness.model.clone()),
        mirror: None,
        lock: None,
    };
    let platform = Platform {
        storage: Box::new(disk),
        clock: Arc::new(harness.clock.clone()),
    };
    let settings = LogSettings::new("the model", origin()).index_file("");
    let log = Log::start(platform, settings.high_water_mark(&mark), harness.key()).unwrap();
    assert_eq!(harness.submit(&log, 0..5).await, []);
    harness.model.set_fault(Some(Fault {
        call: 0,
        kind: ErrorKind::Other,
        effect: Effect::None,
        lasts: Lasts::Forever,
    }));
    harness.submit(&log, 5..6).await;
    log.failed().await;
    let remembered = std::fs::read(folder.path().join("mark.acknowledged")).unwrap();
    let remembered: serde_json::Value = serde_json::from_slice(&remembered).unwrap();
    assert_eq!(remembered["size"], 5);
    log.shutdown().await;
}
