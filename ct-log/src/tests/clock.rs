//! What a log does when somebody sets the clock (C4).

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::dates::{ClockBehind, Dates, Others};
use crate::leaf::{SequencedEntry, UnixMillis};
use crate::log::Log;
use crate::publish::publish;
use crate::running::Platform;
use crate::settings::LogSettings;
use crate::storage::{
    Batch, CommitError, Committed, Disk, Head, Journal, OpenError, Opened, Opening, RecordBuffer, Storage,
    Turn,
};
use crate::submission::{SubmitError, Unavailable};
use crate::tests::support::{Harness, checkpoint, entries, origin, submit};

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

/// An SCT that is older than a checkpoint that does not hold its entry shows that the entry was left out for that long.
#[tokio::test]
async fn c4_no_entry_is_dated_before_a_checkpoint_that_does_not_hold_it() {
    for (step, refused) in [(-64 * SECOND, true), (-3 * SECOND, true), (-SECOND, false)] {
        let harness = Harness::new();
        let log = harness.create().unwrap();
        assert_eq!(harness.submit(&log, 0..3).await, []);
        harness.clock.move_by(64_700);
        publish(log.shared()).unwrap();
        let published = checkpoint(&log);
        harness.clock.jump_by(step);
        let errors = harness.submit(&log, 3..4).await;
        assert_eq!(!errors.is_empty(), refused, "{step}: {errors:?}");
        assert_eq!(
            matches!(log.health(), Err(Unavailable::ClockBehind)),
            refused,
            "{step}"
        );
        harness.clock.jump_by(-step);
        assert_eq!(harness.submit(&log, 4..5).await, []);
        log.shutdown().await;
        let held = entries(&log).await;
        let later = held.iter().skip(published.size() as usize);
        assert!(
            later.clone().count() > 0
                && later
                    .clone()
                    .all(|entry| entry.timestamp() >= published.timestamp()),
            "{step}"
        );
        verify_times(&harness, &log).await;
    }
}

/// Files whose next commit waits until it is let go on.
struct Held {
    disk: Disk,
    gate: Gate,
}

#[derive(Clone)]
struct Gate {
    entered: Sender<()>,
    go_on: Arc<Mutex<Receiver<()>>>,
}

struct HeldJournal(Box<dyn Journal>, Gate);

impl Storage for Held {
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        let opened = Box::new(self.disk).open(opening)?;
        Ok(Opened {
            journal: Box::new(HeldJournal(opened.journal, self.gate)),
            ..opened
        })
    }
}

impl Journal for HeldJournal {
    fn look_every(&self) -> Option<Duration> {
        self.0.look_every()
    }

    fn missed(&mut self, size: u64, turn: Turn) -> Result<Vec<Batch>, CommitError> {
        self.0.missed(size, turn)
    }

    fn commit(
        &mut self,
        buffer: &mut RecordBuffer,
        from: &Head,
        to: &Head,
    ) -> Result<Committed, CommitError> {
        self.1.entered.send(()).unwrap();
        self.1.go_on.lock().unwrap().recv().unwrap();
        self.0.commit(buffer, from, to)
    }

    fn pass(&mut self) {
        self.0.pass();
    }
}

/// While a batch is being written the clock goes on, and checkpoints are published of the tree before it.
#[tokio::test(flavor = "multi_thread")]
async fn c4_no_checkpoint_is_dated_after_a_batch_that_is_on_its_way() {
    let harness = Harness::new();
    harness.create().unwrap().shutdown().await;
    let ((entered, was_entered), (go_on, may_go_on)) = (channel(), channel());
    let gate = Gate {
        entered,
        go_on: Arc::new(Mutex::new(may_go_on)),
    };
    let disk = Disk {
        files: Arc::new(harness.model.clone()),
        mirror: None,
        lock: None,
    };
    let platform = Platform {
        storage: Box::new(Held { disk, gate }),
        clock: Arc::new(harness.clock.clone()),
    };
    let settings = LogSettings::new("the model", origin()).index_file("");
    let log = Log::start(platform, settings, harness.key()).unwrap();
    for number in 0..3 {
        harness.clock.move_by(10);
        let submitted = tokio::spawn({
            let log = log.clone();
            async move { submit(&log, number).await }
        });
        was_entered.recv().unwrap();
        let mut before = checkpoint(&log);
        for _ in 0..3 {
            harness.clock.move_by(64_700);
            // The second time there is nothing left to date it by.
            drop(publish(log.shared()));
            before = checkpoint(&log);
            assert_eq!(before.size(), number);
        }
        go_on.send(()).unwrap();
        let sct = submitted.await.unwrap();
        assert!(sct.timestamp() >= before.timestamp(), "{number}");
        publish(log.shared()).unwrap();
        assert_eq!(checkpoint(&log).timestamp(), harness.now(), "time goes on");
    }
    drop(go_on);
    log.shutdown().await;
}

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(millis)
}

