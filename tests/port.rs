//! The one port: HTTP/1.1, HTTP/2 and gRPC, in the clear and over TLS; and what keeps it from opening.
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
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use instance::Instance;
use mayfly::server::{
    ConnectionLimits, Limits, Listeners, ServeError, Server, ServerSettings, TlsFiles,
    proto::{GetTrustBundleRequest, ca_client::CaClient},
};
use reqwest::Version;
use running::{LOOPBACK, builder, read_to_end, send, start, start_with};
use tonic::transport::{Channel, ClientTlsConfig};

#[tokio::test]
async fn one_clear_port_speaks_http_1_1_http_2_and_grpc() {
    let server = start().await;
    for (client, version) in [
        (builder().http1_only(), Version::HTTP_11),
        (builder().http2_prior_knowledge(), Version::HTTP_2),
    ] {
        let response = client
            .build()
            .unwrap()
            .get(server.url("/api/v2/trustBundle"))
            .send()
            .await
            .unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
    }
    server
        .ca()
        .await
        .get_trust_bundle(GetTrustBundleRequest {})
        .await
        .unwrap();
}

/// A certificate for `localhost`, in files.
fn tls_files(directory: &Path) -> (TlsFiles, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: directory.join("tls.pem"),
        key: directory.join("tls.key"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
    (files, made.cert.pem())
}

#[tokio::test]
async fn one_tls_port_speaks_http_1_1_http_2_and_grpc() {
    let directory = tempfile::tempdir().unwrap();
    let (files, root) = tls_files(directory.path());
    let server = start_with(
        ServerSettings {
            tls: Some(files),
            ..ServerSettings::default()
        },
        Router::new(),
    )
    .await;
    let url = format!("https://localhost:{}", server.api.port());
    let trusting = || {
        let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
        builder().tls_certs_only([root]).resolve("localhost", server.api)
    };
    for (client, version) in [
        (trusting().http1_only(), Version::HTTP_11),
        (trusting(), Version::HTTP_2),
    ] {
        let response = client
            .build()
            .unwrap()
            .get(format!("{url}/api/v2/trustBundle"))
            .send()
            .await
            .unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
    }
    let tls = ClientTlsConfig::new().ca_certificate(tonic::transport::Certificate::from_pem(&root));
    let channel = Channel::from_shared(url)
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect()
        .await
        .unwrap();
    CaClient::new(channel)
        .get_trust_bundle(GetTrustBundleRequest {})
        .await
        .unwrap();
    let clear = builder()
        .build()
        .unwrap()
        .get(server.url("/healthz"))
        .send()
        .await;
    assert!(clear.is_err(), "no plain HTTP on the TLS port");
}

#[tokio::test]
async fn tls_files_that_do_not_load_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (good, _) = tls_files(directory.path());
    let other = directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let (foreign, _) = tls_files(&other);
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no PEM here").unwrap();
    let instance = Instance::start().await;
    let missing = PathBuf::from("/nonexistent/tls.pem");
    for (certificate, key, named) in [
        (&missing, &good.key, &missing),
        (&empty, &good.key, &empty),
        (&good.certificate, &missing, &missing),
        (&good.certificate, &empty, &empty),
        (&good.certificate, &good.certificate, &good.certificate),
        (&good.certificate, &foreign.key, &foreign.key),
    ] {
        let tls = Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        });
        let settings = ServerSettings {
            tls,
            ..ServerSettings::default()
        };
        let listeners = Listeners::bind(LOOPBACK, None).await.unwrap();
        let authority = Arc::clone(&instance.authority);
        let error = Server::new(listeners, settings, authority, Router::new())
            .err()
            .unwrap();
        assert!(matches!(error, ServeError::Tls(_)), "{error:?}");
        assert!(error.to_string().contains(named.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = start().await;
    let error = Listeners::bind(server.api, None).await.unwrap_err();
    assert!(
        matches!(&error, ServeError::Listen(error) if error.address() == server.api),
        "{error:?}"
    );
}

#[tokio::test]
async fn handshakes_that_stall_or_are_none_are_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (files, _) = tls_files(directory.path());
    let limits = Limits {
        connection: ConnectionLimits {
            head: Duration::from_millis(200),
            ..ConnectionLimits::standard()
        },
        ..Limits::standard()
    };
    let server = start_with(
        ServerSettings {
            tls: Some(files),
            limits,
            ..ServerSettings::default()
        },
        Router::new(),
    )
    .await;
    let tls_1_0_hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3];
    for said in [
        &b""[..],
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        &[0xff; 4096],
        &tls_1_0_hello,
    ] {
        let mut stream = server.connect().await;
        send(&mut stream, said).await;
        assert!(!read_to_end(&mut stream).await.contains("200 OK"));
    }
    while server.metric("mayfly_connections").await.unwrap() > 1.0 {}
}
