//! The gRPC interface: the same certificates and the same reasons as over JSON.
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

use mayfly::server::proto::{
    CreateSigningCertificateRequest, Credentials, GetConfigurationRequest, GetTrustBundleRequest, PublicKey,
    PublicKeyRequest, ca_client::CaClient, create_signing_certificate_request::Key,
    credentials::Credentials::OidcIdentityToken, oidc_issuer::Issuer, signing_certificate::Certificate,
};
use reqwest::{Version, header::HeaderMap};
use running::{Running, builder, csr, start};
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt;

const CREATE: &str = "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";

fn credentials(token: &str) -> Option<Credentials> {
    Some(Credentials {
        credentials: Some(OidcIdentityToken(token.to_owned())),
    })
}

fn challenge(content: &str, proof: &[u8]) -> Option<Key> {
    Some(Key::PublicKeyRequest(PublicKeyRequest {
        public_key: Some(PublicKey {
            algorithm: 99,
            content: content.to_owned(),
        }),
        proof_of_possession: proof.to_vec(),
    }))
}

/// Code and stable reason, after checking that the domain and the request's id are there.
fn refusal(status: &Status) -> (Code, String) {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "mayfly");
    assert!(!info.metadata["requestId"].is_empty());
    (status.code(), info.reason)
}