#[test]
fn dates_of_one_writer() {
    let mut dates = Dates::new(at(1_000), Others::None);
    assert_eq!(
        dates.batch(at(900), at(950)),
        Ok(at(1_000)),
        "not before a checkpoint"
    );
    // Dated like the checkpoint: none fits between them.
    assert_eq!(dates.checkpoint(at(900), at(5_000)), None);
    dates.committed();
    assert_eq!(dates.checkpoint(at(1_000), at(5_000)), Some(at(5_000)));
    assert_eq!(
        dates.checkpoint(at(1_000), at(4_000)),
        Some(at(5_001)),
        "only forward"
    );
    assert_eq!(dates.batch(at(1_000), at(3_000)), Err(ClockBehind));
    assert_eq!(
        dates.checkpoint(at(1_000), at(5_500)),
        Some(at(5_500)),
        "nothing is on its way"
    );
    assert_eq!(dates.batch(at(1_000), at(6_000)), Ok(at(6_000)));
    assert_eq!(dates.checkpoint(at(1_000), at(7_000)), Some(at(6_000)));
    assert_eq!(dates.checkpoint(at(1_000), at(7_000)), None);
    dates.settle();
    assert_eq!(dates.checkpoint(at(1_000), at(7_000)), Some(at(7_000)));
    // Not before an entry, whatever the clock says.
    assert_eq!(dates.checkpoint(at(7_500), at(7_200)), Some(at(7_500)));
}

#[test]
fn dates_beside_other_writers() {
    let mut dates = Dates::new(at(1_000), Others::FollowedUntil(at(2_000)));
    assert_eq!(
        dates.checkpoint(at(900), at(9_000)),
        Some(at(2_000)),
        "what came later is not known"
    );
    // An entry that was taken over: whatever follows it is not older.
    assert_eq!(dates.checkpoint(at(4_000), at(9_000)), Some(at(4_000)));
    dates.followed(at(8_000));
    assert_eq!(dates.checkpoint(at(4_000), at(9_000)), Some(at(8_000)));
    dates.saw_checkpoint(at(12_000));
    assert_eq!(dates.batch(at(4_000), at(9_000)), Err(ClockBehind));
    assert_eq!(dates.batch(at(4_000), at(11_000)), Ok(at(12_000)));
    dates.committed();
    dates.followed(at(13_000));
    assert_eq!(dates.checkpoint(at(12_000), at(13_500)), Some(at(13_000)));
}

/// C4: a checkpoint that another writer's entry overtook is not published. However many append, the next one can be: an entry that it
/// does not hold is dated like its last one, or later.
#[test]
fn dates_after_a_checkpoint_that_was_overtaken() {
    let mut dates = Dates::new(at(1_000), Others::FollowedUntil(at(5_000)));
    assert_eq!(dates.checkpoint(at(3_000), at(9_000)), Some(at(5_000)));
    dates.overtaken();
    dates.followed(at(6_000));
    assert_eq!(dates.checkpoint(at(4_000), at(9_000)), Some(at(4_000)));
    dates.followed(at(7_000));
    assert_eq!(
        dates.checkpoint(at(4_500), at(9_000)),
        Some(at(7_000)),
        "only the next one"
    );
    dates.saw_checkpoint(at(7_500));
    dates.overtaken();
    dates.followed(at(8_000));
    assert_eq!(
        dates.checkpoint(at(4_500), at(9_000)),
        Some(at(8_000)),
        "there is nothing new to hold"
    );
}
