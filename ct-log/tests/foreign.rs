//! The log over a real socket, audited by a program that shares no code with it:
//! `tests/interop/check_log.py`. Needs `python3` with the `cryptography` package:
//! `cargo test -p ct-log --test foreign -- --ignored`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use ct_log::chain::Policy;
use ct_log::{Log, LogKey, Origin};
use support::{Pki, grow};
use tokio::net::TcpListener;

const ORIGIN: &str = "log.example/ct";

/// The exit code and the messages of the foreign auditor for a finished log served by `router`.
async fn audit(log: &Log, router: Router) -> (Option<i32>, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/ct", listener.local_addr().unwrap());
    let router = Router::new().nest("/ct", router);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("log.der");
    std::fs::write(&key, log.public_key().spki_der()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/check_log.py");
    let mut command = Command::new("python3");
    command
        .arg(script)
        .args(["--origin", ORIGIN, "--quiescent", "--rfc6962", "--key"])
        .arg(&key)
        .arg(url);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    server.abort();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

async fn finished_log(size: u64) -> (Log, Router) {
    let pki = Pki::new();
    let log = Log::in_memory(Origin::new(ORIGIN).unwrap(), LogKey::generate().unwrap()).unwrap();
    grow(&log, &pki, size).await;
    while log.published_size() < size {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let policy = Policy::new([pki.root.der().as_slice()]).unwrap();
    let router = ct_log::http::router(log.clone(), policy);
    (log, router)
}

/// C19.
#[tokio::test]
#[ignore = "needs python3 with the cryptography package"]
async fn logs_of_all_shapes_are_accepted() {
    for size in [0, 1, 255, 256, 257, 600] {
        let (log, router) = finished_log(size).await;
        let (code, said) = audit(&log, router).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.starts_with(&format!("OK {ORIGIN} size {size} root ")),
            "{said}"
        );
    }
}

#[tokio::test]
#[ignore = "needs python3 with the cryptography package"]
async fn damaged_logs_are_refused() {
    for path in [
        "/checkpoint",
        "/tile/0/000",
        "/tile/0/001.p/3",
        "/tile/1/000.p/1",
        "/tile/data/000",
        "/issuer/",
    ] {
        let (log, router) = finished_log(259).await;
        let damage = move |request: Request, next: Next| async move {
            let hit = request.uri().path().contains(path);
            let response = next.run(request).await;
            if hit {
                flip_last_byte(response).await
            } else {
                response
            }
        };
        let (code, said) = audit(&log, router.layer(from_fn(damage))).await;
        assert_eq!(code, Some(1), "{path}: {said}");
    }
}

/// C12: each of them, so that none of the comparisons is idle.
#[tokio::test]
#[ignore = "needs python3 with the cryptography package"]
async fn wrong_answers_of_rfc_6962_are_refused() {
    for path in [
        "get-sth",
        "get-sth-consistency",
        "get-proof-by-hash",
        "get-entries",
        "get-entry-and-proof",
    ] {
        let (log, router) = finished_log(259).await;
        let damage = move |request: Request, next: Next| async move {
            let hit = request.uri().path().ends_with(path);
            let response = next.run(request).await;
            if hit {
                change_first_string(response).await
            } else {
                response
            }
        };
        let (code, said) = audit(&log, router.layer(from_fn(damage))).await;
        assert_eq!(code, Some(1), "{path}: {said}");
        assert!(said.contains("6962") || said.contains(path), "{path}: {said}");
    }
}

/// Another letter at the beginning of the first value that is a string.
async fn change_first_string(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    let values = ["\":\"", "\":[\""].into_iter();
    let at = values
        .filter_map(|before| Some(body.find(before)? + before.len()))
        .min();
    let Some(at) = at else {
        return Response::from_parts(parts, Body::from(body));
    };
    let other = if body[at..].starts_with('A') { "B" } else { "A" };
    let changed = [&body[..at], other, &body[at + 1..]].concat();
    Response::from_parts(parts, Body::from(changed))
}

async fn flip_last_byte(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let mut body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
    Response::from_parts(parts, Body::from(body))
}