#[tokio::test]
async fn a_certificate_comes_with_its_chain_and_an_embedded_sct() {
    let server = start().await;
    let mut ca = server.ca().await;
    let request = CreateSigningCertificateRequest {
        credentials: credentials(&server.instance.token()),
        key: Some(Key::CertificateSigningRequest(csr().into_bytes())),
    };
    let answer = ca.create_signing_certificate(request).await.unwrap().into_inner();
    let Some(Certificate::SignedCertificateEmbeddedSct(embedded)) = answer.certificate else {
        panic!("detached: {answer:?}")
    };
    let chain = embedded.chain.unwrap().certificates;
    let bundle = ca
        .get_trust_bundle(GetTrustBundleRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(bundle.chains[0].certificates[..], chain[1..]);
    let handled = r#"grpc_server_handled_total{grpc_code="OK",grpc_method="CreateSigningCertificate",grpc_service="dev.sigstore.fulcio.v2.CA",grpc_type="unary"}"#;
    assert_eq!(server.metric(handled).await, Some(1.0));
}

#[tokio::test]
async fn refusals_carry_the_same_reason_as_json() {
    let server = start().await;
    let mut ca = server.ca().await;
    let token = credentials("a.b.c");
    for (credentials, key, reason, sentence) in [
        (
            None,
            challenge("PEM", b"x"),
            "token_missing",
            "There was an error processing the identity token: ",
        ),
        (
            Some(Credentials::default()),
            challenge("PEM", b"x"),
            "token_missing",
            "There was",
        ),
        (
            credentials(""),
            challenge("PEM", b"x"),
            "token_missing",
            "There was",
        ),
        (
            token.clone(),
            challenge("PEM", b"x"),
            "token_malformed",
            "There was an error processing the identity token: ",
        ),
        (
            token.clone(),
            None,
            "key_missing",
            "The public key supplied in the request could not be parsed",
        ),
        (
            token.clone(),
            challenge("", b"x"),
            "key_missing",
            "The public key",
        ),
        (
            token.clone(),
            challenge("PEM", b""),
            "proof_missing",
            "The signature supplied",
        ),
        (
            token,
            Some(Key::CertificateSigningRequest(Vec::new())),
            "key_missing",
            "The public key",
        ),
    ] {
        let status = ca
            .create_signing_certificate(CreateSigningCertificateRequest { credentials, key })
            .await
            .unwrap_err();
        assert_eq!(refusal(&status), (Code::InvalidArgument, reason.to_owned()));
        assert!(status.message().starts_with(sentence), "{status:?}");
    }
    let handled = r#"grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="CreateSigningCertificate",grpc_service="dev.sigstore.fulcio.v2.CA",grpc_type="unary"}"#;
    assert_eq!(server.metric(handled).await, Some(8.0));
}

#[tokio::test]
async fn the_token_may_come_in_the_metadata() {
    let server = start().await;
    let mut request = tonic::Request::new(CreateSigningCertificateRequest {
        credentials: None,
        key: challenge("PEM", b"x"),
    });
    request
        .metadata_mut()
        .insert("authorization", "Bearer a.b.c".parse().unwrap());
    let status = server
        .ca()
        .await
        .create_signing_certificate(request)
        .await
        .unwrap_err();
    assert_eq!(refusal(&status).1, "token_malformed");
}

/// As Fulcio's gRPC server takes it; there the message's own token counts first, too.
#[tokio::test]
async fn the_token_may_come_as_fulcios_own_metadata() {
    let server = start().await;
    let token = server.instance.token();
    let spaced = format!(" {token} ");
    for (message, metadata, authorization, code) in [
        (None, Some(&*token), None, Code::Ok),
        (Some(""), Some(&*token), None, Code::Ok),
        (Some("\n"), Some(&*spaced), None, Code::Ok),
        (Some(&*token), Some("a.b.c"), None, Code::Ok),
        (None, Some(&*token), Some("Bearer a.b.c"), Code::Ok),
        (Some("a.b.c"), Some(&*token), None, Code::InvalidArgument),
        (None, Some("a.b.c"), Some(&*token), Code::InvalidArgument),
    ] {
        let mut request = tonic::Request::new(CreateSigningCertificateRequest {
            credentials: message.and_then(credentials),
            key: Some(Key::CertificateSigningRequest(csr().into_bytes())),
        });
        for (name, value) in [("oidcidentitytoken", metadata), ("authorization", authorization)] {
            if let Some(value) = value {
                request.metadata_mut().insert(name, value.parse().unwrap());
            }
        }
        let answer = server.ca().await.create_signing_certificate(request).await;
        let answered = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(answered, code, "{message:?} {metadata:?} {authorization:?}");
    }
}

#[tokio::test]
async fn white_space_round_a_token_is_accepted() {
    let server = start().await;
    let request = CreateSigningCertificateRequest {
        credentials: credentials(&format!("\n {} \r\n", server.instance.token())),
        key: Some(Key::CertificateSigningRequest(csr().into_bytes())),
    };
    server
        .ca()
        .await
        .create_signing_certificate(request)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_message_may_be_gzipped_and_the_answer_is_not() {
    let server = start().await;
    let request = CreateSigningCertificateRequest {
        credentials: credentials(&server.instance.token()),
        key: Some(Key::CertificateSigningRequest(csr().into_bytes())),
    };
    let compressing = server.ca().await.send_compressed(CompressionEncoding::Gzip);
    let mut compressing = compressing.accept_compressed(CompressionEncoding::Gzip);
    let answer = compressing.create_signing_certificate(request).await.unwrap();
    assert!(answer.metadata().get("grpc-encoding").is_none(), "{answer:?}");
    assert!(answer.into_inner().certificate.is_some());
}

#[tokio::test]
async fn configuration_health_and_reflection() {
    let server = start().await;
    let channel = server.channel().await;
    let configuration = CaClient::new(channel.clone())
        .get_configuration(GetConfigurationRequest {})
        .await
        .unwrap();
    let issuers = configuration.into_inner().issuers;
    assert_eq!(
        issuers[0].issuer,
        Some(Issuer::IssuerUrl(server.instance.issuer.url().to_owned()))
    );
    assert_eq!(
        (issuers[0].challenge_claim.as_str(), issuers[0].audience.as_str()),
        ("email", "sigstore")
    );

    let mut health = HealthClient::new(channel.clone());
    let mut reports = health
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    while reports.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    let ca = HealthCheckRequest {
        service: "dev.sigstore.fulcio.v2.CA".to_owned(),
    };
    let status = health.check(ca).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);
    // Fulcio answers a probe of any service.
    let nope = HealthCheckRequest {
        service: "nope".to_owned(),
    };
    let status = health.check(nope.clone()).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);
    let status = health.watch(nope).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::NotFound, "not_found".to_owned()));

    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let asked = futures_util::stream::iter([list]);
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(asked)
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in [
        "dev.sigstore.fulcio.v2.CA",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.iter().any(|listed| listed == name), "{name}: {names:?}");
    }
}

