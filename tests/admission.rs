//! The operator decides who may sign: conditions, limits, tokens that are good once, tokens that name their key.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[path = "support/fake_issuer.rs"]
mod fake_issuer;
#[path = "support/instance.rs"]
mod instance;
mod running;

use axum::Router;
use base64::{Engine, prelude::BASE64_STANDARD};
use instance::{AUDIENCE, Holder, Instance};
use mayfly::server::ServerSettings;
use running::{Reply, Running, client};
use serde_json::{Value, json};

const V2: &str = "/api/v2/signingCert";

/// A server whose issuer file has these lines for its one issuer.
async fn serving(rule: &str) -> Running {
    let rule = rule.to_owned();
    let instance = Instance::start_with(|wishes| wishes.rule = rule).await;
    running::start_before(instance, ServerSettings::default(), Router::new()).await
}

/// Asks with a token of these claims and a key of one's own.
async fn ask(server: &Running, claims: &Value) -> Reply {
    ask_with(server, &server.instance.issuer_key.token(claims), &Holder::new()).await
}

async fn ask_with(server: &Running, token: &str, holder: &Holder) -> Reply {
    let proof = BASE64_STANDARD.encode(holder.sign("alice@example.com"));
    let body = json!({
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {"publicKey": {"content": holder.public_key_pem()}, "proofOfPossession": proof},
    });
    let request = client()
        .post(server.url(V2))
        .header("content-type", "application/json");
    Reply::of(request.body(body.to_string()).send().await.unwrap()).await
}

fn claims_with(server: &Running, claim: &str, value: impl Into<Value>) -> Value {
    let mut claims = server.instance.claims();
    claims[claim] = value.into();
    claims
}

fn assert_refused(reply: &Reply, status: u16, reason: &str) {
    assert_eq!(
        (reply.status, reply.reason()),
        (status, reason.to_owned()),
        "{reply:?}"
    );
}

#[tokio::test]
async fn only_tokens_that_meet_the_condition_get_a_certificate() {
    let server = serving("type: email\nallow: claims.team == \"release\" && claims.level >= 3").await;
    let good = json!({"team": "release", "level": 3});
    let token = |changes: Value| {
        let mut claims = server.instance.claims();
        claims
            .as_object_mut()
            .unwrap()
            .extend(good.as_object().unwrap().clone());
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        claims
    };
    assert_eq!(ask(&server, &token(json!({}))).await.status, 200);
    for changes in [
        json!({"team": "other"}),
        json!({"level": 2}),
        json!({"level": "3"}),
        json!({"team": null}),
    ] {
        assert_refused(&ask(&server, &token(changes)).await, 403, "not_admitted");
    }
    assert_refused(
        &ask(&server, &server.instance.claims()).await,
        403,
        "not_admitted",
    );
    assert_eq!(server.instance.log.size(), 1);
    assert_eq!(
        server
            .metric(r#"mayfly_refused_total{reason="not_admitted"}"#)
            .await,
        Some(5.0)
    );
}

#[tokio::test]
async fn the_condition_is_named_to_the_caller_and_on_record_and_never_its_text_or_the_claim() {
    let rule = "type: email\nallow:\n  our-people: claims.email.endsWith(\"@example.com\")\n  main-branch: claims.ref == \"s3cret-branch\"";
    let server = serving(rule).await;
    let reply = ask(&server, &claims_with(&server, "ref", "s3cret-value")).await;
    assert_refused(&reply, 403, "not_admitted");
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("condition `main-branch`") && message.contains("does not hold"),
        "{message}"
    );
    let missing = ask(&server, &server.instance.claims()).await;
    let message = missing.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("`main-branch`") && message.contains("has no claim `ref`"),
        "{message}"
    );
    // The next record makes the refusals before it durable.
    assert_eq!(
        ask(&server, &claims_with(&server, "ref", "s3cret-branch"))
            .await
            .status,
        200
    );

    let records = server.instance.audit_records();
    assert_eq!(records.len(), 4);
    assert_eq!(
        (&records[0]["event"], &records[0]["reason"]),
        (&json!("refusal"), &json!("not_admitted"))
    );
    assert_eq!(records[0]["condition"], "main-branch");
    assert_eq!(records[0]["name"], json!({"email": "alice@example.com"}));
    assert_eq!(records[0]["extensions"]["issuer"], server.instance.issuer.url());
    assert_eq!(records[0]["token"].as_str().unwrap().len(), 64);
    assert!(!format!("{:?}{}", records, reply.text).contains("s3cret"));
}

