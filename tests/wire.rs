//! What real clients send and what they insist on getting back, over JSON; the same over gRPC is in `grpc.rs`.
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

use std::path::PathBuf;

use axum::Router;
use base64::{Engine, prelude::BASE64_STANDARD};
use instance::{Holder, Instance};
use mayfly::server::ServerSettings;
use reqwest::Method;
use running::{Reply, Running, client, csr_base64, start, start_before};
use serde_json::{Value, json};

const V2: &str = "/api/v2/signingCert";
const V1: &str = "/api/v1/signingCert";

/// A well-formed request that fails only where the authority looks at the token.
fn challenge() -> Value {
    json!({
        "credentials": {"oidcIdentityToken": "a.b.c"},
        "publicKeyRequest": {"publicKey": {"algorithm": "ECDSA", "content": "PEM"}, "proofOfPossession": "c2ln"},
    })
}

async fn post_json(server: &Running, path: &str, body: &Value) -> Reply {
    server.post(path, body.to_string()).await
}

/// Without any `Authorization`.
async fn post_bare(server: &Running, path: &str, body: &str) -> Reply {
    let request = client()
        .post(server.url(path))
        .header("content-type", "application/json");
    Reply::of(request.body(body.to_owned()).send().await.unwrap()).await
}

#[tokio::test]
async fn v2_answers_200_with_one_camel_case_key_whatever_is_accepted() {
    let server = start().await;
    let request = client()
        .post(server.url(V2))
        .header("accept", "application/pem-certificate-chain")
        .bearer_auth(server.instance.token())
        .json(&json!({"certificateSigningRequest": csr_base64()}));
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "application/json")
    );
    let body = reply.json();
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["signedCertificateEmbeddedSct"]
    );
    let certificates = body["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        .as_array()
        .unwrap();
    assert_eq!(certificates.len(), 3);
    for certificate in certificates {
        assert_eq!(
            certificate.as_str().unwrap().matches("BEGIN CERTIFICATE").count(),
            1
        );
    }
    let bundle = server.get("/api/v2/trustBundle").await.json();
    assert_eq!(
        bundle["chains"][0]["certificates"].as_array().unwrap()[..],
        certificates[1..]
    );
}

#[tokio::test]
async fn v1_answers_201_with_a_pem_chain_and_no_sct_header() {
    let server = start().await;
    let granted = json!({"certificateSigningRequest": csr_base64(), "publicKey": null});
    let reply = server.post_as_alice(V1, &granted).await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (201, "application/pem-certificate-chain")
    );
    assert_eq!(reply.header("sct"), "");
    assert_eq!(reply.text.matches("BEGIN CERTIFICATE").count(), 3);
    let root = server.get("/api/v1/rootCert").await;
    assert_eq!(
        (root.status, root.header("content-type")),
        (200, "application/pem-certificate-chain")
    );
    assert!(
        reply.text.ends_with(&root.text),
        "leaf first, then the chain as published"
    );
}

#[tokio::test]
async fn the_token_comes_from_the_body_or_the_header() {
    let server = start().await;
    let mut body = challenge();
    assert_eq!(
        post_bare(&server, V2, &body.to_string()).await.reason(),
        "token_malformed"
    );
    body["credentials"] = json!({"oidcIdentityToken": ""});
    for (authorization, reason) in [
        ("Bearer a.b.c", "token_malformed"),
        ("bearer a.b.c", "token_malformed"),
        ("BEARER  a.b.c ", "token_malformed"),
        ("Bearer", "token_missing"),
        ("Bearer ", "token_missing"),
        ("Basic YTpi", "token_missing"),
        ("Bearer\ta.b.c", "token_malformed"),
        ("a.b.c", "token_malformed"),
        ("Basic", "token_malformed"),
    ] {
        let request = client()
            .post(server.url(V2))
            .header("authorization", authorization)
            .json(&body);
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (400, reason),
            "{authorization}"
        );
        assert!(
            reply
                .text
                .contains("There was an error processing the identity token: ")
        );
    }
    assert_eq!(
        post_bare(&server, V2, &body.to_string()).await.reason(),
        "token_missing"
    );
    assert_eq!(
        post_bare(
            &server,
            V1,
            r#"{"publicKey":{"content":"AA"},"signedEmailAddress":"AA"}"#
        )
        .await
        .reason(),
        "token_missing"
    );
}

