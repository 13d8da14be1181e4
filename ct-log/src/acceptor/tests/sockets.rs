//! What clients can hold that do nothing, or much, and what others get meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::Limits;
use super::clients::{LARGE, Server};

const SHORT: Duration = Duration::from_millis(300);
const MIB: usize = 1024 * 1024;

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    drop(stream.read_to_end(&mut bytes).await);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Over HTTP/1.1; the connection stays open.
async fn ask(stream: &mut TcpStream, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn answers_that_nobody_reads_take_no_more_than_their_budget() {
    let server = Server::start(Limits {
        answers: 8 * MIB,
        connection_answers: MIB,
        client_parts: 4,
        ..Limits::standard()
    })
    .await;
    let mut silent = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let mut client = server.http2(2, 0).await;
        for _ in 0..16 {
            let answer = client.get("/large").await.unwrap();
            statuses.push(answer.status());
            silent.push(answer.into_body());
        }
        silent.push(client.get("/small").await.unwrap().into_body());
    }
    let held = server.places.all().held_answers();
    let served = statuses
        .iter()
        .filter(|status| **status == StatusCode::OK)
        .count();
    // A quarter of 8 MiB is one client's; the small answers took a few bytes of it.
    assert_eq!(served, 2 * MIB / LARGE - 1);
    assert!(held <= 2 * MIB, "{held} bytes");
    assert_eq!(
        statuses.len() - served,
        statuses.iter().filter(|status| **status == 503).count()
    );
    let mut good = server.http2(3, 1 << 20).await;
    assert_eq!(good.get("/large").await.unwrap().status(), StatusCode::OK);
    drop(silent);
    while server.places.all().held_answers() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_does_not_read_is_cut_whatever_else_it_asks_for() {
    let server = Server::start(Limits {
        stalled: SHORT,
        ..Limits::standard()
    })
    .await;
    let mut client = server.http2(1, 16 * 1024).await;
    let unread = client.get("/large").await.unwrap();
    while client.get("/small").await.is_ok() {
        tokio::task::yield_now().await;
    }
    client.connection.await.unwrap();
    drop(unread);
    // Over HTTP/1.1 the socket is full.
    let mut stream = server.connect().await;
    let many = "GET /large HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
    stream.write_all(many.as_bytes()).await.unwrap();
    while server.places.all().held_answers() == 0 {
        tokio::task::yield_now().await;
    }
    while server.places.all().held_answers() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let got = read_to_end(stream).await.len();
    assert!(got < 100 * LARGE, "{got}");
}

#[tokio::test]
async fn a_bomb_of_indexed_header_fields_is_refused_unseen() {
    let server = Server::start(Limits::standard()).await;
    let mut client = server.http2(1, 1 << 16).await;
    let mut bomb = HeaderMap::new();
    for _ in 0..1200 {
        // After the first, one byte each.
        bomb.append(HeaderName::from_static("a"), HeaderValue::from_static("b"));
    }
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.push(client.send("/never", bomb.clone()).await.unwrap());
    }
    for answer in answers {
        assert_eq!(
            answer.await.unwrap().status(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        );
    }
    assert_eq!(server.paths.asked.load(Ordering::Relaxed), 0);
    let mut fields = HeaderMap::new();
    for _ in 0..100 {
        fields.append("a", HeaderValue::from_static("b"));
    }
    let answer = client.send("/small", fields.clone()).await.unwrap();
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    fields.append("c", HeaderValue::from_static("d"));
    let answer = client.send("/small", fields).await.unwrap();
    assert_eq!(
        answer.await.unwrap().status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
}

#[tokio::test]
async fn bodies_are_read_whole_over_http2_without_their_trailers() {
    let server = Server::start(Limits::standard()).await;
    let client = server.http2(1, 1 << 16).await;
    for size in [0, 1, 100_000, 1_000_000] {
        let request = Request::post("http://a/read").body(()).unwrap();
        let mut ready = client.requests.clone().ready().await.unwrap();
        let (answer, mut body) = ready.send_request(request, false).unwrap();
        body.send_data(Bytes::from(vec![0; size]), false).unwrap();
        body.send_trailers(HeaderMap::from_iter([(
            HeaderName::from_static("a"),
            HeaderValue::from_static("b"),
        )]))
        .unwrap();
        let mut answer = answer.await.unwrap();
        let read = answer.body_mut().data().await.unwrap().unwrap();
        assert_eq!(read, size.to_string());
    }
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_preface_end() {
    let server = Server::start(Limits {
        head: SHORT,
        ..Limits::standard()
    })
    .await;
    for said in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let answer = read_to_end(stream).await;
        assert!(!answer.contains("200 OK"), "{said:?}: {answer}");
    }
}

#[tokio::test]
async fn connections_end_when_they_are_idle_or_old() {
    let idle = Limits {
        head: SHORT,
        idle: SHORT,
        ..Limits::standard()
    };
    let old = Limits {
        head: SHORT,
        age: 2 * SHORT,
        ..Limits::standard()
    };
    for (limits, asks_on) in [(idle, false), (old, true)] {
        let server = Server::start(limits).await;
        let mut client = server.http2(1, 1 << 16).await;
        client.get("/small").await.unwrap();
        while asks_on && client.get("/small").await.is_ok() {}
        client.connection.await.unwrap();
        let mut stream = server.connect().await;
        ask(&mut stream, "/small").await.unwrap();
        while asks_on && ask(&mut stream, "/").await.is_ok() {
            // The rest of the answer.
            drop(stream.read(&mut [0; 1024]).await);
        }
        read_to_end(stream).await;
        server.places.emptied().await;
    }
}

#[tokio::test]
async fn idle_connections_of_one_client_keep_nobody_out() {
    let server = Server::start(Limits {
        connections: 16,
        client_parts: 2,
        ..Limits::standard()
    })
    .await;
    let mut strangers = Vec::new();
    for _ in 0..40 {
        let mut stream = server.connect_from(2).await;
        assert_eq!(ask(&mut stream, "/small").await.unwrap(), "HTTP/1.1 200");
        strangers.push(stream);
    }
    let mut good = Vec::new();
    for host in 3..=10 {
        let mut stream = server.connect_from(host).await;
        assert_eq!(ask(&mut stream, "/client").await.unwrap(), "HTTP/1.1 200");
        good.push(stream);
    }
    // All places are taken now, and one more makes a stranger leave.
    let mut stream = server.connect_from(11).await;
    assert_eq!(ask(&mut stream, "/small").await.unwrap(), "HTTP/1.1 200");
    for stream in &mut good {
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        assert_eq!(ask(stream, "/small").await.unwrap(), "HTTP/1.1 200");
    }
    assert_eq!(server.refused(), 0);
}

#[tokio::test]
async fn busy_connections_stay_and_the_next_is_refused() {
    let server = Server::start(Limits {
        connections: 2,
        client_parts: 1,
        requests: 3,
        ..Limits::standard()
    })
    .await;
    let (mut first, mut second) = (server.http2(1, 1 << 16).await, server.http2(1, 1 << 16).await);
    let _held = [
        first.send("/never", HeaderMap::new()).await.unwrap(),
        second.send("/never", HeaderMap::new()).await.unwrap(),
        second.send("/never", HeaderMap::new()).await.unwrap(),
    ];
    while server.paths.asked.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read_to_end(server.connect().await).await, "");
    assert_eq!(server.refused(), 1);
    assert_eq!(
        first.get("/small").await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    drop(_held);
    while first.get("/small").await.unwrap().status() != StatusCode::OK {}
}

#[tokio::test]
async fn the_end_waits_for_requests_and_not_for_idle_connections() {
    let server = Server::start(Limits {
        drain: SHORT,
        ..Limits::standard()
    })
    .await;
    let mut idle = server.connect().await;
    ask(&mut idle, "/small").await.unwrap();
    let mut busy = server.http2(1, 0).await;
    let _unread = busy.get("/large").await.unwrap();
    server.close.send_replace(true);
    server.serving.await.unwrap();
    read_to_end(idle).await;
}
