//! The trust files, against files that other people's clients were seen to accept (tests/vectors/trust/README.md).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf, time::Duration};

use mayfly::{
    clock::Timestamp,
    trust::{CtLog, SigningConfig, TrustError, TrustedRoot},
};
use serde_json::Value;

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
        base_url: "http://127.0.0.1:5555/log",
        public_key,
        start,
    }
}

#[test]
fn trusted_root() {
    let key = vector("log-key.der");
    let chain = [vector("intermediate.der"), vector("root.der")];
    let root = TrustedRoot::new("http://127.0.0.1:5555", &chain, log(&key, START)).unwrap();
    assert_eq!(root.to_json(), golden("trusted_root.json"));
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
    let empty = TrustedRoot::new(url, &[], log(&key, START));
    assert!(matches!(empty, Err(TrustError::EmptyChain)));
    let garbage = TrustedRoot::new(url, &[vector("intermediate.der"), vec![0x30]], log(&key, START));
    assert!(matches!(garbage, Err(TrustError::Certificate(1, _))));
    let far = Timestamp::from_unix(Duration::from_secs(253_402_300_800));
    let late = TrustedRoot::new(url, &[vector("root.der")], log(&key, far));
    assert!(matches!(late, Err(TrustError::Time)));
}
