//! Who may submit to a log and until when; a log that is only read.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::chain::Policy;
use ct_log::check::{self, Depth};
use ct_log::http::Submissions;
use ct_log::{Log, LogKey, LogSettings, OpenError, Origin, Phase, Window};
use serde_json::json;
use support::http::{ADD_CHAIN, ADD_PRE_CHAIN, Harness, ORIGIN};
use support::{Pki, leaf_params, precertificate_params};

fn policy(pki: &Pki) -> Policy {
    Policy::new([pki.root.der().as_slice()]).unwrap()
}

fn door(make: impl FnOnce(Policy) -> Submissions) -> (Harness, Submissions) {
    let pki = Pki::new();
    let log = Log::in_memory(Origin::new(ORIGIN).unwrap(), LogKey::generate().unwrap()).unwrap();
    let submissions = make(policy(&pki));
    (Harness::over(pki, log, submissions.clone()), submissions)
}

async fn status(harness: &Harness, serial: u64) -> StatusCode {
    let chain = harness.pki.chain(&precertificate_params(serial));
    harness.submit(ADD_PRE_CHAIN, &chain).await.status
}

#[tokio::test]
async fn submissions_over_the_rate_are_told_to_come_back() {
    let (harness, _) = door(|policy| {
        Submissions::limited(
            policy,
            NonZeroU32::new(3).unwrap(),
            Duration::from_secs(3 * 60 * 60),
        )
    });
    for serial in 0..3 {
        assert_eq!(status(&harness, serial).await, StatusCode::OK);
    }
    let chain = harness.pki.chain(&precertificate_params(3));
    let refused = harness.submit(ADD_PRE_CHAIN, &chain).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.header(RETRY_AFTER).parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    let message = refused.json()["error_message"].as_str().unwrap().to_owned();
    assert_eq!(message, format!("too many submissions; try again in {wait} s"));
    assert_eq!(harness.log.size(), 3);
    assert_eq!(harness.get("/ct/v1/get-roots").await.status, StatusCode::OK);
}

#[tokio::test]
async fn log_of_one_ca_takes_nothing_from_others() {
    let (harness, _) = door(Submissions::off);
    for (path, params) in [
        (ADD_CHAIN, leaf_params(1)),
        (ADD_PRE_CHAIN, precertificate_params(1)),
    ] {
        let refused = harness.submit(path, &harness.pki.chain(&params)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let expected = json!({ "error_message": "this log takes the entries of its own CA only" });
        assert_eq!(refused.json(), expected);
    }
    assert_eq!(harness.log.size(), 0);
    assert_eq!(harness.get("/checkpoint").await.status, StatusCode::OK);
}

/// A log can start before its CA has told it whom to accept, and learn it while it runs.
#[tokio::test]
async fn accepted_roots_are_replaced_while_the_log_runs() {
    let pki = Pki::new();
    let log = Log::in_memory(Origin::new(ORIGIN).unwrap(), LogKey::generate().unwrap()).unwrap();
    let submissions = Submissions::new(Policy::accepting_nothing());
    let harness = Harness::over(pki, log, submissions.clone());
    let roots = async || harness.get("/ct/v1/get-roots").await.json();
    assert_eq!(roots().await, json!({ "certificates": [] }));
    let refused = harness
        .submit(ADD_PRE_CHAIN, &harness.pki.chain(&precertificate_params(1)))
        .await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key(RETRY_AFTER));

    submissions.replace(policy(&harness.pki));
    let expected = json!({ "certificates": [STANDARD.encode(harness.pki.root.der())] });
    assert_eq!(roots().await, expected);
    assert_eq!(status(&harness, 1).await, StatusCode::OK);

    let other = Pki::new();
    submissions.replace(policy(&other));
    assert_eq!(status(&harness, 2).await, StatusCode::BAD_REQUEST);
    let both = [harness.pki.root.der(), other.root.der()];
    submissions.replace(Policy::new(both.iter().map(Vec::as_slice)).unwrap());
    assert_eq!(status(&harness, 2).await, StatusCode::OK);
    let theirs = other.chain(&precertificate_params(3));
    assert_eq!(
        harness.submit(ADD_PRE_CHAIN, &theirs).await.status,
        StatusCode::OK
    );
}

/// Every file with its contents and the time of its last change.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        if metadata.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(
                path.clone(),
                (fs::read(&path).unwrap(), metadata.modified().unwrap()),
            );
        }
    }
    found
}

