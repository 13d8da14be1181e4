//! What one caller can take, and what happens to the others: sizes, times, numbers, panics, shutdown.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "limits/awaited.rs"]
mod awaited;
#[path = "support/fake_issuer.rs"]
mod fake_issuer;
#[path = "support/instance.rs"]
mod instance;
#[path = "limits/new_issuers.rs"]
mod new_issuers;
mod running;

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use instance::Instance;
use mayfly::key::{SignatureAlgorithm, SignatureFuture, SigningKey};
use mayfly::server::proto::{
    create_signing_certificate_request::Key, credentials::Credentials::OidcIdentityToken,
};
use mayfly::server::{
    ConnectionLimits, Limits, ServerSettings,
    proto::{CreateSigningCertificateRequest, Credentials, GetTrustBundleRequest},
};
use running::{Reply, Running, builder, client, read_to_end, send, start, start_before, start_with};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tonic::Code;
use tonic_types::StatusExt;

const V2: &str = "/api/v2/signingCert";
const SHORT: Duration = Duration::from_millis(200);

async fn start_limited(limits: Limits) -> Running {
    start_with(
        ServerSettings {
            limits,
            ..ServerSettings::default()
        },
        Router::new(),
    )
    .await
}

fn connections(connection: ConnectionLimits) -> Limits {
    Limits {
        connection,
        ..Limits::standard()
    }
}

/// The head of a `POST` whose body the test sends itself.
fn head(framing: &str) -> String {
    format!(
        "POST {V2} HTTP/1.1\r\nhost: ca.example\r\ncontent-type: application/json\r\nauthorization: Bearer a.b.c\r\n{framing}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_json_body_may_have_64_kib_and_no_more() {
    let server = start().await;
    let padded = |size: usize| format!("{{}}{}", " ".repeat(size - 2));
    assert_eq!(server.post(V2, padded(64 * 1024)).await.reason(), "key_missing");
    for path in [V2, "/api/v1/signingCert"] {
        let reply = server.post(path, padded(64 * 1024 + 1)).await;
        assert_eq!((reply.status, reply.reason().as_str()), (413, "body_too_large"));
    }
    // Declared, but never sent: refused without waiting for it.
    let mut stream = server.connect().await;
    send(&mut stream, head("content-length: 4294967296")).await;
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 413 "));
    server.assert_alive().await;
}

#[tokio::test]
async fn a_chunked_body_without_end_is_cut_off() {
    let server = start().await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    send(&mut writer, head("transfer-encoding: chunked")).await;
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let endless = tokio::spawn(async move {
        // Ends when the server closes the connection.
        while tokio::io::AsyncWriteExt::write_all(&mut writer, chunk.as_bytes())
            .await
            .is_ok()
        {}
    });
    assert!(read_to_end(&mut reader).await.starts_with("HTTP/1.1 413 "));
    endless.await.unwrap();
    server.assert_alive().await;
}

#[tokio::test]
async fn a_slow_or_broken_body_is_refused() {
    let server = start_limited(Limits {
        body: SHORT,
        ..Limits::standard()
    })
    .await;
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut stream = server.connect().await;
        send(&mut stream, head(framing)).await;
        let answer = read_to_end(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"),
            "{answer}"
        );
    }
    let mut stream = server.connect().await;
    send(&mut stream, head("transfer-encoding: chunked") + "zz\r\n").await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.assert_alive().await;
}

fn never_ending() -> reqwest::Body {
    type Never = Result<hyper::body::Frame<axum::body::Bytes>, std::convert::Infallible>;
    let stalled = futures_util::stream::pending::<Never>();
    reqwest::Body::wrap(http_body_util::StreamBody::new(stalled))
}

#[tokio::test]
async fn a_slow_grpc_message_is_refused() {
    let server = start_limited(Limits {
        body: SHORT,
        ..Limits::standard()
    })
    .await;
    let request = builder()
        .http2_prior_knowledge()
        .build()
        .unwrap()
        .post(server.url("/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate"))
        .header("content-type", "application/grpc");
    let response = request.body(never_ending()).send().await.unwrap();
    let status = tonic::Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.get_details_error_info().unwrap().reason, "body_timeout");
    server.assert_alive().await;
}

