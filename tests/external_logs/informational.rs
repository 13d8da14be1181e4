//! Logs that are told and not waited for.

use mayfly::log::{Embedding, Use};
use serde_json::Value;

use crate::{
    eventually, external,
    fake_log::{FakeLog, Mood},
    instance::Instance,
    series, settings,
};

fn informational(ca: &Instance) -> Vec<Value> {
    let records = ca.audit_records().into_iter();
    records
        .filter(|record| record["event"] == "informational-sct")
        .collect()
}

#[tokio::test]
async fn what_an_informational_log_promised_is_on_record() {
    let log = FakeLog::start(Mood::Honest).await;
    let external = external(
        Embedding::Embedded,
        vec![settings(&log, "told", Use::Informational)],
    );
    let ca = Instance::start_with(|wishes| wishes.external = Some(external)).await;
    let issued = ca.issue().await.unwrap();
    assert_eq!(issued.logged().scts().len(), 1);
    eventually(|| informational(&ca).len() == 1).await;
    let record = &informational(&ca)[0];
    let serial = issued.logged().precertificate().draft().serial();
    assert_eq!(record["serial"], hex::encode(serial.as_bytes()));
    assert_eq!(
        (&record["log"], &record["leaf_index"]),
        (&"told".into(), &0.into())
    );
    assert_eq!(record["log_id"], hex::encode(log.log_id()));
}

/// However it fails, and however many entries it does not take.
#[tokio::test]
async fn an_informational_log_that_fails_disturbs_nothing() {
    for mood in [
        Mood::WrongKey,
        Mood::Html,
        Mood::Hang,
        Mood::SentAway("3600"),
        Mood::Status(500),
    ] {
        let log = FakeLog::start(mood).await;
        let external = external(
            Embedding::Embedded,
            vec![settings(&log, "told", Use::Informational)],
        );
        let ca = Instance::start_with(|wishes| wishes.external = Some(external)).await;
        for _ in 0..20 {
            ca.issue().await.unwrap();
        }
        eventually(|| log.asked() > 0).await;
        assert!(ca.authority.readiness().log.is_ok());
        assert!(informational(&ca).is_empty(), "{mood:?}");
    }
}

#[tokio::test]
async fn entries_that_a_log_does_not_take_are_counted() {
    let log = FakeLog::start(Mood::WrongKey).await;
    let external = external(
        Embedding::Embedded,
        vec![settings(&log, "told", Use::Informational)],
    );
    let metrics = external.metrics.clone();
    let ca = Instance::start_with(|wishes| wishes.external = Some(external)).await;
    for _ in 0..3 {
        ca.issue().await.unwrap();
    }
    let dropped = || series(&metrics, "mayfly_external_log_dropped_total{log=\"told\"}");
    eventually(|| dropped() >= 3.0).await;
    assert_eq!(log.asked(), 3);
}

/// A log that hangs fills its queue; what comes then is dropped at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_drops_and_does_not_wait() {
    let log = FakeLog::start(Mood::Hang).await;
    let external = external(
        Embedding::Embedded,
        vec![settings(&log, "told", Use::Informational)],
    );
    let metrics = external.metrics.clone();
    let ca = Instance::start_with(|wishes| wishes.external = Some(external)).await;
    for _ in 0..1024 + 16 {
        ca.issue().await.unwrap();
    }
    assert!(series(&metrics, "mayfly_external_log_dropped_total{log=\"told\"}") > 0.0);
}
