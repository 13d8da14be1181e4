//! The timestamp authority over HTTP: what it grants, and every kind of request that it refuses.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "support/fake_issuer.rs"]
mod fake_issuer;
#[path = "support/instance.rs"]
mod instance;
mod running;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use mayfly::{
    clock::{Clock, SystemClock},
    issuer::ceremony::{KeyKind, TimestampNames, generate_timestamp_authority},
    key::{KeyError, SignatureAlgorithm, SignatureFuture, SigningKey, SoftwareKey},
    server::{GrantedStatus, Limits, ServerSettings, TIMESTAMP_PATH, Timestamps},
    timestamp::{DEFAULT_POLICY, TimestampAuthority, TimestampChain, TimestampSigner, WatchedClock},
};
use running::{Reply, Running, client, send, start, start_with};
use tokio::io::AsyncReadExt;

const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";
const JSON: &str = "application/json";
const CHAIN_PATH: &str = "/api/v1/timestamp/certchain";

/// A TimeStampReq: SHA-256, a nonce, and certReq.
const GOOD: &str = "30430201013031300d060960864801650304020105000420000102030405060708090a0b0c0d0e0f1011121314151617\
                    18191a1b1c1d1e1f020817a1225a0668ef4f0101ff";

fn good() -> Vec<u8> {
    hex::decode(GOOD).unwrap()
}

/// With some bytes of its hexadecimal digits otherwise.
fn with(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    hex::decode(GOOD.replace(from, to)).unwrap()
}

/// A clock and a key that a test can spoil.
#[derive(Default)]
struct Spoilt {
    clock_off: Mutex<Duration>,
    key_gone: AtomicBool,
}

struct Wall(Arc<Spoilt>);

impl Clock for Wall {
    fn now(&self) -> mayfly::clock::Timestamp {
        SystemClock.now().minus(*self.0.clock_off.lock().unwrap())
    }
}

struct Key(SoftwareKey, Arc<Spoilt>);

impl SigningKey for Key {
    fn spki_der(&self) -> &[u8] {
        self.0.spki_der()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> SignatureFuture<'a> {
        if self.1.key_gone.load(Ordering::Relaxed) {
            let gone = KeyError::new(std::io::Error::other("the token of the key is hunter2"));
            return Box::pin(std::future::ready(Err(gone)));
        }
        self.0.sign(message)
    }
}

async fn authority(spoilt: &Arc<Spoilt>) -> TimestampAuthority {
    let names = TimestampNames::of("Acme", "Acme").unwrap();
    let now = SystemClock.now();
    let new = generate_timestamp_authority(names, KeyKind::EcdsaP256, now)
        .await
        .unwrap();
    let chain = TimestampChain::from_der(new.chain, now).unwrap();
    let key = Key(SoftwareKey::from_pkcs8_der(&new.key).unwrap(), Arc::clone(spoilt));
    let began = std::time::Instant::now();
    let clock = WatchedClock::new(
        Arc::new(Wall(Arc::clone(spoilt))),
        Arc::new(move || began.elapsed()),
    );
    let signer = TimestampSigner::new(Arc::new(key), chain, DEFAULT_POLICY).await;
    TimestampAuthority::new(signer.unwrap(), clock)
}

async fn running() -> (Running, Arc<Spoilt>) {
    let spoilt = Arc::new(Spoilt::default());
    let timestamps = Some(authority(&spoilt).await.into());
    let settings = ServerSettings {
        timestamps,
        ..ServerSettings::default()
    };
    (start_with(settings, Router::new()).await, spoilt)
}

async fn running_with(limits: Limits) -> Running {
    let timestamps = Some(authority(&Arc::default()).await.into());
    let settings = ServerSettings {
        timestamps,
        limits,
        ..ServerSettings::default()
    };
    start_with(settings, Router::new()).await
}

