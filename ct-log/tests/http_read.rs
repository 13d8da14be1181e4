//! Reading over HTTP: what is published, under which names, and what caches may keep.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::chain::Policy;
use ct_log::{Log, LogKey, LogSettings, Origin, Window};
use flate2::read::GzDecoder;
use serde_json::json;
use support::http::{ADD_CHAIN, ADD_PRE_CHAIN, Harness, ORIGIN};
use support::precertificate_params;

#[tokio::test]
async fn roots_are_those_of_the_policy() {
    let harness = Harness::new();
    let answer = harness.get("/ct/v1/get-roots").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header(CONTENT_TYPE), "application/json");
    assert_eq!(answer.header(CACHE_CONTROL), "no-store");
    assert_eq!(
        answer.json(),
        json!({ "certificates": [STANDARD.encode(harness.pki.root.der())] })
    );
}

#[tokio::test]
async fn log_info_names_the_key_and_the_prefixes() {
    let harness = Harness::new();
    let answer = harness.get("/log.v3.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    let key = harness.log.public_key();
    let expected = json!({
        "description": ORIGIN,
        "log_id": STANDARD.encode(key.log_id().as_bytes()),
        "key": STANDARD.encode(key.spki_der()),
        "mmd": 60,
        "log_spec": "static-ct-api",
        "tls_only": true,
        "submission_url": format!("https://{ORIGIN}/"),
        "monitoring_url": format!("https://{ORIGIN}/"),
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn log_info_names_the_accepted_interval() {
    let mut harness = Harness::new();
    let day = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400);
    let directory = tempfile::tempdir().unwrap();
    let settings = LogSettings::new(directory.path(), Origin::new(ORIGIN).unwrap());
    let settings = settings.window(Window::new(day(365), day(100 * 365)).unwrap());
    let log = Log::create(settings, LogKey::generate().unwrap()).unwrap();
    let policy = Policy::new([harness.pki.root.der().as_slice()]).unwrap();
    harness.router = ct_log::http::router(log, policy);
    let info = harness.get("/log.v3.json").await.json();
    let expected =
        json!({ "start_inclusive": "1971-01-01T00:00:00Z", "end_exclusive": "2069-12-07T00:00:00Z" });
    assert_eq!(info["temporal_interval"], expected);
    let refused = harness
        .submit(ADD_PRE_CHAIN, &harness.pki.chain(&precertificate_params(1)))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn published_log_is_served_with_types_and_caching() {
    let harness = Harness::new();
    for serial in 0..3 {
        harness.add(serial).await;
    }
    harness.publish().await;
    let issuer = |der: &[u8]| {
        let digest = digest(&SHA256, der);
        format!("/issuer/{}", hex::encode(digest))
    };
    let (intermediate, root) = (harness.pki.intermediate.der(), harness.pki.root.der());
    let immutable = "public, max-age=604800, immutable";
    let octets = "application/octet-stream";
    for (path, content_type, caching) in [
        ("/checkpoint".to_owned(), "text/plain; charset=utf-8", "no-store"),
        ("/tile/0/000.p/3".to_owned(), octets, immutable),
        ("/tile/data/000.p/3".to_owned(), octets, immutable),
        (issuer(&intermediate), "application/pkix-cert", immutable),
        (issuer(&root), "application/pkix-cert", immutable),
    ] {
        let answer = harness.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header(CONTENT_TYPE), content_type, "{path}");
        assert_eq!(answer.header(CACHE_CONTROL), caching, "{path}");
    }
    assert_eq!(harness.get(&issuer(&intermediate)).await.body, intermediate);
    assert_eq!(harness.get(&issuer(&root)).await.body, root);
    let whole = harness.get("/tile/0/000.p/3").await.body;
    assert_eq!(whole.len(), 96);
    for width in 1..3 {
        assert_eq!(
            harness.get(&format!("/tile/0/000.p/{width}")).await.body,
            whole[..32 * width]
        );
    }
}

/// C7: one resource, one URL, and nothing before it is published.
#[tokio::test]
async fn other_paths_are_not_found() {
    let harness = Harness::new();
    for serial in 0..3 {
        harness.add(serial).await;
    }
    harness.publish().await;
    let digest = digest(&SHA256, &harness.pki.root.der());
    let root = hex::encode(digest);
    let mut paths: Vec<String> = [
        "/",
        "/checkpoint/",
        "/tile",
        "/tile/",
        "/tile/0",
        "/tile/0/",
        "/tile/data",
        "/tile/0/000",
        "/tile/0/000.p/4",
        "/tile/0/000.p/255",
        "/tile/0/000.p/256",
        "/tile/0/000.p/0",
        "/tile/0/000.p/03",
        "/tile/0/000.p/+3",
        "/tile/0/000.p/-3",
        "/tile/0/000.p/",
        "/tile/0/000.p",
        "/tile/0/000.p/3/",
        "/tile/0/000.p/3.p/3",
        "/tile/0/001",
        "/tile/0/001.p/1",
        "/tile/0/0.p/3",
        "/tile/0/00.p/3",
        "/tile/0/0000.p/3",
        "/tile/0/x000/000.p/3",
        "/tile/0/000/000.p/3",
        "/tile/0/x000.p/3",
        "/tile/00/000.p/3",
        "/tile/+0/000.p/3",
        "/tile/-0/000.p/3",
        "/tile/0/+00.p/3",
        "/tile/1/000",
        "/tile/1/000.p/1",
        "/tile/6/000.p/1",
        "/tile/63/000.p/1",
        "/tile/256/000.p/1",
        "/tile/data/000.p/4",
        "/tile/data/+00.p/3",
        "/tile/names/000.p/3",
        "/tile/entries/000.p/3",
        "/tile/DATA/000.p/3",
        "/tile//0/000.p/3",
        "/tile/%30/000.p/3",
        "/tile/0/000%2Ep/3",
        "/tile/0/000.p%2f3",
        "/tile/0/x999/x999/x999/x999/x999/x999/999.p/3",
        "/tile/0/%ff.p/3",
        "/issuer",
        "/issuer/",
        "/issuer/00",
        "/ct/v1/get-sth-nonsense",
        "/.././checkpoint",
    ]
    .map(str::to_owned)
    .into();
    paths.push(format!("/issuer/{}", root.to_uppercase()));
    paths.push(format!("/issuer/{}", &root[1..]));
    paths.push(format!("/issuer/{root}00"));
    paths.push(format!("/issuer/{root}/"));
    paths.push(format!("/issuer/{}", "0".repeat(64)));
    for path in paths {
        let answer = harness.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        let caching = answer
            .headers
            .get(CACHE_CONTROL)
            .map(|value| value.to_str().unwrap());
        assert!(caching.is_none_or(|caching| caching == "no-store"), "{path}");
    }
}

#[tokio::test]
async fn methods_are_those_of_the_specification() {
    let harness = Harness::new();
    for (method, path) in [
        (Method::GET, ADD_CHAIN),
        (Method::GET, ADD_PRE_CHAIN),
        (Method::POST, "/ct/v1/get-roots"),
        (Method::POST, "/ct/v1/get-sth"),
        (Method::POST, "/ct/v1/get-sth-consistency?first=0&second=0"),
        (Method::POST, "/ct/v1/get-proof-by-hash"),
        (Method::POST, "/ct/v1/get-entries?start=0&end=0"),
        (Method::POST, "/ct/v1/get-entry-and-proof"),
        (Method::POST, "/checkpoint"),
        (Method::PUT, "/tile/0/000.p/1"),
        (Method::DELETE, "/checkpoint"),
    ] {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = harness.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(answer.headers.contains_key(ALLOW), "{method} {path}");
        assert_eq!(answer.header(CACHE_CONTROL), "no-store", "{method} {path}");
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let harness = Harness::new();
    harness.add(1).await;
    harness.publish().await;
    for path in [
        "/checkpoint",
        "/ct/v1/get-sth",
        "/ct/v1/get-sth-consistency?first=0&second=1",
        "/ct/v1/get-entries?start=0&end=0",
        "/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=1",
        "/tile/data/000.p/1",
    ] {
        let request = Request::head(path).body(Body::empty()).unwrap();
        let (head, get) = (harness.send(request).await, harness.get(path).await);
        assert_eq!(head.status, StatusCode::OK, "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        for name in [CONTENT_TYPE, CACHE_CONTROL] {
            assert_eq!(head.header(name.clone()), get.header(name), "{path}");
        }
    }
}

/// The CA serves the log below a path of its own.
#[tokio::test]
async fn router_can_be_nested_under_the_origin() {
    let mut harness = Harness::new();
    harness.add(1).await;
    harness.publish().await;
    harness.router = Router::new().nest("/ct/2027", harness.router);
    for path in [
        "/ct/2027/checkpoint",
        "/ct/2027/tile/0/000.p/1",
        "/ct/2027/tile/data/000.p/1",
    ] {
        assert_eq!(harness.get(path).await.status, StatusCode::OK, "{path}");
    }
}

/// static-ct-api, "Log entries": data tiles SHOULD be compressed. A cache must know that there are two forms.
#[tokio::test]
async fn entries_are_compressed_for_those_who_ask() {
    let harness = Harness::new();
    for serial in 0..3 {
        harness.add(serial).await;
    }
    harness.publish().await;
    let digest = digest(&SHA256, &harness.pki.root.der());
    let issuer = format!("/issuer/{}", hex::encode(digest));
    let ask = async |path: &str, method: Method, accepted: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(ACCEPT_ENCODING, accepted);
        harness.send(request.body(Body::empty()).unwrap()).await
    };
    for path in [
        "/tile/data/000.p/3",
        "/ct/v1/get-entries?start=0&end=2",
        &issuer,
        "/log.v3.json",
    ] {
        let plain = harness.get(path).await;
        assert_eq!(plain.header(VARY), "accept-encoding", "{path}");
        assert!(!plain.headers.contains_key(CONTENT_ENCODING), "{path}");
        let zipped = ask(path, Method::GET, "gzip, identity").await;
        assert_eq!(zipped.header(VARY), "accept-encoding", "{path}");
        assert_eq!(zipped.header(CONTENT_ENCODING), "gzip", "{path}");
        assert_eq!(
            zipped.header(CACHE_CONTROL),
            plain.header(CACHE_CONTROL),
            "{path}"
        );
        let mut unzipped = Vec::new();
        GzDecoder::new(zipped.body.as_slice())
            .read_to_end(&mut unzipped)
            .unwrap();
        assert_eq!(unzipped, plain.body, "{path}");
        for accepted in ["identity", "gzip;q=0", "br", ""] {
            let refused = ask(path, Method::GET, accepted).await;
            assert!(
                !refused.headers.contains_key(CONTENT_ENCODING),
                "{path} {accepted}"
            );
            assert_eq!(refused.body, plain.body, "{path} {accepted}");
        }
        assert!(ask(path, Method::HEAD, "gzip").await.body.is_empty(), "{path}");
    }
    for path in ["/tile/0/000.p/3", "/checkpoint"] {
        let answer = ask(path, Method::GET, "gzip").await;
        assert!(!answer.headers.contains_key(CONTENT_ENCODING), "{path}");
    }
}