#[tokio::test]
async fn connections_that_say_nothing_or_only_half_are_closed() {
    let server = start_limited(connections(ConnectionLimits {
        head: SHORT,
        ..ConnectionLimits::standard()
    }))
    .await;
    for said in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        send(&mut stream, said).await;
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{said:?}: {answer}");
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn idle_connections_are_closed_in_order() {
    let server = start_limited(connections(ConnectionLimits {
        head: SHORT,
        idle: SHORT,
        ..ConnectionLimits::standard()
    }))
    .await;
    let mut stream = server.connect().await;
    send(&mut stream, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 "));
    let channel = server.channel().await;
    let mut ca = mayfly::server::proto::ca_client::CaClient::new(channel);
    ca.get_trust_bundle(GetTrustBundleRequest {}).await.unwrap();
    // The scraper's own connection is the last one.
    while server.metric("mayfly_connections").await.unwrap() > 1.0 {}
    ca.get_trust_bundle(GetTrustBundleRequest {})
        .await
        .expect("the client was told and connects again");
}

#[tokio::test]
async fn heads_that_are_too_large_or_ambiguous_are_refused() {
    let server = start().await;
    let long = "a".repeat(80 * 1024);
    for (request, status) in [
        (
            format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n\r\n"),
            "431",
        ),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), "431"),
        (
            format!(
                "GET /healthz HTTP/1.1\r\nhost: a\r\n{}\r\n",
                "a: b\r\n".repeat(1000)
            ),
            "431",
        ),
        (
            "GET /healthz HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "GET /healthz HTTP/1.1\r\nhost: a\r\nx: a\r\n folded\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "POST /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"
                .to_owned(),
            "400",
        ),
        (
            "POST /healthz HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(),
            "400",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = server.connect().await;
        // The server may close before it has read everything.
        drop(tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await);
        let answer = read_to_end(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:.80}: {answer}"
        );
    }
    server.assert_alive().await;
}

