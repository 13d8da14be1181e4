//! The device flow (RFC 8628), end to end.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::*;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn begin(provider: &Provider) -> Value {
    let fields = [
        ("client_id", "sigstore"),
        ("scope", "openid email"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let response = provider
        .post(&provider.email_url("/device_authorization"), &fields)
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    json(response).await
}

async fn poll(provider: &Provider, grant: &Value, verifier: &str) -> reqwest::Response {
    let fields = [
        ("grant_type", GRANT),
        ("client_id", "sigstore"),
        ("device_code", grant["device_code"].as_str().unwrap()),
        ("code_verifier", verifier),
    ];
    provider.token(&fields).await
}

fn wait(provider: &Provider, grant: &Value) {
    provider
        .clock
        .advance(Duration::from_secs(grant["interval"].as_u64().unwrap()));
}

#[tokio::test]
async fn approved_in_the_browser() {
    let provider = Provider::start().await;
    let grant = begin(&provider).await;
    assert_eq!(grant["verification_uri"], provider.email_url("/device"));
    assert_eq!(
        oauth_error(poll(&provider, &grant, VERIFIER).await).await,
        "authorization_pending"
    );
    assert_eq!(
        oauth_error(poll(&provider, &grant, VERIFIER).await).await,
        "slow_down"
    );

    let user_code = grant["user_code"].as_str().unwrap();
    let page = provider
        .get(grant["verification_uri_complete"].as_str().unwrap())
        .await
        .text()
        .await
        .unwrap();
    assert!(page.contains(&format!("value=\"{user_code}\"")), "{page}");
    let url = provider.email_url("/device");
    for (code, email) in [("BCDF-BCDF", "you@example.com"), (user_code, "nobody")] {
        let response = provider
            .post(&url, &[("user_code", code), ("email", email)])
            .await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{code} {email}");
    }
    let response = provider
        .post(&url, &[("user_code", user_code), ("email", "you@example.com")])
        .await;
    assert_eq!(response.status(), StatusCode::OK);

    wait(&provider, &grant);
    provider.clock.advance(Duration::from_secs(5));
    let response = poll(&provider, &grant, VERIFIER).await;
    assert_eq!(response.status(), StatusCode::OK);
    let tokens = json(response).await;
    let claims = provider.verify(tokens["id_token"].as_str().unwrap()).await;
    assert_eq!(claims["email"], "you@example.com");
    assert_eq!(
        oauth_error(poll(&provider, &grant, VERIFIER).await).await,
        "invalid_grant"
    );
}

#[tokio::test]
async fn the_device_that_began_is_the_one_that_gets_the_token() {
    let provider = Provider::start().await;
    let grant = begin(&provider).await;
    let fields = [
        ("user_code", grant["user_code"].as_str().unwrap()),
        ("email", "you@example.com"),
    ];
    provider.post(&provider.email_url("/device"), &fields).await;
    let thief = poll(
        &provider,
        &grant,
        "another-verifier-that-is-long-enough-for-the-rules",
    )
    .await;
    assert_eq!(oauth_error(thief).await, "invalid_grant");
    wait(&provider, &grant);
    assert_eq!(poll(&provider, &grant, VERIFIER).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_code_that_nobody_enters_expires() {
    let provider = Provider::start().await;
    let grant = begin(&provider).await;
    provider
        .clock
        .advance(Duration::from_secs(grant["expires_in"].as_u64().unwrap()));
    assert_eq!(
        oauth_error(poll(&provider, &grant, VERIFIER).await).await,
        "expired_token"
    );
    let fields = [
        ("user_code", grant["user_code"].as_str().unwrap()),
        ("email", "you@example.com"),
    ];
    let late = provider.post(&provider.email_url("/device"), &fields).await;
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn refusals() {
    let provider = Provider::start().await;
    let url = provider.email_url("/device_authorization");
    for (fields, error) in [
        (vec![], "invalid_client"),
        (vec![("client_id", "other")], "invalid_client"),
        (
            vec![("client_id", "sigstore"), ("code_challenge", CHALLENGE)],
            "invalid_request",
        ),
    ] {
        assert_eq!(
            oauth_error(provider.post(&url, &fields).await).await,
            error,
            "{fields:?}"
        );
    }
    let unknown = provider
        .token(&[
            ("client_id", "sigstore"),
            ("grant_type", GRANT),
            ("device_code", "x"),
        ])
        .await;
    assert_eq!(oauth_error(unknown).await, "invalid_grant");
    let missing = provider
        .token(&[("client_id", "sigstore"), ("grant_type", GRANT)])
        .await;
    assert_eq!(oauth_error(missing).await, "invalid_request");
}
