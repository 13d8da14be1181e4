//! The trust files, against files that other people's clients were seen to accept (tests/vectors/trust/README.md).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use ct_log::{Log, LogKey, LogSettings, Origin, Window};
use mayfly::{
    clock::Timestamp,
    trust::{CtLog, SigningConfig, TrustError, TrustedRoot},
};
use serde_json::{Value, json};

/// 2026-01-02T03:04:05Z
const START: Timestamp = Timestamp::from_unix(Duration::from_secs(1_767_323_045));

fn vector(name: &str) -> Vec<u8> {
    fs::read(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/vectors/trust")
            .join(name),
    )
    .unwrap()
}

fn golden(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

fn log(public_key: &[u8], start: Timestamp) -> CtLog<'_> {
    CtLog {
        base_url: "http://127.0.0.1:5555/log".to_owned(),
        public_key,
        start,
        end: None,
    }
}

#[test]
fn trusted_root() {
    let key = vector("log-key.der");
    let chain = [vector("intermediate.der"), vector("root.der")];
    let root = TrustedRoot::new("http://127.0.0.1:5555", [&chain[..]], &[log(&key, START)]).unwrap();
    assert_eq!(root.to_json(), golden("trusted_root.json"));
}

/// C14: the shard before, this one and the next, each for as long as its SCTs can be.
#[test]
fn every_shard_is_in_the_trusted_root() {
    let day = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400);
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, from, until| {
        let origin = Origin::new(format!("ca.example.com/{name}")).unwrap();
        let settings = LogSettings::new(folder.path().join(name), origin).min_free_bytes(0);
        let settings = settings.window(Window::new(day(from), day(until)).unwrap());
        Log::create(settings, LogKey::generate().unwrap()).unwrap()
    };
    let shards = [open("past", 365, 730), open("next", 36_524, 36_889)];
    let whole = Log::in_memory(Origin::new("localhost").unwrap(), LogKey::generate().unwrap()).unwrap();
    let logs: Vec<_> = shards
        .iter()
        .chain([&whole])
        .map(|log| CtLog::of(log, "https://ca.example.com", START))
        .collect();
    let root = TrustedRoot::new("https://ca.example.com", [&[vector("root.der")][..]], &logs).unwrap();
    let root: Value = serde_json::from_str(&root.to_json()).unwrap();
    let [past, next, whole] = &**root["ctlogs"].as_array().unwrap() else {
        panic!("not three logs")
    };
    assert_eq!(past["baseUrl"], "https://ca.example.com/past");
    assert_eq!(
        past["publicKey"]["validFor"],
        json!({ "start": "1970-12-31T23:50:00Z", "end": "1972-01-01T00:00:00Z" })
    );
    assert_eq!(next["publicKey"]["validFor"]["start"], "2069-12-30T23:50:00Z");
    assert_ne!(past["logId"], next["logId"]);
    assert_eq!(whole["baseUrl"], "https://ca.example.com/log");
    assert!(whole["publicKey"]["validFor"].get("end").is_none());
}

#[test]
fn signing_config() {
    let config = SigningConfig::new(
        "http://127.0.0.1:5555",
        "http://127.0.0.1:5555/dev/oidc",
        "mayfly dev",
        START,
    )
    .unwrap();
    assert_eq!(config.to_json(), golden("signing_config.json"));
}

#[test]
fn with_a_timestamp_authority() {
    let key = vector("log-key.der");
    let chain = [vector("intermediate.der"), vector("root.der")];
    let url = "http://127.0.0.1:5555/api/v1/timestamp";
    let root = TrustedRoot::new("http://127.0.0.1:5555", [&chain[..]], &[log(&key, START)]).unwrap();
    let root = root.with_timestamp_authority(url, &chain).unwrap();
    let root: Value = serde_json::from_str(&root.to_json()).unwrap();
    let (ca, authority) = (
        &root["certificateAuthorities"][0],
        &root["timestampAuthorities"][0],
    );
    assert_eq!(
        (&authority["certChain"], &authority["validFor"]),
        (&ca["certChain"], &ca["validFor"])
    );
    assert_eq!(authority["uri"], url);

    let config = SigningConfig::new(
        "http://127.0.0.1:5555",
        "http://127.0.0.1:5555/dev/oidc",
        "operator",
        START,
    );
    let config = config
        .unwrap()
        .with_timestamp_authority(url, "operator", START)
        .unwrap();
    let config: Value = serde_json::from_str(&config.to_json()).unwrap();
    let expected = json!([{
        "url": url, "majorApiVersion": 1, "validFor": { "start": "2026-01-02T03:04:05Z" }, "operator": "operator"
    }]);
    assert_eq!(config["tsaUrls"], expected);
    assert_eq!(config["tsaConfig"], json!({ "selector": "ANY" }));
}

/// Each of these stops a client (docs of the fields say which): no selector without a service, no note key id on the
/// log, no null.
#[test]
fn what_must_not_be_there() {
    for name in ["trusted_root.json", "signing_config.json"] {
        let text = golden(name);
        for word in [
            "tsaConfig",
            "tsaUrls",
            "rekorTlogConfig",
            "rekorTlogUrls",
            "checkpointKeyId",
            "null",
        ] {
            assert!(!text.contains(word), "{name}: {word}");
        }
        serde_json::from_str::<Value>(&text).unwrap();
    }
}

#[test]
fn what_cannot_be_written() {
    let key = vector("log-key.der");
    let url = "http://127.0.0.1:5555";
    let empty = TrustedRoot::new(url, [&[][..]], &[log(&key, START)]);
    assert!(matches!(empty, Err(TrustError::EmptyChain)));
    let garbage = TrustedRoot::new(
        url,
        [&[vector("intermediate.der"), vec![0x30]][..]],
        &[log(&key, START)],
    );
    assert!(matches!(garbage, Err(TrustError::Certificate(1, _))));
    let far = Timestamp::from_unix(Duration::from_secs(253_402_300_800));
    let late = TrustedRoot::new(url, [&[vector("root.der")][..]], &[log(&key, far)]);
    assert!(matches!(late, Err(TrustError::Time)));
}