/// RFC 9112 section 3.2.
#[tokio::test]
async fn http_1_1_needs_one_host() {
    let server = start().await;
    for (head, status) in [
        ("HTTP/1.1\r\n", "400"),
        ("HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "400"),
        ("HTTP/1.1\r\nhost: a\r\nx: y\r\nHost: b\r\n", "400"),
        ("HTTP/1.1\r\nhost: a b\r\n", "400"),
        ("HTTP/1.1\r\nhost: a/b\r\n", "400"),
        ("HTTP/1.1\r\nhost: a, b\r\n", "400"),
        ("HTTP/1.1\r\nhost: you@a\r\n", "400"),
        ("HTTP/1.0\r\nhost: a\r\nhost: b\r\n", "400"),
        ("HTTP/1.0\r\n", "200"),
        ("HTTP/1.1\r\nhost:\r\n", "200"),
        ("HTTP/1.1\r\nhost: a_b.example:443\r\n", "200"),
        ("HTTP/1.1\r\nhost: [::1]:5555\r\n", "200"),
    ] {
        for address in [server.api, server.metrics] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            send(
                &mut stream,
                &format!("GET /healthz {head}connection: close\r\n\r\n"),
            )
            .await;
            let answer = read_to_end(&mut stream).await;
            assert_eq!(&answer[9..12], status, "{head:?}: {answer}");
            let names_it = address != server.api || status == "200" || answer.contains("host_invalid");
            assert!(names_it, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_length_beside_chunks_never_smuggles_a_request() {
    let server = start().await;
    let mut stream = server.connect().await;
    let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    send(
        &mut stream,
        head("content-length: 6\r\ntransfer-encoding: chunked") + smuggled,
    )
    .await;
    let answer = read_to_end(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && !answer.contains("SERVING"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_token_of_32_kib_fits_into_the_header() {
    let server = start().await;
    for client in [builder().http1_only(), builder().http2_prior_knowledge()] {
        let request = client
            .build()
            .unwrap()
            .post(server.url(V2))
            .bearer_auth("a".repeat(32 * 1024));
        assert_eq!(
            Reply::of(request.body("{}").send().await.unwrap()).await.reason(),
            "key_missing"
        );
    }
}

#[tokio::test]
async fn overload_is_refused_at_once_with_a_time_to_come_back() {
    let server = start_limited(Limits {
        issuances: 0,
        ..Limits::standard()
    })
    .await;
    let csr = r#"{"certificateSigningRequest":"cGxhY2Vob2xkZXI="}"#;
    for path in [V2, "/api/v1/signingCert"] {
        let reply = server.post(path, csr).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
        assert_eq!(
            (reply.reason().as_str(), &reply.json()["code"]),
            ("overloaded", &14.into())
        );
    }
    let request = CreateSigningCertificateRequest {
        credentials: Some(Credentials {
            credentials: Some(OidcIdentityToken("a.b.c".to_owned())),
        }),
        key: Some(Key::CertificateSigningRequest(b"never looked at".to_vec())),
    };
    let status = server
        .ca()
        .await
        .create_signing_certificate(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_error_info().unwrap().reason, "overloaded");
    assert_eq!(
        status.get_details_retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(1))
    );
    assert_eq!(server.metric("fulcio_new_certs").await, Some(0.0));
    server.assert_alive().await;
}

#[tokio::test]
async fn bodies_together_take_no_more_memory_than_allowed() {
    let server = start_limited(connections(ConnectionLimits {
        uploads: 1024,
        ..ConnectionLimits::standard()
    }))
    .await;
    let mut held = server.connect().await;
    send(&mut held, head("content-length: 1001") + &" ".repeat(1000)).await;
    // Whether those bytes were read yet, only the answer to others tells.
    while server
        .post(V2, "{}                                ")
        .await
        .reason()
        != "overloaded"
    {}
    assert_eq!(server.post(V2, " ".repeat(1000)).await.header("retry-after"), "1");
    drop(held);
    while server
        .post(V2, "{}                                ")
        .await
        .reason()
        != "key_missing"
    {}
}

#[tokio::test]
async fn a_request_that_takes_too_long_or_panics_harms_no_other() {
    let extra = never()
        .route("/panic", get(async || -> () { panic!("SECRET") }))
        .route("/half", get(half));
    let limits = Limits {
        request: SHORT,
        ..Limits::standard()
    };
    let instance = Instance::start_with(|wishes| {
        wishes.key = |key| {
            let signed = AtomicBool::new(false);
            Arc::new(Breaking { key, signed })
        };
    })
    .await;
    let settings = ServerSettings {
        limits,
        ..ServerSettings::default()
    };
    let server = start_before(instance, settings, extra).await;
    let reply = server.get("/never").await;
    assert_eq!((reply.status, reply.reason().as_str()), (504, "request_timeout"));
    let reply = server.get("/panic").await;
    assert_eq!((reply.status, reply.reason().as_str()), (500, "internal"));
    assert!(!reply.text.contains("SECRET"));
    assert_eq!(panics(&server).await, 1.0);
    // In a body that is being sent: only the connection can tell, which may have carried the head.
    let half = async || client().get(server.url("/half")).send().await?.bytes().await;
    half().await.unwrap_err();
    assert_eq!(panics(&server).await, 2.0);
    // In the task of the CA's signature, which is not the request's.
    let request = json!({"publicKeyRequest": server.challenge()});
    let reply = server.post_as_alice(V2, &request).await;
    assert_eq!((reply.status, reply.reason().as_str()), (500, "internal"));
    assert_eq!(panics(&server).await, 3.0);
    assert_eq!(server.metric("mayfly_requests_in_flight").await, Some(0.0));
    server.assert_alive().await;
}

/// Of this process: no other test here panics.
async fn panics(server: &Running) -> f64 {
    server.metric("mayfly_panics_total").await.unwrap()
}

/// Signs once, which is when the CA is put together.
struct Breaking {
    key: Arc<dyn SigningKey>,
    signed: AtomicBool,
}

impl SigningKey for Breaking {
    fn spki_der(&self) -> &[u8] {
        self.key.spki_der()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> SignatureFuture<'a> {
        assert!(!self.signed.swap(true, Ordering::Relaxed), "the key breaks");
        self.key.sign(message)
    }
}

/// The answer ends in the middle.
async fn half() -> Body {
    let (parts, rest) = tokio::sync::mpsc::channel(1);
    parts.send(()).await.unwrap();
    Body::from_stream(futures_util::stream::unfold(
        (rest, false),
        async |(mut rest, sent)| {
            assert!(!sent, "SECRET");
            rest.recv().await?;
            Some((Ok::<_, std::io::Error>("half"), (rest, true)))
        },
    ))
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_places_come_back() {
    let limits = connections(ConnectionLimits {
        connections: 1,
        ..ConnectionLimits::standard()
    });
    let settings = ServerSettings {
        limits,
        ..ServerSettings::default()
    };
    let server = start_with(settings, never()).await;
    let busy = busy(&server, 1.0).await;
    assert_eq!(read_to_end(&mut server.connect().await).await, "");
    let refused = server
        .metric(r#"mayfly_connections_refused_total{reason="full"}"#)
        .await;
    assert_eq!(refused, Some(1.0));
    drop(busy);
    while client().get(server.url("/healthz")).send().await.is_err() {}
}

fn never() -> Router {
    Router::new().route("/never", get(pending::<()>))
}

/// A connection with a request that is being answered, as the last of so many.
async fn busy(server: &Running, requests: f64) -> TcpStream {
    let mut stream = server.connect().await;
    send(&mut stream, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    while server.metric("mayfly_requests_in_flight").await != Some(requests) {}
    stream
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one() {
    let server = start_limited(connections(ConnectionLimits {
        connections: 1,
        ..ConnectionLimits::standard()
    }))
    .await;
    let mut idle = server.connect().await;
    send(&mut idle, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    let mut new = server.connect().await;
    send(&mut new, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    new.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(read_to_end(&mut idle).await.contains("SERVING"));
}

#[tokio::test]
async fn a_client_has_a_share_of_the_connections_unless_it_is_a_proxy() {
    let limits = connections(ConnectionLimits {
        connections: 8,
        client_parts: 4,
        ..ConnectionLimits::standard()
    });
    for (trusted_proxies, refused) in [(Vec::new(), true), (vec!["127.0.0.1/32".parse().unwrap()], false)] {
        let settings = ServerSettings {
            limits,
            trusted_proxies,
            ..ServerSettings::default()
        };
        let server = start_with(settings, never()).await;
        let _busy = [busy(&server, 1.0).await, busy(&server, 2.0).await];
        let answered = client().get(server.url("/healthz")).send().await.is_ok();
        assert_eq!(answered, !refused);
        let series = r#"mayfly_connections_refused_total{reason="client"}"#;
        assert_eq!(server.metric(series).await.is_some(), refused);
    }
}

#[tokio::test]
async fn more_than_a_hundred_header_fields_are_refused_in_the_dialect_of_the_caller() {
    let server = start().await;
    let client = builder().http2_prior_knowledge().build().unwrap();
    for (fields, status) in [(90, 200), (150, 431)] {
        let mut request = client.get(server.url("/healthz"));
        for _ in 0..fields {
            request = request.header("a", "b");
        }
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(reply.status, status);
        assert_eq!(
            reply.text.contains("header_too_large"),
            status == 431,
            "{reply:?}"
        );
    }
    let refused = server
        .metric(r#"mayfly_refused_total{reason="header_too_large"}"#)
        .await;
    assert_eq!(refused, Some(1.0), "{}", server.scrape().await);
}

#[tokio::test]
async fn an_answer_that_is_not_read_ends_its_connection() {
    let extra = Router::new().route("/large", get(async || vec![b'a'; 8 * 1024 * 1024]));
    let limits = connections(ConnectionLimits {
        stalled: SHORT,
        ..ConnectionLimits::standard()
    });
    let settings = ServerSettings {
        limits,
        ..ServerSettings::default()
    };
    let server = start_with(settings, extra).await;
    let mut unread = server.connect().await;
    send(&mut unread, "GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let series = r#"mayfly_connections_cut_total{reason="stalled"}"#;
    while server.metric(series).await != Some(1.0) {}
    assert!(read_to_end(&mut unread).await.len() < 8 * 1024 * 1024);
    server.assert_alive().await;
}

#[tokio::test]
async fn http_2_floods_end_the_connection_and_nobody_elses() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice();
    // GET / in HPACK's static table, authority `a` as a literal (RFC 7541 6.1, 6.2.2).
    let request = b"\x82\x86\x84\x01\x01a".as_slice();
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let rapid_reset = || {
        (0..20_000_u32).flat_map(|n| {
            [
                frame(1, 5, 2 * n + 1, request),
                frame(3, 0, 2 * n + 1, &8_u32.to_be_bytes()),
            ]
            .concat()
        })
    };
    let continuations = || {
        let start = frame(1, 1, 1, request);
        let more = frame(9, 0, 1, &[0x40, 1, b'x', 1, b'y'].repeat(2000));
        start.into_iter().chain(more.repeat(200))
    };
    let server = start().await;
    for flood in [rapid_reset().collect::<Vec<_>>(), continuations().collect()] {
        let (mut reader, mut writer) = server.connect().await.into_split();
        send(&mut writer, preface).await;
        let flooding = tokio::spawn(async move {
            drop(tokio::io::AsyncWriteExt::write_all(&mut writer, &flood).await);
            writer
        });
        read_to_end(&mut reader).await;
        drop(flooding.await.unwrap());
        server.assert_alive().await;
    }
}

/// A request of which the server has the head but not yet the whole body.
async fn half_a_request(server: &Running) -> TcpStream {
    let mut stream = server.connect().await;
    send(&mut stream, head("expect: 100-continue\r\ncontent-length: 2")).await;
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(
        &answer, b"HTTP/1.1 100 Continue\r\n\r\n",
        "the handler reads the body"
    );
    stream
}

#[tokio::test]
async fn shutdown_lets_requests_in_flight_finish_and_closes_idle_connections() {
    let server = start().await;
    let url = server.url("/healthz");
    let mut idle = server.connect().await;
    send(&mut idle, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let mut ca = server.ca().await;
    ca.get_trust_bundle(GetTrustBundleRequest {}).await.unwrap();
    let mut in_flight = half_a_request(&server).await;

    let ended = server.shut_down();
    assert!(
        read_to_end(&mut idle).await.contains("SERVING"),
        "closed while another request is still running"
    );
    while client().get(&url).send().await.is_ok() {}
    assert!(!ended.is_finished());
    send(&mut in_flight, "{}").await;
    let answer = read_to_end(&mut in_flight).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("key_missing"),
        "{answer}"
    );
    ended.await.unwrap();
}

#[tokio::test]
async fn shutdown_waits_only_so_long() {
    let server = start_limited(connections(ConnectionLimits {
        drain: SHORT,
        ..ConnectionLimits::standard()
    }))
    .await;
    let mut stalled = half_a_request(&server).await;
    server.shut_down().await.unwrap();
    assert_eq!(read_to_end(&mut stalled).await, "");
}

#[tokio::test]
async fn no_request_sent_before_shutdown_is_lost() {
    let server = start().await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut stream = server.connect().await;
        send(&mut stream, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        waiting.push(stream);
    }
    let ended = server.shut_down();
    for mut stream in waiting {
        assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
    ended.await.unwrap();
}
