//! A log in two directories, on devices that do not fail together: whatever happens to one of them, the other alone has all that
//! was acknowledged (C2, C10), and a start makes both equal.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use crate::log::Log;
use crate::running::Platform;
use crate::settings::LogSettings;
use crate::storage::{Disk, Files, Mirror, OpenError, Store, create};
use crate::submission::SubmitError;
use crate::tests::model::{Effect, Fault, Lasts, Model};
use crate::tests::support::{Harness, origin};

/// No log makes this many calls in these tests.
const MAX_CALLS: usize = 1_000;

/// A log whose harness holds the first device.
struct Mirrored {
    harness: Harness,
    mirror: Model,
}

impl Mirrored {
    fn new() -> Mirrored {
        let (harness, mirror) = (Harness::new(), Model::new());
        Mirrored { harness, mirror }
    }

    fn disk(&self) -> Disk {
        let mirror = Mirror {
            files: Arc::new(self.mirror.clone()),
            directory: PathBuf::from("the mirror"),
            lock: None,
        };
        Disk {
            files: Arc::new(self.harness.model.clone()),
            mirror: Some(mirror),
            lock: None,
        }
    }

    fn create(&self) -> Log {
        use crate::clock::Clock;
        let (store, now) = (Store::new(self.disk().files()), self.harness.clock.now());
        create(&store, &origin(), &self.harness.key(), now).unwrap();
        self.open().unwrap()
    }

    fn open(&self) -> Result<Log, OpenError> {
        let platform = Platform {
            storage: Box::new(self.disk()),
            clock: Arc::new(self.harness.clock.clone()),
        };
        let settings = LogSettings::new("the model", origin()).index_in_memory();
        Log::start(platform, settings, self.harness.key())
    }

    /// Enough for one full tile and a partial one.
    async fn burst(&self, log: &Log) -> Vec<SubmitError> {
        let mut errors = Vec::new();
        for wave in 0..3 {
            self.harness.clock.move_by(1);
            errors.extend(self.harness.submit(log, wave * 90..(wave + 1) * 90).await);
        }
        errors
    }

    async fn must_recover(&self, what: &str) {
        let log = self.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        self.harness.verify(&log).await;
        assert_eq!(self.harness.submit(&log, 10_000..10_003).await, [], "{what}");
        log.shutdown().await;
        self.harness.see_checkpoint(&log);
        self.each_alone(what).await;
    }

