//! What the log says about requests. Alone in its process: a subscriber sees only what no other thread has settled.
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
    io,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use ct_log::{Log, LogKey, Origin, chain::Policy};
use mayfly::server::ServerSettings;
use reqwest::Method;
use running::{client, csr_base64, start_with};
use serde_json::json;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A request whose token the authority under test refuses.
const REFUSED: &str = r#"{"publicKeyRequest":{"publicKey":{"content":"PEM"},"proofOfPossession":"c2ln"}}"#;

/// Where the log lines of this thread go.
#[derive(Clone)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_request_is_one_log_line_without_anything_secret() {
    let lines = Lines(Arc::default());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let log = Router::new()
        .route("/plain/{name}", get(async || ""))
        .merge(ct_log::http::router(
            Log::in_memory(
                Origin::new("ca.example.com/prefix").unwrap(),
                LogKey::generate().unwrap(),
            )
            .unwrap(),
            ct_log::http::Submissions::off(Policy::accepting_nothing()),
        ));
    let extra = Router::new()
        .route("/panic", get(async || -> () { panic!("broken inside") }))
        .nest("/prefix", log);
    let settings = ServerSettings {
        trusted_proxies: Vec::new(),
        ..ServerSettings::default()
    };
    let server = start_with(settings, extra).await;
    let ask = async |method: Method, path: &str, id: &str| {
        let request = client()
            .request(method, server.url(path))
            .header("x-request-id", id)
            .header("x-other", "SECRET");
        request
            .bearer_auth("SECRET.SECRET.SECRET")
            .body(REFUSED)
            .send()
            .await
            .unwrap()
    };
    ask(Method::POST, "/api/v2/signingCert?SECRET=SECRET", "refused").await;
    ask(Method::GET, "/SECRET", "unknown").await;
    ask(Method::GET, "/panic", "broken").await;
    let granted = json!({"certificateSigningRequest": csr_base64()});
    let issue = client().post(server.url("/api/v2/signingCert"));
    let issue = issue
        .header("content-type", "application/json")
        .header("x-request-id", "granted");
    let issue = issue
        .bearer_auth(server.instance.token())
        .body(granted.to_string());
    assert_eq!(issue.send().await.unwrap().status(), 200);
    ask(Method::GET, "/prefix/checkpoint", "checkpoint").await;
    ask(Method::GET, "/prefix/ct/v1/get-sth", "sth").await;
    ask(Method::GET, "/prefix/tile/0/SECRET", "no-tile").await;
    ask(Method::GET, "/prefix/plain/SECRET", "plain").await;
    ask(Method::GET, "/healthz", "probe").await;
    let invented = Method::from_bytes("INVENTED".repeat(7500).as_bytes()).unwrap();
    ask(invented, "/healthz", "invented").await;
    let mut probe = tonic::Request::new(HealthCheckRequest::default());
    probe
        .metadata_mut()
        .insert("x-request-id", "grpc-probe".parse().unwrap());
    let mut health = HealthClient::new(server.channel().await);
    health.check(probe).await.unwrap();
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let ours: Vec<_> = logged.lines().filter(|line| line.contains(" mayfly::")).collect();
    let of = |id: &str| {
        ours.iter()
            .filter(|line| line.contains(&format!("request_id=\"{id}\"")))
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of("refused").len(), of("unknown").len(), of("broken").len()),
        (1, 1, 2),
        "{ours:#?}"
    );
    for part in [
        "method=POST",
        "path=\"/api/v2/signingCert\"",
        "status=400",
        "reason=\"token_malformed\"",
        "micros=",
    ] {
        assert!(of("refused")[0].contains(part), "{part}: {ours:#?}");
    }
    assert!(
        of("broken")
            .iter()
            .any(|line| line.contains("ERROR") && line.contains("broken inside")),
        "{ours:#?}"
    );
    for (id, level, parts) in [
        ("refused", "INFO", &["client=127.0.0.1 "][..]),
        (
            "unknown",
            "INFO",
            &["client=127.0.0.1 ", "path=\"unknown\"", "status=404"],
        ),
        ("broken", "INFO", &["path=\"/panic\"", "status=500"]),
        // What is read again and again would hide the rest.
        (
            "checkpoint",
            "DEBUG",
            &["path=\"/prefix/checkpoint\"", "status=200"],
        ),
        ("sth", "DEBUG", &["path=\"/prefix/ct/v1/get-sth\"", "status=200"]),
        (
            "no-tile",
            "INFO",
            &["path=\"/prefix/tile/{*path}\"", "status=404"],
        ),
        ("plain", "INFO", &["path=\"/prefix/plain/{name}\"", "status=200"]),
        (
            "invented",
            "INFO",
            &["method=unknown", "path=\"/healthz\"", "status=405"],
        ),
        ("probe", "DEBUG", &["path=\"/healthz\"", "status=200"]),
        (
            "grpc-probe",
            "DEBUG",
            &["client=127.0.0.1 ", "path=\"Check\"", "code=Ok"],
        ),
    ] {
        let line = of(id)[0];
        assert!(line.contains(&format!(" {level} ")), "{level}: {line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(line.len() < 1000, "{line}");
        assert!(!line.contains("issuer=") && !line.contains("serial="), "{line}");
    }
    let granted = of("granted")[0];
    let issuer = format!("issuer=\"{}\"", server.instance.issuer.url());
    assert!(granted.contains(&issuer), "{granted}");
    let serial = granted
        .split("serial=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(hex::decode(serial).unwrap().len(), 20, "{granted}");
    assert!(!ours.concat().contains("SECRET"), "{ours:#?}");
    assert!(!ours.concat().contains("alice"), "{ours:#?}");
}