/// C13: without the private key, without a write, and the same answers as ever.
#[tokio::test(flavor = "multi_thread")]
async fn log_is_served_read_only_from_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || LogSettings::new(directory.path(), Origin::new(ORIGIN).unwrap());
    let log = Log::create(settings(), LogKey::generate().unwrap()).unwrap();
    let pki = Pki::new();
    let policy = policy(&pki);
    let limit = |policy| Submissions::limited(policy, NonZeroU32::MAX, Duration::from_secs(1));
    let writing = Harness::over(pki, log, limit(policy.clone()));
    for serial in 0..300 {
        writing.add(serial).await;
    }
    writing.log.shutdown().await;
    let before = contents(directory.path());
    let key = writing.log.public_key().clone();

    for _ in 0..2 {
        let log = Log::open_read_only(settings(), Some(&key)).unwrap();
        let reading = Harness::over(Pki::new(), log.clone(), limit(policy.clone()));
        assert_eq!((log.phase(), log.size()), (Phase::ReadOnly, 300));
        let report = check::check(&log, (log.origin(), &key), Depth::Certificates).await;
        assert!(report.is_sound() && report.entries() == 300, "{report}");
        for path in [
            "/checkpoint",
            "/ct/v1/get-roots",
            "/tile/0/000",
            "/tile/0/001.p/44",
            "/tile/data/000",
            "/tile/data/000.p/7",
            "/tile/data/001.p/44",
            "/tile/1/000.p/1",
        ] {
            let (was, is) = (writing.get(path).await, reading.get(path).await);
            assert_eq!((is.status, &is.body), (StatusCode::OK, &was.body), "{path}");
        }
        for (path, params) in [
            (ADD_CHAIN, leaf_params(900)),
            (ADD_PRE_CHAIN, precertificate_params(900)),
            (ADD_PRE_CHAIN, precertificate_params(1)),
        ] {
            let gone = reading.submit(path, &writing.pki.chain(&params)).await;
            assert_eq!(gone.status, StatusCode::GONE);
            assert!(
                gone.json()["error_message"]
                    .as_str()
                    .unwrap()
                    .contains("read-only")
            );
        }
        assert!(log.store_issuers(&[b"new"]).is_err());
        let last = log.final_checkpoint().unwrap();
        let info = reading.get("/log.v3.json").await.json();
        let expected = json!({
            "sha256_root_hash": STANDARD.encode(last.root().as_bytes()),
            "tree_size": 300,
        });
        assert_eq!(info["state"]["readonly"]["final_tree_head"], expected);
        log.shutdown().await;
    }
    assert_eq!(contents(directory.path()), before, "nothing was written");
}

#[tokio::test]
async fn only_the_log_that_is_meant_is_opened_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let named = |origin| LogSettings::new(directory.path(), Origin::new(origin).unwrap());
    let missing = Log::open_read_only(named(ORIGIN), None);
    assert!(matches!(missing, Err(OpenError::Absent { .. })));
    let nobody = Log::identify(directory.path());
    assert!(matches!(nobody, Err(OpenError::Absent { .. })));
    let log = Log::create(named(ORIGIN), LogKey::generate().unwrap()).unwrap();
    let (key, origin) = Log::identify(directory.path()).unwrap();
    assert_eq!(
        (key.log_id(), origin.as_str()),
        (log.public_key().log_id(), ORIGIN)
    );
    log.shutdown().await;
    Log::open_read_only(named(ORIGIN), None).unwrap();
    let other_name = Log::open_read_only(named("log.example/other"), None);
    assert!(matches!(other_name, Err(OpenError::OtherOrigin { .. })));
    let other = LogKey::generate().unwrap();
    let other_key = Log::open_read_only(named(ORIGIN), Some(other.public()));
    assert!(matches!(other_key, Err(OpenError::OtherKey { .. })));
}

/// C13, C14 over HTTP, by the clock of the system.
#[tokio::test(flavor = "multi_thread")]
async fn window_decides_what_is_taken_and_until_when() {
    let now = SystemTime::now();
    let day = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let open = |window| {
        let directory = tempfile::tempdir().unwrap();
        let settings = LogSettings::new(directory.path(), Origin::new(ORIGIN).unwrap()).window(window);
        (
            Log::create(settings, LogKey::generate().unwrap()).unwrap(),
            directory,
        )
    };
    // The grace after the window is not over yet.
    let (log, _directory) = open(Window::new(now - day(400), now - day(6)).unwrap());
    let pki = Pki::new();
    let policy = policy(&pki);
    let harness = Harness::over(pki, log, policy.clone());
    let expiring = |time: SystemTime| {
        let mut params = precertificate_params(1);
        params.not_before = (time - day(1)).into();
        params.not_after = time.into();
        harness.pki.chain(&params)
    };
    let answer = harness.submit(ADD_PRE_CHAIN, &expiring(now - day(300))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = harness.submit(ADD_PRE_CHAIN, &expiring(now)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.json()["error_message"]
            .as_str()
            .unwrap()
            .contains("interval")
    );

    let (log, _directory) = open(Window::new(now - day(400), now - day(8)).unwrap());
    let closed = Harness::over(Pki::new(), log, policy);
    let answer = closed.submit(ADD_PRE_CHAIN, &expiring(now - day(300))).await;
    assert_eq!(answer.status, StatusCode::GONE);
    while closed.log.final_checkpoint().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let info = closed.get("/log.v3.json").await.json();
    assert_eq!(info["state"]["readonly"]["final_tree_head"]["tree_size"], 0);
}
