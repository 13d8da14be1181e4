//! Buckets in which a log does not open or is not born: damaged, rolled back, another log's, with a store that cannot be used.

use super::faults::Conditions;
use super::ground::{Ground, Kind, Writer};
use super::published;
use crate::storage::S3Settings;
use crate::tests::support::Harness;

pub(super) async fn c10_what_vanished_or_changed_is_refused(kind: Kind) {
    let ground = Ground::new(kind);
    let writer = Writer::new();
    let log = ground.create(&writer).unwrap();
    for first in (0..700).step_by(100) {
        assert_eq!(ground.harness.submit(&log, first..first + 100).await, []);
    }
    published(&ground, &log, 700).await;
    log.shutdown().await;
    let keys = ground.keys().await;
    let commits: Vec<_> = keys.iter().filter(|key| key.starts_with("commit/")).collect();
    let needed: Vec<_> = commits
        .iter()
        .copied()
        .rev()
        .take(2)
        .map(String::as_str)
        .collect();
    for key in needed
        .into_iter()
        .chain(["checkpoint", "log.json", "tile/data/000"])
    {
        let right = ground.get(key).await;
        ground.delete(key).await;
        let refusal = ground.refusal(&Writer::new());
        assert!(
            ["missing", "left of", "holds more", "no log in"]
                .iter()
                .any(|text| refusal.contains(text)),
            "{key}: {refusal}"
        );
        let mut wrong = right.clone();
        // Of a tile, the time of its first entry: a precertificate is not under the leaf hash.
        let at = if key.starts_with("tile") {
            7
        } else {
            wrong.len() / 2
        };
        wrong[at] ^= 1;
        ground.put(key, wrong).await;
        let refusal = ground.refusal(&Writer::new());
        assert!(
            refusal.contains("damaged")
                || refusal.contains("other contents")
                || refusal.contains("holds the log"),
            "{key}: {refusal}"
        );
        ground.put(key, right).await;
    }
    let writer = Writer::new();
    let log = ground.open(&writer).unwrap();
    ground.harness.verify(&log).await;
}

pub(super) async fn c15_a_bucket_that_was_rolled_back_is_refused(kind: Kind) {
    let ground = Ground::new(kind);
    let writer = Writer::new();
    let log = ground.create(&writer).unwrap();
    assert_eq!(ground.harness.submit(&log, 0..5).await, []);
    published(&ground, &log, 5).await;
    log.shutdown().await;
    let before = ground.get("checkpoint").await;
    let keys = ground.keys().await;
    let log = ground.open(&writer).unwrap();
    assert_eq!(ground.harness.submit(&log, 5..9).await, []);
    published(&ground, &log, 9).await;
    log.shutdown().await;
    for key in ground.keys().await {
        if !keys.contains(&key) {
            ground.delete(&key).await;
        }
    }
    ground.put("checkpoint", before).await;
    let refusal = ground.refusal(&writer);
    assert!(refusal.contains("older than what was acknowledged"), "{refusal}");
}

pub(super) async fn c16_a_log_is_born_once(kind: Kind) {
    let ground = Ground::new(kind);
    let refusal = ground.refusal(&Writer::new());
    assert!(
        refusal.contains("no log in s3://ct-log-tests/logs/2027"),
        "{refusal}"
    );
    let writer = Writer::new();
    let log = ground.create(&writer).unwrap();
    let again = ground.create(&Writer::new()).expect_err("born twice").to_string();
    assert!(again.contains("is not empty"), "{again}");
    log.shutdown().await;
    drop(log);
    let other = Ground {
        harness: Harness::new(),
        ..ground
    };
    let refusal = other.refusal(&Writer::new());
    assert!(refusal.contains("not that of the key"), "{refusal}");
}

pub(super) async fn a_store_that_ignores_conditions_is_refused(kind: Kind) {
    for (conditions, header) in [
        (Conditions::NoneMatchIgnored, "If-None-Match"),
        (Conditions::MatchIgnored, "If-Match"),
    ] {
        let ground = Ground::of(kind, conditions);
        let refusal = ground.refusal(&Writer::new());
        assert!(refusal.contains(&format!("it ignores {header}")), "{refusal}");
        assert!(refusal.contains("s3://ct-log-tests/logs/2027"), "{refusal}");
        assert_eq!(ground.keys().await, Vec::<String>::new());
    }
}

#[test]
fn places_that_cannot_be_are_refused() {
    for bucket in ["", "ab", "Upper", "a/b", "a b"] {
        assert!(S3Settings::new(bucket).is_err(), "{bucket}");
    }
    let s3 = S3Settings::new("a-bucket").unwrap();
    for prefix in ["", "/a", "a/", "a//b", "../a", "a b", "ä"] {
        assert!(s3.clone().prefix(prefix).is_err(), "{prefix}");
    }
    for url in [
        "http://127.0.0.1:1",
        "https://user@host",
        "https://host/path",
        "host",
        "ftp://host",
    ] {
        assert!(s3.clone().endpoint(url).is_err(), "{url}");
    }
    for url in [
        "http://10.0.0.1:9000",
        "http://example.com",
        "https://127.0.0.1:1",
    ] {
        assert!(s3.clone().plain_endpoint(url).is_err(), "{url}");
    }
    assert!(s3.clone().plain_endpoint("http://[::1]:9000").is_ok());
    let there = s3
        .prefix("ct/2027")
        .unwrap()
        .endpoint("https://s3.example.com")
        .unwrap();
    assert_eq!(
        there.location(),
        "s3://a-bucket/ct/2027 at https://s3.example.com"
    );
}