    async fn each_alone(&self, what: &str) {
        for (name, device) in [("the first", &self.harness.model), ("the mirror", &self.mirror)] {
            let alone = self.harness.on(device.copy());
            let log = alone
                .open()
                .unwrap_or_else(|error| panic!("{what}, {name} alone: {error}"));
            alone.verify(&log).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_directories_is_the_log() {
    let log = Mirrored::new();
    let open = log.create();
    assert_eq!(log.burst(&open).await, []);
    open.shutdown().await;
    log.harness.see_checkpoint(&open);
    log.each_alone("after a shutdown").await;
    log.must_recover("after a restart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_be_lost_at_any_call() {
    for lost in ["the first", "the mirror"] {
        let mut looked = 0;
        for call in (0..MAX_CALLS).step_by(3) {
            let log = Mirrored::new();
            let open = log.create();
            let left = if lost == "the first" {
                &log.mirror
            } else {
                &log.harness.model
            };
            left.look_at(call, &log.harness.acknowledged);
            assert_eq!(log.burst(&open).await, []);
            open.shutdown().await;
            let Some((model, acknowledged)) = left.seen() else {
                break;
            };
            looked += 1;
            for seed in 0..2 {
                let alone = log.harness.on(model.copy());
                alone.model.lose_power(seed * 7919 + call as u64);
                alone.acks.lock().unwrap().truncate(acknowledged);
                alone.checkpoints.lock().unwrap().clear();
                let open = alone.open();
                let open = open.unwrap_or_else(|error| panic!("{lost} lost at call {call}: {error}"));
                alone.verify(&open).await;
            }
        }
        assert!(looked > 10, "{lost}: only {looked} calls were looked at");
    }
}

/// A call of one device fails, so the log stops; then both lose power, each on its own terms.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_fault_of_one_device_both_are_made_equal() {
    for faulty in ["the first", "the mirror"] {
        let mut calls = 0;
        for call in (0..MAX_CALLS).step_by(2) {
            let log = Mirrored::new();
            let open = log.create();
            let device = if faulty == "the first" {
                &log.harness.model
            } else {
                &log.mirror
            };
            device.set_fault(Some(Fault {
                call,
                kind: ErrorKind::Other,
                effect: if call % 4 == 0 { Effect::Done } else { Effect::None },
                lasts: Lasts::OneCall,
            }));
            log.burst(&open).await;
            open.shutdown().await;
            if device.fired().is_empty() {
                break;
            }
            calls += 1;
            drop(open);
            for seed in 0..2 {
                let after = Mirrored {
                    harness: log.harness.on(log.harness.model.copy()),
                    mirror: log.mirror.copy(),
                };
                after.harness.model.lose_power(seed * 977 + call as u64);
                after.mirror.lose_power(seed * 1979 + call as u64 + 1);
                after
                    .must_recover(&format!("call {call} of {faulty} failed"))
                    .await;
            }
        }
        assert!(calls > 15, "{faulty}: only {calls} calls failed");
    }
}

/// The start itself is interrupted while it makes the two equal, and the next one does it again.
#[tokio::test(flavor = "multi_thread")]
async fn making_them_equal_may_be_interrupted() {
    let log = Mirrored::new();
    let open = log.create();
    let stale = log.mirror.copy();
    assert_eq!(log.burst(&open).await, []);
    open.shutdown().await;
    log.harness.see_checkpoint(&open);
    let mut interrupted = 0;
    for call in (0..MAX_CALLS).step_by(5) {
        let after = Mirrored {
            harness: log.harness.on(log.harness.model.copy()),
            mirror: stale.copy(),
        };
        after.mirror.set_fault(Some(Fault {
            call,
            kind: ErrorKind::Other,
            effect: Effect::None,
            lasts: Lasts::Forever,
        }));
        drop(after.open());
        if after.mirror.fired().is_empty() {
            break;
        }
        interrupted += 1;
        after.mirror.set_fault(None);
        after.mirror.lose_power(call as u64);
        after.must_recover(&format!("interrupted at call {call}")).await;
    }
    assert!(interrupted > 5, "only {interrupted} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_in_one_of_them_is_brought_up_to_date() {
    let log = Mirrored::new();
    let open = log.create();
    assert_eq!(log.harness.submit(&open, 0..10).await, []);
    let (old, old_mirror) = (log.harness.model.copy(), log.mirror.copy());
    assert_eq!(log.burst(&open).await, []);
    open.shutdown().await;
    log.harness.see_checkpoint(&open);
    // C15: without the mirror, nothing would tell that the first went back.
    let rolled_back = Mirrored {
        harness: log.harness.on(old),
        mirror: log.mirror.copy(),
    };
    rolled_back.must_recover("the first is an older copy").await;
    let behind = Mirrored {
        harness: log.harness.on(log.harness.model.copy()),
        mirror: old_mirror,
    };
    behind.must_recover("the mirror is an older copy").await;
    let empty = Mirrored {
        harness: log.harness.on(log.harness.model.copy()),
        mirror: Model::new(),
    };
    empty.must_recover("the mirror is new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused() {
    let log = Mirrored::new();
    let open = log.create();
    let before = (log.harness.model.copy(), log.mirror.copy());
    assert_eq!(log.harness.submit(&open, 0..10).await, []);
    open.shutdown().await;
    let other = Mirrored {
        harness: log.harness.on(before.0),
        mirror: before.1,
    };
    let open = other.open().unwrap();
    assert_eq!(other.harness.submit(&open, 50..70).await, []);
    open.shutdown().await;
    let damaged = log.mirror.copy();
    let segment = damaged.names("wal").unwrap().into_iter().next().unwrap();
    damaged.remove(&format!("wal/{segment}")).unwrap();
    for (first, mirror, expected) in [
        (log.harness.model.copy(), other.mirror.copy(), "different trees"),
        (Model::new(), log.mirror.copy(), "make that the directory"),
        (log.harness.model.copy(), damaged, "empty it, and it is made anew"),
    ] {
        let pair = Mirrored {
            harness: log.harness.on(first),
            mirror,
        };
        let error = pair.open().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A write that one device refused for want of space is tried again, and reaches both.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_device_leaves_no_gap_in_the_other() {
    for full in ["the first", "the mirror"] {
        for call in 0..MAX_CALLS {
            let log = Mirrored::new();
            let open = log.create();
            let device = if full == "the first" {
                &log.harness.model
            } else {
                &log.mirror
            };
            device.set_fault(Some(Fault {
                call,
                kind: ErrorKind::StorageFull,
                effect: Effect::None,
                lasts: Lasts::OneCall,
            }));
            log.burst(&open).await;
            open.shutdown().await;
            let fired = device.fired();
            if fired.is_empty() {
                break;
            }
            drop(open);
            log.harness.model.kill();
            log.mirror.kill();
            let what = format!("{full} is full at call {call} ({fired:?})");
            log.each_alone(&what).await;
            log.must_recover(&what).await;
        }
    }
}