/// A client that sends the head of a request and then nothing has no place of those that sign.
#[tokio::test]
async fn nobody_holds_a_place_by_sending_no_body() {
    let server = running_with(Limits {
        issuances: 1,
        timestamps: 1,
        ..Limits::standard()
    })
    .await;
    let mut silent = Vec::new();
    for (path, kind) in [
        (TIMESTAMP_PATH, QUERY),
        (TIMESTAMP_PATH, JSON),
        ("/api/v2/signingCert", JSON),
        ("/api/v1/signingCert", JSON),
    ] {
        let mut stream = server.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
        );
        send(&mut stream, &head).await;
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(
            &answer, b"HTTP/1.1 100 Continue\r\n\r\n",
            "the body is waited for"
        );
        silent.push(stream);
    }
    assert_eq!(ask(&server, QUERY, good()).await.0, 200);
    let request = serde_json::json!({"publicKeyRequest": server.challenge()});
    assert_eq!(
        server.post_as_alice("/api/v2/signingCert", &request).await.status,
        200
    );
    drop(silent);
}

/// A timestamp key that is slow takes no place of the CA's, and the other way round.
#[tokio::test]
async fn timestamps_and_certificates_have_places_of_their_own() {
    for (issuances, timestamps) in [(1, 0), (0, 1)] {
        let server = running_with(Limits {
            issuances,
            timestamps,
            ..Limits::standard()
        })
        .await;
        let (status, _, body) = ask(&server, QUERY, good()).await;
        assert_eq!(status, [503, 200][timestamps]);
        assert_eq!(body.starts_with(b"{"), timestamps == 0);
        let request = serde_json::json!({"publicKeyRequest": server.challenge()});
        let reply = server.post_as_alice("/api/v2/signingCert", &request).await;
        assert_eq!(reply.status, [503, 200][issuances]);
    }
}

/// Status, media type and body.
async fn ask(server: &Running, kind: &str, body: impl Into<reqwest::Body>) -> (u16, String, Vec<u8>) {
    let mut request = client().post(server.url(TIMESTAMP_PATH)).body(body);
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    let response = request.send().await.unwrap();
    let kind = response
        .headers()
        .get("content-type")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    (
        response.status().as_u16(),
        kind,
        response.bytes().await.unwrap().to_vec(),
    )
}

async fn ask_json(server: &Running, body: &str) -> Reply {
    let request = client()
        .post(server.url(TIMESTAMP_PATH))
        .header("content-type", JSON);
    Reply::of(request.body(body.to_owned()).send().await.unwrap()).await
}

#[tokio::test]
async fn granted_in_both_forms_with_200() {
    let (server, _) = running().await;
    let json = r#"{"artifactHash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","hashAlgorithm":"sha256"}"#;
    for (kind, body) in [
        (QUERY, good()),
        ("Application/Timestamp-Query; x=1", good()),
        (JSON, json.as_bytes().to_vec()),
        ("application/json; charset=utf-8", json.as_bytes().to_vec()),
    ] {
        let (status, replied, body) = ask(&server, kind, body).await;
        assert_eq!((status, replied.as_str()), (200, REPLY), "{kind}");
        // PKIStatusInfo with the status `granted` and nothing else.
        assert_eq!(body[4..9], [0x30, 3, 2, 1, 0], "{kind}");
    }
    let granted = r#"mayfly_timestamps_total{outcome="granted"}"#;
    assert_eq!(server.metric(granted).await, Some(4.0));
    let chain = server.get(CHAIN_PATH).await;
    assert_eq!(chain.status, 200);
    assert_eq!(chain.header("content-type"), "application/pem-certificate-chain");
    assert_eq!(chain.text.matches("-----BEGIN CERTIFICATE-----").count(), 2);
}

/// Clients of sigstore's authority before its version 2.0 take no other status.
#[tokio::test]
async fn granted_with_201_if_it_is_configured_so() {
    let timestamps = Some(Timestamps {
        authority: Arc::new(authority(&Arc::default()).await),
        granted: GrantedStatus::Created,
    });
    let settings = ServerSettings {
        timestamps,
        ..ServerSettings::default()
    };
    let server = start_with(settings, Router::new()).await;
    assert_eq!(ask(&server, QUERY, good()).await.0, 201);
    assert_eq!(ask(&server, QUERY, Vec::new()).await.0, 400);
}

