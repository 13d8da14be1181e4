//! Whatever a log answers that is no SCT for the precertificate: no certificate comes of it.

use mayfly::{
    issue::IssueError,
    log::{Embedding, LogError, Use},
};

use crate::{
    external,
    fake_log::{FakeLog, Mood},
    settings, submissions, without_own_log,
};

/// The answers that take no time.
const HOSTILE: [Mood; 17] = [
    Mood::WrongKey,
    Mood::OtherLogId,
    Mood::AnotherCertificate,
    Mood::Old,
    Mood::Future,
    Mood::NoExtensions,
    Mood::GarbageExtensions,
    Mood::TwoLeafIndices,
    Mood::Version2,
    Mood::OtherAlgorithm,
    Mood::Huge,
    Mood::Redirect,
    Mood::SentAway("3600"),
    Mood::NotJson,
    Mood::Html,
    Mood::Nothing,
    Mood::Status(400),
];

/// C18.
#[tokio::test]
async fn an_answer_that_is_no_sct_for_it_leads_to_no_certificate() {
    for mood in HOSTILE {
        let log = FakeLog::start(mood).await;
        let external = external(Embedding::First, vec![settings(&log, "fake", Use::Embed)]);
        let ca = without_own_log(external).await;
        match ca.issue().await {
            Err(IssueError::Log(LogError::NoSct(failures))) => {
                assert!(failures.to_string().contains("fake: "), "{failures}");
            }
            other => panic!("{mood:?}: {other:?}"),
        }
        assert_eq!(log.asked(), 1, "{mood:?}");
        let records = ca.audit_records();
        assert!(records.iter().all(|record| record["event"] == "precertificate"));
    }
}

/// C18: the next log is used instead, for its own SCT.
#[tokio::test]
async fn after_such_an_answer_the_next_log_is_asked() {
    for mood in HOSTILE.into_iter().chain([Mood::Hang, Mood::Drip]) {
        let (bad, good) = (FakeLog::start(mood).await, FakeLog::start(Mood::Honest).await);
        let external = external(
            Embedding::First,
            vec![
                settings(&bad, "bad", Use::Embed),
                settings(&good, "good", Use::Embed),
            ],
        );
        let ca = without_own_log(external).await;
        let issued = ca
            .issue()
            .await
            .unwrap_or_else(|error| panic!("{mood:?}: {error}"));
        let [sct] = issued.logged().scts() else {
            panic!("not one SCT")
        };
        assert_eq!(
            (sct.log(), sct.log_id().as_bytes().as_slice()),
            ("good", &*good.log_id())
        );
        assert_eq!((bad.asked(), good.asked()), (1, 1), "{mood:?}");
    }
}

/// C18. Once both have the request, time goes as fast as the test can.
#[tokio::test]
async fn a_log_that_never_ends_its_answer_holds_a_request_up_for_a_bounded_time() {
    for mood in [Mood::Hang, Mood::Drip] {
        let log = FakeLog::start(mood).await;
        let external = external(Embedding::First, vec![settings(&log, "fake", Use::Embed)]);
        let metrics = external.metrics.clone();
        let ca = without_own_log(external).await;
        let (issued, ()) = tokio::join!(ca.issue(), async {
            crate::eventually(|| log.asked() == 1).await;
            tokio::time::pause();
        });
        tokio::time::resume();
        assert!(
            matches!(issued, Err(IssueError::Log(LogError::NoSct(_)))),
            "{mood:?}"
        );
        assert!(submissions(&metrics, "fake", "unreachable") >= 1.0);
    }
}

#[tokio::test]
async fn a_log_that_asked_for_a_pause_is_left_alone() {
    let log = FakeLog::start(Mood::SentAway("3600")).await;
    let external = external(Embedding::First, vec![settings(&log, "fake", Use::Embed)]);
    let metrics = external.metrics.clone();
    let ca = without_own_log(external).await;
    for _ in 0..10 {
        assert!(ca.issue().await.is_err());
    }
    assert_eq!(log.asked(), 1);
    assert!((submissions(&metrics, "fake", "sent_away") - 1.0).abs() < f64::EPSILON);
    assert!(ca.authority.readiness().log.is_ok(), "a pause is not a failure");
}

#[tokio::test]
async fn a_log_that_asks_for_a_moment_is_asked_again_in_the_same_request() {
    for when in ["0", "1", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let log = FakeLog::start(Mood::SentAway(when)).await;
        let external = external(Embedding::First, vec![settings(&log, "fake", Use::Embed)]);
        let ca = without_own_log(external).await;
        let (issued, ()) = tokio::join!(ca.issue(), async {
            crate::eventually(|| log.asked() == 1).await;
            log.set(Mood::Honest);
        });
        issued.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_keeps_failing_is_asked_no_more() {
    let log = FakeLog::start(Mood::Html).await;
    let external = external(Embedding::First, vec![settings(&log, "fake", Use::Embed)]);
    let metrics = external.metrics.clone();
    let ca = without_own_log(external).await;
    for _ in 0..10 {
        assert!(ca.issue().await.is_err());
    }
    assert_eq!(log.asked(), 5);
    let open = crate::series(&metrics, "mayfly_external_log_breaker_open{log=\"fake\"}");
    assert!((open - 1.0).abs() < f64::EPSILON);
    assert!(ca.authority.readiness().log.unwrap_err().contains("fake"));
    assert!(!ca.authority.readiness().is_ready());
}