/// One gRPC call by hand: the framed message as given.
async fn call(
    server: &Running,
    path: &str,
    body: Vec<u8>,
    headers: &[(&'static str, &'static str)],
) -> HeaderMap {
    let client = builder().http2_prior_knowledge().build().unwrap();
    let mut request = client
        .post(server.url(path))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    assert_eq!(response.headers()["content-type"], "application/grpc");
    response.headers().clone()
}

fn framed(flag: u8, declared: u32, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &declared.to_be_bytes(), message].concat()
}

#[tokio::test]
async fn messages_that_are_none_are_refused_and_the_next_call_works() {
    let server = start().await;
    let limit = 128 * 1024;
    for (name, body, headers, code, reason) in [
        (
            "no frame",
            Vec::new(),
            &[][..],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "half a frame",
            vec![0, 0],
            &[],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "not protobuf",
            framed(0, 4, b"\xff\xff\xff\xff"),
            &[],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "wrong wire type",
            framed(0, 2, b"\x08\x01"),
            &[],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "token is no UTF-8",
            framed(0, 6, b"\x0a\x04\x0a\x02\xff\xfe"),
            &[],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "shorter than declared",
            framed(0, 100, b"\x0a"),
            &[],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "declares 4 GiB",
            framed(0, u32::MAX, b"\x0a"),
            &[],
            Code::ResourceExhausted,
            "body_too_large",
        ),
        (
            "declares too much",
            framed(0, limit + 1, b"\x0a"),
            &[],
            Code::ResourceExhausted,
            "body_too_large",
        ),
        (
            "is too much",
            framed(0, 4 << 20, &vec![0; 4 << 20]),
            &[],
            Code::ResourceExhausted,
            "body_too_large",
        ),
        (
            "flag without encoding",
            framed(1, 1, b"\x00"),
            &[],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "no gzip",
            framed(1, 1, b"\x00"),
            &[("grpc-encoding", "gzip")],
            Code::InvalidArgument,
            "request_malformed",
        ),
        (
            "another coding",
            framed(1, 1, b"\x00"),
            &[("grpc-encoding", "deflate")],
            Code::Unimplemented,
            "content_encoding_unsupported",
        ),
    ] {
        let headers = call(&server, CREATE, body, headers).await;
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(refusal(&status), (code, reason.to_owned()), "{name}: {status:?}");
        // gRPC, compression.md: then the codings are named that are accepted.
        let accepted = headers.get("grpc-accept-encoding");
        assert_eq!(
            accepted.is_some_and(|accepted| accepted == "gzip,identity"),
            code == Code::Unimplemented,
            "{name}"
        );
        server.assert_alive().await;
    }
}

#[tokio::test]
async fn unknown_methods_and_services_are_unimplemented() {
    let server = start().await;
    for path in [
        "/dev.sigstore.fulcio.v2.CA/Nope",
        "/no.such.Service/Nope",
        "/nope",
    ] {
        let status = Status::from_header_map(&call(&server, path, framed(0, 0, b""), &[]).await).unwrap();
        assert_eq!(
            refusal(&status),
            (Code::Unimplemented, "method_unknown".to_owned()),
            "{path}"
        );
    }
    let other = r#"grpc_server_started_total{grpc_method="other",grpc_service="other",grpc_type="unary"}"#;
    assert_eq!(
        server.metric(other).await,
        Some(3.0),
        "labels that callers cannot make up"
    );
}