/// In DER with RFC 3161's answer and failure bit in the body, in JSON with the stable reason.
#[tokio::test]
async fn refused_with_sigstores_status_and_both_kinds_of_reasons() {
    let (server, _) = running().await;
    let sha1 = "30260201013021300906052b0e03021a05000414";
    let mut extended = hex::decode(GOOD.replacen("3043", "3054", 1)).unwrap();
    extended.extend([
        0xa0, 15, 0x30, 13, 0x06, 3, 0x2a, 3, 4, 0x01, 1, 0xff, 0x04, 3, 4, 1, 0,
    ]);
    for (body, bits, reason) in [
        (Vec::new(), "03020204", "timestamp_query_malformed"),
        (b"{}".to_vec(), "03020204", "timestamp_query_malformed"),
        (good()[..60].to_vec(), "03020204", "timestamp_query_malformed"),
        (
            [good(), vec![0]].concat(),
            "03020204",
            "timestamp_query_malformed",
        ),
        (vec![0xff; 4096], "03020204", "timestamp_query_malformed"),
        (
            hex::decode(format!("{sha1}{}", "00".repeat(20))).unwrap(),
            "03020780",
            "timestamp_algorithm_unsupported",
        ),
        (
            with("3043020101", "3043020102"),
            "03020520",
            "timestamp_version_unsupported",
        ),
        // SHA-384 with the digest of SHA-256.
        (
            with("0304020105", "0304020205"),
            "03020204",
            "timestamp_digest_length",
        ),
        (extended, "030407000080", "timestamp_extension_unsupported"),
        // A policy, and a nonce of one byte.
        (
            hex::decode(
                GOOD.replacen("3043", "303e", 1)
                    .replace("020817a1225a0668ef4f0101ff", "06032a0304020117"),
            )
            .unwrap(),
            "0303000001",
            "timestamp_policy_unsupported",
        ),
    ] {
        let before = server.metric(&outcome(reason)).await.unwrap_or_default();
        let (status, kind, answer) = ask(&server, QUERY, body.clone()).await;
        assert_eq!(
            (status, kind.as_str()),
            (400, REPLY),
            "{reason}: {}",
            hex::encode(&body)
        );
        // PKIStatusInfo: `rejection`, words, and the failure's bit at the end.
        assert!(hex::encode(&answer[..16]).contains("020102"), "{reason}");
        assert!(
            hex::encode(&answer).ends_with(bits),
            "{reason}: {}",
            hex::encode(&answer)
        );
        assert_eq!(
            server.metric(&outcome(reason)).await,
            Some(before + 1.0),
            "{reason}"
        );
    }
    for (body, reason) in [
        ("", "timestamp_query_malformed"),
        ("{}", "timestamp_algorithm_unsupported"),
        (
            r#"{"artifactHash":"BwcH","hashAlgorithm":"sha256"}"#,
            "timestamp_digest_length",
        ),
        (
            r#"{"artifactHash":"BwcH","hashAlgorithm":"sha1"}"#,
            "timestamp_algorithm_unsupported",
        ),
        (
            r#"{"artifactHash":"?","hashAlgorithm":"sha256"}"#,
            "timestamp_query_malformed",
        ),
        (
            r#"{"artifactHash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","hashAlgorithm":"sha256","tsaPolicyOID":"1.2.3"}"#,
            "timestamp_policy_unsupported",
        ),
    ] {
        let reply = ask_json(&server, body).await;
        assert_eq!((reply.status, reply.reason().as_str()), (400, reason), "{body}");
    }
    server.assert_alive().await;
}