#[tokio::test]
async fn refusals_without_end_do_not_fill_the_record() {
    let server = serving("type: email\nallow: claims.ref == \"main\"").await;
    let token = server.instance.issuer_key.token(&server.instance.claims());
    let holder = Holder::new();
    for _ in 0..300 {
        assert_refused(&ask_with(&server, &token, &holder).await, 403, "not_admitted");
    }
    assert_eq!(
        ask(&server, &claims_with(&server, "ref", "main")).await.status,
        200
    );
    let records = server.instance.audit_records();
    let refusals = records
        .iter()
        .filter(|record| record["event"] == "refusal")
        .count();
    assert!((100..300).contains(&refusals), "{refusals}");
}

#[tokio::test]
async fn audience_and_issuer_choose_the_rules() {
    let instance = Instance::start_with(|wishes| {
        wishes.audiences = Some(
            "people:\n  type: email\nmachines:\n  type: username\n  subject-domain: 127.0.0.1\n  allow: claims.sub == \"robot\"".to_owned(),
        );
    })
    .await;
    let server = running::start_before(instance, ServerSettings::default(), Router::new()).await;
    assert_eq!(
        ask(&server, &claims_with(&server, "aud", "people")).await.status,
        200
    );
    assert_refused(
        &ask(&server, &claims_with(&server, "aud", "machines")).await,
        403,
        "not_admitted",
    );
    assert_refused(
        &ask(&server, &claims_with(&server, "aud", AUDIENCE)).await,
        400,
        "audience_mismatch",
    );
    // Of several audiences that the token names, the first in the file counts.
    let both = claims_with(&server, "aud", json!(["machines", "people"]));
    assert_eq!(ask(&server, &both).await.status, 200);
    let configuration = server.get("/api/v2/configuration").await.json();
    let described: Vec<_> = configuration["issuers"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&described[0]["audience"], &described[0]["issuerType"]),
        (&json!("people"), &json!("email"))
    );
    assert_eq!(
        (&described[1]["audience"], &described[1]["issuerType"]),
        (&json!("machines"), &json!("username"))
    );
}

#[tokio::test]
async fn limits_are_answered_with_429_and_when_to_come_back() {
    let server = serving("type: email\nrate-limit: {identity: 2/hour, issuer: 3/hour}").await;
    let alice = server.instance.claims();
    assert_eq!(ask(&server, &alice).await.status, 200);
    assert_eq!(ask(&server, &alice).await.status, 200);
    let reply = ask(&server, &alice).await;
    assert_refused(&reply, 429, "rate_limited");
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1790..=1800).contains(&wait), "{wait}");
    assert!(reply.text.contains("this identity"), "{reply:?}");
    let mut bob = claims_with(&server, "email", "bob@example.com");
    bob["sub"] = "alice@example.com".into();
    assert_eq!(ask(&server, &bob).await.status, 200);
    let reply = ask(&server, &bob).await;
    assert_refused(&reply, 429, "rate_limited");
    assert!(reply.text.contains("this issuer"), "{reply:?}");
    assert_eq!(server.instance.log.size(), 3);
}

#[tokio::test]
async fn a_refused_token_takes_nothing_from_the_limit() {
    let server = serving("type: email\nallow: claims.ref == \"main\"\nrate-limit: {issuer: 1/hour}").await;
    for _ in 0..5 {
        assert_refused(
            &ask(&server, &server.instance.claims()).await,
            403,
            "not_admitted",
        );
    }
    assert_eq!(
        ask(&server, &claims_with(&server, "ref", "main")).await.status,
        200
    );
}

#[tokio::test]
async fn a_single_use_token_gives_one_certificate() {
    let server = serving("type: email\nsingle-use: true").await;
    let token = server.instance.token();
    // What fails does not use it up: the proof is wrong.
    let body = json!({
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {"publicKey": {"content": Holder::new().public_key_pem()}, "proofOfPossession": "AAAA"},
    });
    let request = client()
        .post(server.url(V2))
        .header("content-type", "application/json");
    let failed = Reply::of(request.body(body.to_string()).send().await.unwrap()).await;
    assert_refused(&failed, 400, "proof_signature_invalid");
    assert_eq!(ask_with(&server, &token, &Holder::new()).await.status, 200);
    assert_refused(
        &ask_with(&server, &token, &Holder::new()).await,
        400,
        "token_used",
    );
    assert_eq!(
        ask(&server, &claims_with(&server, "jti", "another")).await.status,
        200
    );
    assert_eq!(server.instance.log.size(), 2);
}

