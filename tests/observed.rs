//! What the operator and the curious see: metrics, request ids, health, the OpenAPI document.
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

use axum::Router;
use instance::Instance;
use mayfly::server::ServerSettings;
use reqwest::Method;
use running::{Reply, client, csr_base64, start, start_before};
use serde_json::json;

const V2: &str = "/api/v2/signingCert";
const V1: &str = "/api/v1/signingCert";
/// A request whose token the authority under test refuses.
const REFUSED: &str = r#"{"publicKeyRequest":{"publicKey":{"content":"PEM"},"proofOfPossession":"c2ln"}}"#;

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let server = start().await;
    let ask = async |id: &str| {
        let request = client().get(server.url("/nope")).header("x-request-id", id);
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(reply.reason(), "not_found");
        reply.header("x-request-id").to_owned()
    };
    assert_eq!(ask("trace-1.A_b").await, "trace-1.A_b");
    let long = "a".repeat(65);
    let made = [
        ask("").await,
        ask("a b").await,
        ask("\"}{").await,
        ask(&long).await,
        ask("é").await,
    ];
    for (at, id) in made.iter().enumerate() {
        assert!(id.len() < 32 && !made[..at].contains(id), "{made:?}");
    }
}

#[tokio::test]
async fn health_readiness_and_the_front_page() {
    let server = start().await;
    assert_eq!(server.get("/healthz").await.json(), json!({"status": "SERVING"}));
    // The first certificate brings the issuer's keys.
    let granted = json!({"certificateSigningRequest": csr_base64()});
    assert_eq!(server.post_as_alice(V2, &granted).await.status, 200);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 200);
    let ready = ready.json();
    assert_eq!(
        (&ready["ready"], &ready["key"], &ready["log"]),
        (&json!(true), &json!({"usable": true}), &json!({"usable": true}))
    );
    assert_eq!(
        ready["issuers"][0],
        json!({"issuer": server.instance.issuer.url(), "usable": true})
    );
    let index = server.get("/").await;
    assert_eq!(index.status, 200);
    assert!(
        index.header("content-type").starts_with("text/plain") && index.text.contains("/api/v2/openapi.json")
    );
}

#[tokio::test]
async fn each_part_is_ready_by_itself() {
    let server = start().await;
    let ready = server.get("/readyz").await.json();
    let usable = json!({"usable": true});
    for part in ["issuing", "log", "submissions", "trust"] {
        assert_eq!(ready["parts"][part], usable, "{part}");
        let reply = server.get(&format!("/readyz/{part}")).await;
        assert_eq!((reply.status, reply.json()), (200, usable.clone()), "{part}");
    }
    assert!(ready["parts"].get("timestamps").is_none());
    for path in [
        "/readyz/timestamps",
        "/readyz/",
        "/readyz/none",
        "/readyz/Log",
        "/readyz/log/",
        "/readyz/log/x",
        "/readyz/%6cog%2f",
        "/readyz/issuing,log",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }

    server.instance.log.shutdown().await;
    for (part, status) in [
        ("issuing", 503),
        ("log", 503),
        ("submissions", 503),
        ("trust", 200),
    ] {
        let reply = server.get(&format!("/readyz/{part}")).await;
        assert_eq!(reply.status, status, "{part}");
        assert_eq!(reply.json()["usable"], status == 200, "{part}");
    }
}

#[tokio::test]
async fn the_openapi_document_has_every_route_and_every_route_is_served() {
    let server = start().await;
    let document = server.get("/api/v2/openapi.json").await;
    assert_eq!(
        (document.status, document.header("content-type")),
        (200, "application/json")
    );
    let document = document.json();
    let paths = document["paths"].as_object().unwrap();
    let expected = [
        "/",
        "/api/v1/rootCert",
        "/api/v1/signingCert",
        "/api/v1/timestamp",
        "/api/v1/timestamp/certchain",
        "/api/v2/configuration",
        "/api/v2/openapi.json",
        "/api/v2/signingCert",
        "/api/v2/trustBundle",
        "/healthz",
        "/readyz",
        "/readyz/{part}",
        "/trust/signing_config.json",
        "/trust/trust_config.json",
        "/trust/trusted_root.json",
    ];
    let mut listed: Vec<_> = paths.keys().map(String::as_str).collect();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let reply = client().request(method, server.url(path)).send().await.unwrap();
            // Those of the timestamp authority, which this instance has not, are in timestamp.rs.
            let expected = path.starts_with("/api/v1/timestamp") || path == "/readyz/{part}";
            assert_eq!(reply.status().as_u16() == 404, expected, "{path}");
            assert_ne!(reply.status().as_u16(), 405, "{path}");
        }
    }
    let schemas = &document["components"]["schemas"];
    assert!(schemas["SigningRequest"]["properties"]["publicKeyRequest"].is_object());
    assert!(schemas["SigningCertificate"]["properties"]["signedCertificateEmbeddedSct"].is_object());
}