fn outcome(outcome: &str) -> String {
    format!(r#"mayfly_timestamps_total{{outcome="{outcome}"}}"#)
}

#[tokio::test]
async fn other_media_types_and_too_much_are_refused_unread() {
    let (server, _) = running().await;
    for kind in [
        "",
        "text/plain",
        "application/x-timestamp",
        "multipart/form-data; boundary=application/json",
    ] {
        assert_eq!(ask(&server, kind, good()).await.0, 415, "{kind}");
    }
    let compressed = client()
        .post(server.url(TIMESTAMP_PATH))
        .header("content-type", QUERY)
        .header("content-encoding", "gzip");
    assert_eq!(compressed.body(good()).send().await.unwrap().status(), 415);
    for size in [4097, 64 * 1024, 1024 * 1024] {
        assert_eq!(ask(&server, QUERY, vec![0x30; size]).await.0, 413, "{size}");
        assert_eq!(ask(&server, JSON, vec![b' '; size]).await.0, 413, "{size}");
    }
    assert_eq!(server.get(TIMESTAMP_PATH).await.status, 405);
    server.assert_alive().await;
}

#[tokio::test]
async fn labels_are_few_whatever_is_asked() {
    let (server, _) = running().await;
    for n in 0..50 {
        ask(&server, &format!("application/x-{n}"), good()).await;
        ask(&server, QUERY, vec![n; 40]).await;
        let path = server.url(&format!("{TIMESTAMP_PATH}/{n}"));
        let method = reqwest::Method::from_bytes(format!("M{n}").as_bytes()).unwrap();
        client().request(method, path).body(good()).send().await.unwrap();
    }
    let metrics = server.scrape().await;
    let of_timestamps: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("mayfly_timestamps_total"))
        .collect();
    assert_eq!(of_timestamps.len(), 2, "{of_timestamps:?}");
    assert!(!metrics.contains("M4") && !metrics.contains("x-4"));
}

#[tokio::test]
async fn no_time_from_a_clock_that_was_set() {
    let (server, spoilt) = running().await;
    *spoilt.clock_off.lock().unwrap() = Duration::from_secs(3600);
    let (status, kind, answer) = ask(&server, QUERY, good()).await;
    assert_eq!((status, kind.as_str()), (503, REPLY));
    assert!(hex::encode(&answer).ends_with("0303010002"), "timeNotAvailable");
    let json = r#"{"artifactHash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","hashAlgorithm":"sha256"}"#;
    let reply = ask_json(&server, json).await;
    assert_eq!((reply.status, reply.reason().as_str()), (503, "clock_stepped"));
    assert!(!reply.header("retry-after").is_empty());
    // The CA goes by the tokens' times, and goes on.
    server.assert_alive().await;
    let ready = server.get("/readyz/timestamps").await;
    assert_eq!((ready.status, &ready.json()["usable"]), (503, &false.into()));
    let problem = &server.get("/readyz").await.json()["parts"]["timestamps"]["problem"];
    assert!(problem.as_str().unwrap().contains("clock"), "{problem}");
    assert_eq!(server.get("/readyz/issuing").await.status, 200);
    *spoilt.clock_off.lock().unwrap() = Duration::ZERO;
    assert_eq!(server.get("/readyz/timestamps").await.status, 200);
    assert_eq!(ask(&server, QUERY, good()).await.0, 200);
}

#[tokio::test]
async fn no_time_without_a_key() {
    let (server, spoilt) = running().await;
    spoilt.key_gone.store(true, Ordering::Relaxed);
    let (status, kind, answer) = ask(&server, QUERY, good()).await;
    assert_eq!((status, kind.as_str()), (503, REPLY));
    assert!(hex::encode(&answer).ends_with("03050600000040"), "systemFailure");
    assert!(!String::from_utf8_lossy(&answer).contains("hunter2"));
    spoilt.key_gone.store(false, Ordering::Relaxed);
    assert_eq!(ask(&server, QUERY, good()).await.0, 200);
}

#[tokio::test]
async fn without_an_authority_there_are_no_such_paths() {
    let server = start().await;
    assert_eq!(ask(&server, QUERY, good()).await.0, 404);
    assert_eq!(server.get(CHAIN_PATH).await.status, 404);
}