/// An ECDSA signature has a twin that anybody can compute: the same token in other bytes.
#[tokio::test]
async fn a_single_use_token_with_its_signatures_twin_is_the_same_token() {
    let server = serving("type: email\nsingle-use: true").await;
    let token = server.instance.token();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let twin = format!("{input}.{}", twin(signature));
    assert_ne!(token, twin);
    assert_eq!(ask_with(&server, &token, &Holder::new()).await.status, 200);
    assert_refused(&ask_with(&server, &twin, &Holder::new()).await, 400, "token_used");
}

/// (r, s) -> (r, n - s) on P-256.
fn twin(signature: &str) -> String {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use num_bigint::BigUint;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order = BigUint::parse_bytes(order.as_bytes(), 16).unwrap();
    let s = (order - BigUint::from_bytes_be(&bytes[32..])).to_bytes_be();
    let mut twin = bytes[..32].to_vec();
    twin.extend(vec![0; 32 - s.len()]);
    twin.extend(s);
    BASE64_URL_SAFE_NO_PAD.encode(twin)
}

#[tokio::test]
async fn of_many_simultaneous_uses_of_a_token_one_succeeds() {
    let server = serving("type: email\nsingle-use: true").await;
    let token = server.instance.token();
    let replies = futures_util::future::join_all((0..20).map(async |_| {
        let holder = Holder::new();
        ask_with(&server, &token, &holder).await.status
    }))
    .await;
    assert_eq!(
        replies.iter().filter(|status| **status == 200).count(),
        1,
        "{replies:?}"
    );
    assert_eq!(server.instance.log.size(), 1);
}

#[tokio::test]
async fn a_token_that_names_its_key_is_good_for_no_other() {
    for (binding, place) in [("cnf", "cnf"), ("nonce", "nonce"), ("audience", "aud")] {
        let server = serving(&format!("type: email\nkey-binding: {binding}")).await;
        let holder = Holder::new();
        let value = match place {
            "cnf" => json!({"jkt": holder.thumbprint()}),
            "nonce" => json!(holder.thumbprint()),
            _ => json!(format!("{AUDIENCE}?jkt={}", holder.thumbprint())),
        };
        let token = server
            .instance
            .issuer_key
            .token(&claims_with(&server, place, value));
        assert_eq!(ask_with(&server, &token, &holder).await.status, 200, "{binding}");
        let stolen = ask_with(&server, &token, &Holder::new()).await;
        assert_refused(&stolen, 400, "key_not_the_tokens");
        // A token that names no key is not good for any.
        let unbound = ask_with(&server, &server.instance.token(), &holder).await;
        let expected = if binding == "audience" {
            "audience_mismatch"
        } else {
            "key_not_named"
        };
        assert_refused(&unbound, 400, expected);
        assert_eq!(server.instance.log.size(), 1, "{binding}");
    }
}

#[tokio::test]
async fn grpc_says_the_same() {
    use mayfly::server::proto::{
        CreateSigningCertificateRequest, Credentials, create_signing_certificate_request::Key, credentials,
    };
    let server = serving("type: email\nallow: claims.ref == \"main\"\nrate-limit: {identity: 1/hour}").await;
    let ask = async |claims: Value| {
        let token = server.instance.issuer_key.token(&claims);
        let request = CreateSigningCertificateRequest {
            credentials: Some(Credentials {
                credentials: Some(credentials::Credentials::OidcIdentityToken(token)),
            }),
            key: Some(Key::CertificateSigningRequest(running::csr().into_bytes())),
        };
        server
            .ca()
            .await
            .create_signing_certificate(request)
            .await
            .map_err(|status| status.code())
    };
    let good = claims_with(&server, "ref", "main");
    assert_eq!(
        ask(server.instance.claims()).await.unwrap_err(),
        tonic::Code::PermissionDenied
    );
    ask(good.clone()).await.unwrap();
    assert_eq!(ask(good).await.unwrap_err(), tonic::Code::ResourceExhausted);
}
