//! A log whose key is outside this process: it fails, it lies, it comes back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::chain::Policy;
use ct_log::check::{self, Depth};
use ct_log::key::{LogSignature, RemoteLogKey};
use ct_log::{Log, LogKey, LogPublicKey, LogSettings, Origin, Unavailable};
use support::http::{Harness, ORIGIN};
use support::{Pki, precertificate_params};

struct Token {
    key: EcdsaKeyPair,
    other: EcdsaKeyPair,
    away: AtomicBool,
    lies: AtomicBool,
}

impl RemoteLogKey for Token {
    fn sign<'a>(&'a self, message: &'a [u8]) -> LogSignature<'a> {
        let key = match self.lies.load(Ordering::Relaxed) {
            true => &self.other,
            false => &self.key,
        };
        let signed = key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        let away = self.away.load(Ordering::Relaxed);
        Box::pin(async move {
            match away {
                true => Err("the token is not there".into()),
                false => Ok(signed),
            }
        })
    }
}

fn token() -> (Arc<Token>, LogKey) {
    let new = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let token = Arc::new(Token {
        key: new(),
        other: new(),
        away: AtomicBool::new(false),
        lies: AtomicBool::new(false),
    });
    let spki: PublicKeyX509Der<'_> = token.key.public_key().as_der().unwrap();
    let public = LogPublicKey::from_spki_der(spki.as_ref()).unwrap();
    let key = LogKey::remote(public, Arc::<Token>::clone(&token));
    (token, key)
}

fn harness(log: &Log) -> Harness {
    let pki = Pki::new();
    let policy = Policy::new([pki.root.der().as_slice()]).unwrap();
    Harness::over(pki, log.clone(), policy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_away_or_lies_gives_no_sct_and_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (token, key) = token();
    let directory = folder.path().join("log");
    let settings = LogSettings::new(&directory, Origin::new(ORIGIN).unwrap());
    let log = Log::create(settings, key).unwrap();
    let harness = harness(&log);
    let mut scts = vec![sct(&harness, 0).await];

    for (serial, trouble) in [(1, &token.away), (2, &token.lies)] {
        trouble.store(true, Ordering::Relaxed);
        let chain = harness.pki.chain(&precertificate_params(serial));
        let refused = harness.submit(support::http::ADD_PRE_CHAIN, &chain).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!String::from_utf8_lossy(&refused.body).contains("signature"));
        until("it says so", || {
            matches!(log.health(), Err(Unavailable::Unreachable))
        })
        .await;

        trouble.store(false, Ordering::Relaxed);
        until("it is healthy again", || log.health().is_ok()).await;
        let again = harness.submit(support::http::ADD_PRE_CHAIN, &chain).await;
        assert_eq!(again.status, StatusCode::OK);
        scts.push(again.json());
    }
    let indices: Vec<u8> = scts.iter().map(index).collect();
    assert_eq!(indices, [0, 1, 2], "what had no SCT was in the log already");
    harness.publish().await;
    let report = check::check(&log, (log.origin(), log.public_key()), Depth::Certificates).await;
    assert!(report.is_sound() && report.size() == Some(3), "{report}");
    log.shutdown().await;
}

async fn sct(harness: &Harness, serial: u64) -> serde_json::Value {
    let added = harness.add(serial).await;
    assert_eq!(added.status, StatusCode::OK);
    added.json()
}

/// The last byte of the `leaf_index`.
fn index(sct: &serde_json::Value) -> u8 {
    let extensions = STANDARD.decode(sct["extensions"].as_str().unwrap()).unwrap();
    *extensions.last().unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within 30 s");
}