#[tokio::test]
async fn metrics_have_fulcios_names_beside_ours() {
    let server = start().await;
    let granted = json!({"certificateSigningRequest": csr_base64()});
    assert_eq!(server.post_as_alice(V1, &granted).await.status, 201);
    server.post(V2, REFUSED).await;
    client()
        .request(Method::from_bytes(b"INVENTED").unwrap(), server.url("/x"))
        .send()
        .await
        .unwrap();
    for (series, value) in [
        ("fulcio_new_certs", 1.0),
        ("mayfly_issued_total", 1.0),
        (r#"fulcio_api_latency_count{code="201",method="post"}"#, 1.0),
        (r#"http_requests_total{code="400",method="post"}"#, 1.0),
        (r#"http_requests_total{code="404",method="unknown"}"#, 1.0),
        (r#"mayfly_refused_total{reason="token_malformed"}"#, 1.0),
        ("mayfly_panics_total", 0.0),
        ("mayfly_requests_in_flight", 0.0),
    ] {
        assert_eq!(
            server.metric(series).await,
            Some(value),
            "{series}: {}",
            server.scrape().await
        );
    }
    let (commit, version) = (mayfly::COMMIT, env!("CARGO_PKG_VERSION"));
    for build in [
        format!("mayfly_build_info{{commit=\"{commit}\",version=\"{version}\"}} 1\n"),
        format!(
            "fulcio_build_info{{build_date=\"unknown\",goversion=\"unknown\",revision=\"{commit}\",version=\"{version}\"}} 1\n"
        ),
    ] {
        assert!(server.scrape().await.contains(&build), "{build}");
    }
    let elsewhere = client().get(format!("http://{}/api/v2/trustBundle", server.metrics));
    assert_eq!(elsewhere.send().await.unwrap().status(), 404);
    assert_eq!(server.get("/metrics").await.status, 404);
}

/// go-grpc-prometheus' `Register`, and client_golang's vectors without a combination of labels.
#[tokio::test]
async fn before_the_first_request_series_are_as_fulcios() {
    let server = start().await;
    let text = server.scrape().await;
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    for (service, method, kind) in [
        ("dev.sigstore.fulcio.v2.CA", "CreateSigningCertificate", "unary"),
        ("dev.sigstore.fulcio.v2.CA", "GetTrustBundle", "unary"),
        ("dev.sigstore.fulcio.v2.CA", "GetConfiguration", "unary"),
        (
            "dev.sigstore.fulcio.v1beta.CA",
            "CreateSigningCertificate",
            "unary",
        ),
        ("dev.sigstore.fulcio.v1beta.CA", "GetRootCertificate", "unary"),
        ("grpc.health.v1.Health", "Check", "unary"),
        ("grpc.health.v1.Health", "Watch", "server_stream"),
    ] {
        let labels = format!(r#"grpc_method="{method}",grpc_service="{service}",grpc_type="{kind}""#);
        for name in [
            "started_total",
            "msg_received_total",
            "msg_sent_total",
            "handling_seconds_count",
        ] {
            let line = format!("\ngrpc_server_{name}{{{labels}}} 0\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        let codes = text
            .lines()
            .filter(|line| line.starts_with("grpc_server_handled_total{") && line.contains(&labels));
        assert_eq!(codes.clone().count(), 17, "{service} {method}");
        assert!(
            codes.clone().all(|line| line.ends_with("} 0")),
            "{service} {method}"
        );
        for code in ["OK", "Canceled", "Internal", "Unauthenticated"] {
            let code = format!(r#"grpc_code="{code}","#);
            assert!(codes.clone().any(|line| line.contains(&code)), "{code}");
        }
    }
    assert!(text.contains("\nfulcio_new_certs 0\n"));
    assert_eq!(
        (series("http_requests_total"), series("fulcio_api_latency")),
        (0, 0)
    );
}

/// Fulcio's HTTP gateway calls its own gRPC server.
#[tokio::test]
async fn http_requests_count_as_grpc_calls() {
    let server = start().await;
    let granted = json!({"certificateSigningRequest": csr_base64()});
    assert_eq!(server.post_as_alice(V2, &granted).await.status, 200);
    assert_eq!(server.post_as_alice(V1, &granted).await.status, 201);
    assert_eq!(server.post(V2, REFUSED).await.status, 400);
    for path in [
        "/api/v2/trustBundle",
        "/api/v2/configuration",
        "/api/v1/rootCert",
        "/healthz",
    ] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    // Refused by the gateway, or not there in it.
    for path in [V2, V1, "/readyz", "/api/v2/nope", "/"] {
        server.get(path).await;
    }
    let (v2, v1) = ("dev.sigstore.fulcio.v2.CA", "dev.sigstore.fulcio.v1beta.CA");
    for (service, method, ok, invalid) in [
        (v2, "CreateSigningCertificate", 1.0, 1.0),
        (v2, "GetTrustBundle", 1.0, 0.0),
        (v2, "GetConfiguration", 1.0, 0.0),
        (v1, "CreateSigningCertificate", 1.0, 0.0),
        (v1, "GetRootCertificate", 1.0, 0.0),
        ("grpc.health.v1.Health", "Check", 1.0, 0.0),
    ] {
        let labels = format!(r#"grpc_method="{method}",grpc_service="{service}",grpc_type="unary""#);
        for (series, value) in [
            (format!("started_total{{{labels}}}"), ok + invalid),
            (format!("msg_received_total{{{labels}}}"), ok + invalid),
            (format!("msg_sent_total{{{labels}}}"), ok),
            (format!(r#"handled_total{{grpc_code="OK",{labels}}}"#), ok),
            (
                format!(r#"handled_total{{grpc_code="InvalidArgument",{labels}}}"#),
                invalid,
            ),
            (format!("handling_seconds_count{{{labels}}}"), ok + invalid),
        ] {
            let series = format!("grpc_server_{series}");
            assert_eq!(server.metric(&series).await, Some(value), "{series}");
        }
    }
    let other = r#"grpc_server_started_total{grpc_method="other",grpc_service="other",grpc_type="unary"}"#;
    assert_eq!(server.metric(other).await, None);
}

#[tokio::test]
async fn metrics_tell_of_the_log() {
    let instance = Instance::start().await;
    let server = start_before(instance, ServerSettings::default(), Router::new()).await;
    let granted = json!({"certificateSigningRequest": csr_base64()});
    assert_eq!(server.post_as_alice(V1, &granted).await.status, 201);
    let log = server.instance.log.origin();
    for (series, labels, value) in [
        ("mayfly_log_entries", "", 1.0),
        ("mayfly_log_usable", "", 1.0),
        ("mayfly_log_damages", "", 0.0),
        ("mayfly_log_audited_timestamp_seconds", "", 0.0),
        ("mayfly_log_waiting_entries", r#",submitter="internal""#, 0.0),
        ("mayfly_log_waiting_entries", r#",submitter="external""#, 0.0),
        ("mayfly_log_commit_seconds_count", "", 1.0),
        ("mayfly_log_commit_seconds_bucket", r#",le="+Inf""#, 1.0),
    ] {
        let series = format!(r#"{series}{{log="{log}"{labels}}}"#);
        assert_eq!(
            server.metric(&series).await,
            Some(value),
            "{series}: {}",
            server.scrape().await
        );
    }
    server.instance.log.shutdown().await;
    for (series, value) in [("mayfly_log_published_entries", 1.0), ("mayfly_log_usable", 0.0)] {
        let series = format!(r#"{series}{{log="{log}"}}"#);
        assert_eq!(server.metric(&series).await, Some(value), "{series}");
    }
}

/// The names and meanings of Prometheus' own clients, for dashboards that are there already.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn metrics_of_the_process() {
    let server = start().await;
    let value = async |series: &str| match server.metric(series).await {
        Some(value) => value,
        None => panic!("{series}: {}", server.scrape().await),
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let started = value("process_start_time_seconds").await;
    assert!(started <= now + 1.0 && now - started < 3600.0, "{started} {now}");
    let before = value("process_open_fds").await;
    // More than other tests of this process may close meanwhile.
    let opened: Vec<_> = (0..500)
        .map(|_| std::fs::File::open("/dev/null").unwrap())
        .collect();
    assert!(value("process_open_fds").await >= before + 250.0);
    drop(opened);
    assert!(value("process_max_fds").await > before);
    assert!(value("process_threads").await >= 1.0);
    let resident = value("process_resident_memory_bytes").await;
    assert!(resident > 1e6 && resident < value("process_virtual_memory_bytes").await);
    let used = value("process_cpu_seconds_total").await;
    assert!(used >= 0.0 && value("process_cpu_seconds_total").await >= used);
    value("process_virtual_memory_max_bytes").await;
}