/// What a file or a command's output ends with, a shell's variable, or a client that forgot the
/// scheme.
#[tokio::test]
async fn white_space_round_a_token_and_a_header_without_a_scheme_are_accepted() {
    let server = start().await;
    let token = server.instance.token();
    let csr = csr_base64();
    for spaced in [format!("{token}\n"), format!("\r\n \t{token} \r\n\n")] {
        let body = json!({"credentials": {"oidcIdentityToken": spaced}, "certificateSigningRequest": csr});
        let reply = post_bare(&server, V2, &body.to_string()).await;
        assert_eq!(reply.status, 200, "{spaced:?}: {reply:?}");
    }
    for authorization in [token.clone(), format!(" {token}\t"), format!("Bearer \t{token} ")] {
        for (path, status) in [(V2, 200), (V1, 201)] {
            let body = json!({"credentials": {"oidcIdentityToken": " \n"}, "certificateSigningRequest": csr});
            let request = client()
                .post(server.url(path))
                .header("authorization", &authorization)
                .json(&body);
            let reply = Reply::of(request.send().await.unwrap()).await;
            assert_eq!(reply.status, status, "{path} {authorization:?}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn any_algorithm_unknown_fields_and_both_spellings_are_accepted() {
    let server = start().await;
    for algorithm in [
        json!("ECDSA"),
        json!(""),
        json!("RSA"),
        json!("ED25519"),
        json!(2),
        json!(null),
        json!({"a": 1}),
    ] {
        let mut body = challenge();
        body["publicKeyRequest"]["publicKey"]["algorithm"] = algorithm;
        body["unknown"] = json!([{"deep": true}]);
        body["certificateSigningRequest"] = json!(null);
        assert_eq!(
            post_json(&server, V2, &body).await.reason(),
            "token_malformed",
            "{body}"
        );
        let legacy =
            json!({"publicKey": body["publicKeyRequest"]["publicKey"], "signedEmailAddress": "c2ln"});
        let mut legacy = legacy;
        legacy["publicKey"]["content"] = json!("UEVN");
        assert_eq!(
            post_json(&server, V1, &legacy).await.reason(),
            "token_malformed",
            "{legacy}"
        );
    }
    let snake = r#"{"credentials":{"oidc_identity_token":"a.b.c"},
        "public_key_request":{"public_key":{"content":"PEM"},"proof_of_possession":"c2ln"}}"#;
    assert_eq!(post_bare(&server, V2, snake).await.reason(), "token_malformed");
    let snake = r#"{"public_key":{"content":"UEVN"},"signed_email_address":"c2ln"}"#;
    assert_eq!(server.post(V1, snake).await.reason(), "token_malformed");
    let snake = json!({"certificate_signing_request": csr_base64()});
    assert_eq!(server.post_as_alice(V2, &snake).await.status, 200);
    assert_eq!(server.post_as_alice(V1, &snake).await.status, 201);
}

#[tokio::test]
async fn bytes_come_in_either_alphabet_with_or_without_padding() {
    let server = start().await;
    for proof in ["++8=", "++8", "--8=", "--8", "AAAA", "++\r\n8=\n", "--\n8"] {
        let mut body = challenge();
        body["publicKeyRequest"]["proofOfPossession"] = json!(proof);
        assert_eq!(
            post_json(&server, V2, &body).await.reason(),
            "token_malformed",
            "{proof}"
        );
    }
    for proof in ["+-8=", "A", "!!!!", "AA=A", "AAAA====", "AA AA", "AAAA\t"] {
        let mut body = challenge();
        body["publicKeyRequest"]["proofOfPossession"] = json!(proof);
        let reply = post_json(&server, V2, &body).await;
        assert_eq!(reply.reason(), "request_malformed", "{proof}");
        assert!(
            reply.text.contains("publicKeyRequest.proofOfPossession"),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn bytes_may_have_line_breaks() {
    let server = start().await;
    let wrapped = |base64: &str| {
        let lines: Vec<_> = base64.as_bytes().chunks(64).collect();
        String::from_utf8(lines.join(&b"\r\n"[..])).unwrap() + "\n"
    };
    let holder = Holder::new();
    let pem = holder.public_key_pem();
    let proof = wrapped(&BASE64_STANDARD.encode(holder.sign("alice@example.com")));
    let csr = json!({"certificateSigningRequest": wrapped(&csr_base64())});
    let v2 = json!({"publicKeyRequest": {"publicKey": {"content": pem}, "proofOfPossession": proof}});
    let content = wrapped(&BASE64_STANDARD.encode(&pem));
    let v1 = json!({"publicKey": {"content": content}, "signedEmailAddress": proof});
    for (path, request, status) in [(V2, &csr, 200), (V2, &v2, 200), (V1, &csr, 201), (V1, &v1, 201)] {
        let reply = server.post_as_alice(path, request).await;
        assert_eq!(reply.status, status, "{request}: {reply:?}");
    }
}

#[tokio::test]
async fn bodies_that_ask_for_nothing_sensible_are_refused_with_the_reason() {
    let server = start().await;
    let token = json!({"oidcIdentityToken": "a.b.c"});
    let key = json!({"publicKey": {"content": "PEM"}, "proofOfPossession": "c2ln"});
    for (body, reason, sentence) in [
        (
            json!({"credentials": token}),
            "key_missing",
            "The public key supplied in the request could not be parsed",
        ),
        (
            json!({"credentials": token, "publicKeyRequest": {}}),
            "key_missing",
            "The public key supplied",
        ),
        (
            json!({"credentials": token, "publicKeyRequest": {"publicKey": {"content": "PEM"}}}),
            "proof_missing",
            "The signature supplied in the request could not be verified",
        ),
        (
            json!({"credentials": token, "publicKeyRequest": key, "certificateSigningRequest": "AAAA"}),
            "key_ambiguous",
            "The public key supplied",
        ),
    ] {
        let reply = post_json(&server, V2, &body).await;
        assert_eq!((reply.status, reply.reason().as_str()), (400, reason), "{body}");
        assert!(
            reply.json()["message"].as_str().unwrap().starts_with(sentence),
            "{reply:?}"
        );
        assert_eq!(reply.json()["code"], 3);
    }
    for (body, reason) in [
        (json!({}), "key_missing"),
        (json!({"publicKey": {"content": "AAAA"}}), "proof_missing"),
        (
            json!({"publicKey": {"content": "AAAA"}, "certificateSigningRequest": "AAAA"}),
            "key_ambiguous",
        ),
        (
            json!({"publicKey": {"content": "-----BEGIN PUBLIC KEY-----"}}),
            "request_malformed",
        ),
    ] {
        let reply = post_json(&server, V1, &body).await;
        assert_eq!((reply.status, reply.reason().as_str()), (400, reason), "{body}");
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn malformed_json_is_refused_with_the_place_but_never_the_text() {
    let server = start().await;
    for (body, place) in [
        ("", "line 1"),
        ("{", "line 1"),
        ("[]", ""),
        ("null", ""),
        ("{}{}", "column 3"),
        ("{} x", "column 4"),
        ("{\"a\":\"\u{1}\"}", "line 1"),
        (r#"{"credentials":"SECRET"}"#, "`credentials`"),
        (
            r#"{"credentials":{"oidcIdentityToken":["SECRET"]}}"#,
            "`credentials.oidcIdentityToken`",
        ),
        (
            r#"{"credentials":{"oidcIdentityToken":7}}"#,
            "`credentials.oidcIdentityToken`",
        ),
        (
            r#"{"publicKeyRequest":{"publicKey":"SECRET"}}"#,
            "`publicKeyRequest.publicKey`",
        ),
        (
            r#"{"publicKeyRequest":{"publicKey":{"content":true}}}"#,
            "`publicKeyRequest.publicKey.content`",
        ),
        (
            r#"{"publicKeyRequest":{"proofOfPossession":[1,2]}}"#,
            "`publicKeyRequest.proofOfPossession`",
        ),
        (
            r#"{"certificateSigningRequest":{"SECRET":1}}"#,
            "`certificateSigningRequest`",
        ),
        (r#"{"credentials":null,"credentials":null}"#, "given twice"),
        (r#"[{"oidcIdentityToken":"t"}]"#, "wrong type"),
        (r#"{"credentials":["t"]}"#, "`credentials` has the wrong type"),
        (
            r#"{"publicKeyRequest":{"publicKey":["k"]}}"#,
            "`publicKeyRequest.publicKey` has the wrong type",
        ),
        (
            r#"{"publicKeyRequest":null,"public_key_request":null}"#,
            "given twice",
        ),
        (
            r#"{"credentials":{"oidcIdentityToken":"SECRET","oidcIdentityToken":"b"}}"#,
            "given twice",
        ),
    ] {
        let reply = post_bare(&server, V2, body).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (400, "request_malformed"),
            "{body}"
        );
        assert!(reply.text.contains(place), "{body}: {reply:?}");
        assert!(!reply.text.contains("SECRET"), "{reply:?}");
    }
    let deep = format!(r#"{{"credentials":{}}}"#, "[".repeat(20_000));
    assert_eq!(post_bare(&server, V2, &deep).await.reason(), "request_malformed");
    let invalid_utf8 = [
        br#"{"credentials":{"oidcIdentityToken":""#.as_slice(),
        b"\xff\xfe\"}}",
    ]
    .concat();
    assert_eq!(server.post(V2, invalid_utf8).await.reason(), "request_malformed");
    server.assert_alive().await;
}

#[tokio::test]
async fn uncompressed_json_is_read_whatever_its_type_is_called() {
    let server = start().await;
    for (content_type, encoding, status, reason) in [
        (Some("application/json"), None, 400, "token_malformed"),
        (
            Some("application/json; charset=utf-8"),
            None,
            400,
            "token_malformed",
        ),
        (Some("Application/JSON"), Some("identity"), 400, "token_malformed"),
        (None, None, 400, "token_malformed"),
        (
            Some("application/x-www-form-urlencoded"),
            None,
            400,
            "token_malformed",
        ),
        (Some("text/plain"), None, 400, "token_malformed"),
        (Some("application/jsonx"), None, 400, "token_malformed"),
        (Some(""), None, 400, "token_malformed"),
        (
            Some("text/plain"),
            Some("gzip"),
            415,
            "content_encoding_unsupported",
        ),
        (
            Some("application/json"),
            Some("gzip"),
            415,
            "content_encoding_unsupported",
        ),
        (None, Some("br"), 415, "content_encoding_unsupported"),
    ] {
        let mut request = client().post(server.url(V2)).body(challenge().to_string());
        if let Some(value) = content_type {
            request = request.header("content-type", value);
        }
        if let Some(value) = encoding {
            request = request.header("content-encoding", value);
        }
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (status, reason),
            "{content_type:?} {encoding:?}"
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let server = start().await;
    for (method, path, status, reason) in [
        (Method::GET, "/nope", 404, "not_found"),
        (Method::GET, "//api/v2/trustBundle", 404, "not_found"),
        (Method::GET, "/api%2fv2%2ftrustBundle", 404, "not_found"),
        (Method::GET, "/api/v2/trustBundle/", 404, "not_found"),
        (Method::GET, V2, 405, "method_not_allowed"),
        (Method::DELETE, "/api/v1/rootCert", 405, "method_not_allowed"),
    ] {
        let reply = Reply::of(
            client()
                .request(method.clone(), server.url(path))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (status, reason),
            "{method} {path}"
        );
        assert_eq!(reply.header("allow").is_empty(), status == 404, "{method} {path}");
    }
}

#[tokio::test]
async fn browsers_of_every_origin_may_ask() {
    let server = start().await;
    let preflight = client()
        .request(Method::OPTIONS, server.url(V2))
        .header("origin", "https://anywhere.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let reply = Reply::of(preflight.send().await.unwrap()).await;
    assert_eq!(
        (reply.status, reply.header("access-control-allow-origin")),
        (200, "*")
    );
    for method in ["GET", "POST", "OPTIONS"] {
        assert!(reply.header("access-control-allow-methods").contains(method));
    }
    for header in ["authorization", "content-type"] {
        assert!(reply.header("access-control-allow-headers").contains(header));
    }
    let refused = client()
        .post(server.url(V2))
        .header("origin", "https://anywhere.example");
    let reply = Reply::of(refused.send().await.unwrap()).await;
    assert_eq!(
        (reply.status, reply.header("access-control-allow-origin")),
        (400, "*")
    );
}

#[tokio::test]
async fn configuration_names_issuers_and_their_challenges() {
    let server = start().await;
    let reply = server.get("/api/v2/configuration").await;
    assert_eq!(
        reply.json()["issuers"],
        json!([{
            "issuerUrl": server.instance.issuer.url(), "audience": "sigstore", "challengeClaim": "email",
            "issuerType": "email", "spiffeTrustDomain": "", "subjectDomain": "", "skipEmailVerification": false,
        }])
    );
}

#[tokio::test]
async fn the_token_in_the_body_counts_before_the_one_in_the_header() {
    let server = start().await;
    let good = server.instance.token();
    for (body, header, status) in [(good.as_str(), "a.b.c", 200), ("a.b.c", good.as_str(), 400)] {
        let request = client().post(server.url(V2)).bearer_auth(header).json(&json!({
            "credentials": {"oidcIdentityToken": body},
            "publicKeyRequest": server.challenge(),
        }));
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}

/// `sigstore-java` sends the key as one line of base64 without a newline at the end; Go clients in v1 send DER.
#[tokio::test]
async fn keys_come_as_pem_one_line_pem_or_der() {
    let server = start().await;
    let holder = Holder::new();
    let der = BASE64_STANDARD.encode(holder.public_key_der());
    let one_line = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----");
    let proof = BASE64_STANDARD.encode(holder.sign("alice@example.com"));
    for pem in [holder.public_key_pem(), one_line] {
        let request =
            json!({"publicKeyRequest": {"publicKey": {"content": pem}, "proofOfPossession": proof}});
        assert_eq!(server.post_as_alice(V2, &request).await.status, 200, "{pem}");
        let content = BASE64_STANDARD.encode(pem);
        let request = json!({"publicKey": {"content": content}, "signedEmailAddress": proof});
        assert_eq!(server.post_as_alice(V1, &request).await.status, 201);
    }
    let request = json!({"publicKey": {"content": der, "algorithm": "ecdsa"}, "signedEmailAddress": proof});
    assert_eq!(server.post_as_alice(V1, &request).await.status, 201);
}

#[tokio::test]
async fn what_the_operator_must_repair_is_a_503_that_names_it() {
    let full = PathBuf::from("/dev/full");
    let no_audit = Instance::start_with(|wishes| wishes.audit = full).await;
    let no_log = Instance::start().await;
    no_log.log.shutdown().await;
    for (instance, reason, part) in [
        (no_audit, "audit_unavailable", "audit"),
        (no_log, "log_unavailable", "log"),
    ] {
        let server = start_before(instance, ServerSettings::default(), Router::new()).await;
        let request = json!({"publicKeyRequest": server.challenge()});
        let reply = server.post_as_alice(V2, &request).await;
        assert_eq!((reply.status, reply.reason().as_str()), (503, reason));
        assert!(
            !reply.header("retry-after").is_empty() && !reply.text.contains("/dev/full"),
            "{reply:?}"
        );
        let ready = server.get("/readyz").await;
        assert_eq!(
            (ready.status, &ready.json()[part]["usable"]),
            (503, &json!(false))
        );
        assert_eq!(server.get("/healthz").await.status, 200);
    }
}
