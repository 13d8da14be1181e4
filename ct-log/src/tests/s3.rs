//! Logs in buckets. The same tests run on a store in memory and on moto, a store of another origin, behind a proxy; those on
//! moto by `tests/interop/run`.

mod faults;
mod ground;
mod moto;
mod proxy;
mod refusals;

use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::{Attribute, ObjectStoreExt};
use tokio::task::JoinSet;

use crate::leaf::Entry;
use crate::log::Log;
use crate::sct::Sct;
use crate::submission::{SubmitError, Submitter, Unavailable};
use crate::tests::support::{checkpoint, entries, entry, origin};

use faults::{ALL, Fault};
use ground::{Ground, Kind, Writer};
use refusals::{
    a_store_that_ignores_conditions_is_refused, c10_what_vanished_or_changed_is_refused,
    c15_a_bucket_that_was_rolled_back_is_refused, c16_a_log_is_born_once,
};

/// Each test twice.
macro_rules! on_both {
    ($($(#[$about:meta])* $name:ident,)*) => {
        mod in_memory {
            use super::*;
            $($(#[$about])*
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(Kind::Memory).await;
            })*
        }
        mod on_moto {
            use super::*;
            $($(#[$about])*
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs moto"]
            async fn $name() {
                super::$name(Kind::Moto).await;
            })*
        }
    };
}

on_both! {
    c16_writers_of_one_bucket_make_one_tree,
    c2_no_fault_of_a_write_loses_an_entry_or_forks_the_log,
    c16_a_late_write_is_taken_over_or_comes_to_nothing,
    a_read_that_fails_while_catching_up_is_tried_again,
    c4_a_checkpoint_survives_every_fault,
    a_store_that_is_away_costs_refusals_only,
    c6_a_bucket_alone_serves_every_checkpoint,
    c10_what_vanished_or_changed_is_refused,
    c15_a_bucket_that_was_rolled_back_is_refused,
    c16_a_log_is_born_once,
    a_store_that_ignores_conditions_is_refused,
}

/// Until it is logged, whatever the store does meanwhile.
async fn insist(log: &Log, number: u64) -> (Entry, Sct) {
    let pending = loop {
        match log.store_issuers(&[b"an issuer"]) {
            Ok(_) => break entry(log, number),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let logged = pending.entry().clone();
    loop {
        match log.submit(pending.clone(), Submitter::Internal).await {
            Ok(sct) => return (logged, sct),
            Err(SubmitError::Busy { .. } | SubmitError::Unreachable) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn published(ground: &Ground, log: &Log, size: u64) {
    for _ in 0..2_000 {
        ground.harness.clock.move_by(1);
        if checkpoint(log).size() >= size {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{size} entries are never published");
}

/// C1, C2, C5 and an audit.
async fn hold(ground: &Ground, log: &Log, answers: &[(Entry, Sct)]) {
    let last = answers.iter().map(|(_, sct)| sct.leaf_index().get() + 1).max();
    published(ground, log, last.unwrap_or(0)).await;
    let held = entries(log).await;
    for (entry, sct) in answers {
        sct.verify(entry, log.public_key()).unwrap();
        let held = &held[sct.leaf_index().get() as usize];
        assert_eq!((held.entry(), held.timestamp()), (entry, sct.timestamp()));
    }
    ground.harness.see_checkpoint(log);
    ground.harness.verify(log).await;
}

async fn c16_writers_of_one_bucket_make_one_tree(kind: Kind) {
    let ground = Ground::new(kind);
    let writers = [Writer::new(), Writer::new(), Writer::new()];
    let mut logs = vec![ground.create(&writers[0]).unwrap()];
    logs.extend(writers[1..].iter().map(|writer| ground.open(writer).unwrap()));
    let mut submitters = JoinSet::new();
    for number in 0..600 {
        let log = logs[number % logs.len()].clone();
        submitters.spawn(async move { insist(&log, number as u64).await });
    }
    let answers = submitters.join_all().await;
    for log in &logs {
        hold(&ground, log, &answers).await;
        assert_eq!(checkpoint(log).size(), 600, "each entry once");
    }
    for log in &logs {
        log.shutdown().await;
    }
    let keys = ground.keys().await;
    assert!(
        keys.iter()
            .all(|key| !key.starts_with("probe/") && !key.contains(".p/")),
        "{keys:?}"
    );
    // A writer that comes later finds it all, and the tiles as the others stored them.
    hold(&ground, &ground.open(&Writer::new()).unwrap(), &answers).await;
}

/// Every fault, alone and before every other, for the write that commits.
async fn c2_no_fault_of_a_write_loses_an_entry_or_forks_the_log(kind: Kind) {
    let ground = Ground::new(kind);
    let writers = [Writer::new(), Writer::new()];
    let logs = [
        ground.create(&writers[0]).unwrap(),
        ground.open(&writers[1]).unwrap(),
    ];
    let mut answers = Vec::new();
    let mut number = 0;
    for first in ALL {
        for second in [None].into_iter().chain(ALL.map(Some)) {
            ground.plan.set("/commit/", [first].into_iter().chain(second));
            for log in &logs {
                answers.push(insist(log, number).await);
                number += 1;
            }
            assert!(
                logs.iter()
                    .all(|log| !matches!(log.health(), Err(Unavailable::Failed(_))))
            );
        }
    }
    assert_eq!(ground.plan.left(), 0, "every fault happened");
    tokio::time::sleep(Duration::from_secs(1)).await;
    for log in &logs {
        hold(&ground, log, &answers).await;
        log.shutdown().await;
    }
    hold(&ground, &ground.open(&Writer::new()).unwrap(), &answers).await;
}

/// The writer gives up before its own write arrives; another writer may be first by then.
async fn c16_a_late_write_is_taken_over_or_comes_to_nothing(kind: Kind) {
    let mut ground = Ground::new(kind);
    ground.settings = ground
        .settings
        .clone()
        .impatient(Duration::from_millis(400), Duration::from_millis(450));
    let writers = [Writer::new(), Writer::new()];
    let logs = [
        ground.create(&writers[0]).unwrap(),
        ground.open(&writers[1]).unwrap(),
    ];
    let mut answers = vec![insist(&logs[0], 0).await];
    for round in 1..5 {
        ground.plan.set("/commit/", [Fault::Late; 16]);
        let late = logs[0]
            .submit(entry(&logs[0], round * 10), Submitter::Internal)
            .await;
        assert_eq!(late.unwrap_err(), SubmitError::Unreachable);
        ground.plan.set("", []);
        if round % 2 == 0 {
            answers.push(insist(&logs[1], round * 10 + 1).await);
        } else {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        answers.push(insist(&logs[0], round * 10 + 2).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for log in &logs {
        hold(&ground, log, &answers).await;
        log.shutdown().await;
    }
    hold(&ground, &ground.open(&Writer::new()).unwrap(), &answers).await;
}

/// The last of several batches cannot be read at first: the writer that follows goes on after it all the same.
async fn a_read_that_fails_while_catching_up_is_tried_again(kind: Kind) {
    let ground = Ground::new(kind);
    let writers = [Writer::new(), Writer::new()];
    let logs = [
        ground.create(&writers[0]).unwrap(),
        ground.open(&writers[1]).unwrap(),
    ];
    let mut answers = Vec::new();
    for round in 0..4 {
        let last = format!("/commit/{:020}", logs[0].size() + 3);
        ground.plan.fail_read(&last);
        for number in round * 4..round * 4 + 4 {
            answers.push(insist(&logs[0], number).await);
        }
        for _ in 0..1_000 {
            if logs[1].size() == logs[0].size() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!ground.plan.awaits_read(), "the read failed");
        assert!(!matches!(logs[1].health(), Err(Unavailable::Failed(_))));
        assert_eq!(logs[1].size(), logs[0].size());
    }
    answers.push(insist(&logs[1], 100).await);
    for log in &logs {
        hold(&ground, log, &answers).await;
        log.shutdown().await;
    }
}

async fn c4_a_checkpoint_survives_every_fault(kind: Kind) {
    let ground = Ground::new(kind);
    let writer = Writer::new();
    let log = ground.create(&writer).unwrap();
    let mut answers = Vec::new();
    let mut last = checkpoint(&log).timestamp();
    for (number, fault) in (0..).zip(ALL) {
        ground.plan.set("/checkpoint", [fault]);
        answers.push(insist(&log, number).await);
        published(&ground, &log, number + 1).await;
        assert_eq!(ground.plan.left(), 0);
        assert!(checkpoint(&log).timestamp() > last, "C4");
        last = checkpoint(&log).timestamp();
        ground.harness.see_checkpoint(&log);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.shutdown().await;
    let stored = String::from_utf8(ground.get("checkpoint").await).unwrap();
    assert_eq!(*stored, *log.checkpoint(), "no late write came after it");
    hold(&ground, &ground.open(&writer).unwrap(), &answers).await;
}

async fn a_store_that_is_away_costs_refusals_only(kind: Kind) {
    let ground = Ground::new(kind);
    let writer = Writer::new();
    let log = ground.create(&writer).unwrap();
    let mut answers = vec![insist(&log, 0).await];
    let waiting = entry(&log, 1);
    ground.plan.down.store(true, Ordering::SeqCst);
    let refused = log.submit(waiting, Submitter::Internal).await;
    assert_eq!(refused.unwrap_err(), SubmitError::Unreachable);
    assert!(matches!(log.health(), Err(Unavailable::Unreachable)));
    assert!(log.store_issuers(&[b"another"]).is_err());
    ground.plan.down.store(false, Ordering::SeqCst);
    answers.push(insist(&log, 2).await);
    assert!(log.health().is_ok());
    hold(&ground, &log, &answers).await;
}

async fn c6_a_bucket_alone_serves_every_checkpoint(kind: Kind) {
    let mut ground = Ground::new(kind);
    ground.settings = ground.settings.clone().static_partials();
    let writer = Writer::new();
    let log = ground.create(&writer).unwrap();
    for (first, end) in [(0, 1), (1, 200), (200, 256), (256, 600)] {
        assert_eq!(ground.harness.submit(&log, first..end).await, []);
        published(&ground, &log, end).await;
        ground.check_bucket(&origin()).await;
    }
    log.shutdown().await;
    let keys = ground.keys().await;
    let partials: Vec<_> = keys
        .iter()
        .filter(|key| key.contains(".p/"))
        .map(String::as_str)
        .collect();
    assert!(
        partials.iter().all(|key| !key.starts_with("tile/0/000.p/")),
        "{partials:?}"
    );
    assert!(partials.contains(&"tile/data/002.p/88"), "{partials:?}");
    let served = |key: &str| object_store::path::Path::from(format!("logs/2027/{key}"));
    for (key, media_type, caching) in [
        ("checkpoint", "text/plain; charset=utf-8", "public, max-age=1"),
        (
            "tile/data/001",
            "application/octet-stream",
            "public, max-age=604800, immutable",
        ),
    ] {
        let object = ground.direct.get(&served(key)).await.unwrap();
        assert_eq!(
            object.attributes.get(&Attribute::ContentType).unwrap().as_ref(),
            media_type
        );
        assert_eq!(
            object.attributes.get(&Attribute::CacheControl).unwrap().as_ref(),
            caching
        );
    }
}
