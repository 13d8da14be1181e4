//! Authorization code with PKCE, from the login page to the token.

use std::time::Duration;

use reqwest::{StatusCode, header};

use crate::harness::*;

fn exchange(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", "sigstore"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

#[tokio::test]
async fn discovery_says_what_clients_insist_on() {
    let provider = Provider::start().await;
    let url = format!("{}/.well-known/openid-configuration", provider.issuers.email());
    let document = json(provider.get(&url).await).await;
    assert_eq!(document["issuer"], provider.issuers.email());
    assert_eq!(
        document["code_challenge_methods_supported"],
        serde_json::json!(["S256"])
    );
    assert_eq!(
        document["id_token_signing_alg_values_supported"],
        serde_json::json!(["RS256"])
    );
    assert_eq!(
        document["authorization_endpoint"],
        provider.email_url("/authorize")
    );
    assert_eq!(document["token_endpoint"], provider.email_url("/token"));
    assert_eq!(
        document["device_authorization_endpoint"],
        provider.email_url("/device_authorization")
    );
}

/// sigstore-rust does no discovery: it asks the issuer's `/auth` and `/token`, as Dex has them, and
/// sends no nonce.
#[tokio::test]
async fn login_without_discovery() {
    let provider = Provider::start().await;
    let request = request_but("nonce", None);
    let issuer = provider.issuers.email();
    let url = format!("{issuer}/auth?{}", encode(&request));
    let page = provider.get(&url).await;
    assert_eq!(page.status(), StatusCode::OK);
    let mut fields = hidden_fields(&page.text().await.unwrap());
    fields.push(("email".to_owned(), "you@example.com".to_owned()));
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let response = provider.post(&url, &fields).await;
    let code = redirect_parameter(&response, "code").unwrap();
    let tokens = json(provider.post(&format!("{issuer}/token"), &exchange(&code)).await).await;
    let claims = provider.verify(tokens["id_token"].as_str().unwrap()).await;
    assert_eq!(claims["email"], "you@example.com");
}

#[tokio::test]
async fn login_to_token() {
    let provider = Provider::start().await;
    let response = provider.log_in(&request(), "you@example.com").await;
    let location = response.headers()[header::LOCATION].to_str().unwrap().to_owned();
    assert!(location.starts_with(&format!("{CALLBACK}?code=")), "{location}");
    assert_eq!(redirect_parameter(&response, "state").unwrap(), "the state");

    let code = redirect_parameter(&response, "code").unwrap();
    let response = provider.token(&exchange(&code)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let tokens = json(response).await;
    assert_eq!(
        (tokens["token_type"].as_str(), tokens["expires_in"].as_u64()),
        (Some("Bearer"), Some(600))
    );

    let id_token = provider.verify(tokens["id_token"].as_str().unwrap()).await;
    assert_eq!(id_token["iss"], provider.issuers.email());
    assert_eq!(id_token["aud"], "sigstore");
    assert_eq!(id_token["email"], "you@example.com");
    assert_eq!(id_token["email_verified"], true);
    assert_eq!(id_token["nonce"], "the nonce");
    assert_eq!(
        id_token["exp"].as_u64().unwrap() - id_token["iat"].as_u64().unwrap(),
        600
    );
    assert!(!id_token["sub"].as_str().unwrap().contains("you"));
    let access_token = tokens["access_token"].as_str().unwrap();
    assert_eq!(id_token["at_hash"], at_hash(access_token));
    let access_claims = provider.verify(access_token).await;
    for claim in ["iss", "sub", "aud", "email", "email_verified", "iat", "exp"] {
        assert_eq!(access_claims[claim], id_token[claim], "{claim}");
    }
}

fn at_hash(access_token: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16])
}

#[tokio::test]
async fn the_same_person_has_the_same_subject() {
    let provider = Provider::start().await;
    let mut subjects = Vec::new();
    for email in ["you@example.com", "you@example.com", "me@example.com"] {
        let response = provider.log_in(&request_but("nonce", None), email).await;
        let code = redirect_parameter(&response, "code").unwrap();
        let tokens = json(provider.token(&exchange(&code)).await).await;
        let claims = provider.verify(tokens["id_token"].as_str().unwrap()).await;
        assert!(claims.get("nonce").is_none());
        subjects.push(claims["sub"].clone());
    }
    assert_eq!(subjects[0], subjects[1]);
    assert_ne!(subjects[0], subjects[2]);
}

#[tokio::test]
async fn every_loopback_redirect_gets_its_code() {
    let provider = Provider::start().await;
    for (uri, start) in [
        ("http://localhost:1", "http://localhost:1/?code="),
        (
            "http://127.0.0.1:65535/callback",
            "http://127.0.0.1:65535/callback?code=",
        ),
        (
            "http://[::1]:8080/Callback?a=b",
            "http://[::1]:8080/Callback?a=b&code=",
        ),
        ("http://localhost/any/path", "http://localhost/any/path?code="),
    ] {
        let response = provider
            .log_in(&request_but("redirect_uri", Some(uri)), "you@example.com")
            .await;
        let location = response.headers()[header::LOCATION].to_str().unwrap().to_owned();
        assert!(location.starts_with(start), "{location}");
        let code = redirect_parameter(&response, "code").unwrap();
        let mut fields = exchange(&code);
        fields[3].1 = uri;
        assert_eq!(provider.token(&fields).await.status(), StatusCode::OK, "{uri}");
    }
}

#[tokio::test]
async fn out_of_band_shows_the_code() {
    const OOB: &str = "urn:ietf:wg:oauth:2.0:oob";
    let provider = Provider::start().await;
    let response = provider
        .log_in(&request_but("redirect_uri", Some(OOB)), "you@example.com")
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    let page = response.text().await.unwrap();
    let code = page
        .split_once("<code>")
        .unwrap()
        .1
        .split_once("</code>")
        .unwrap()
        .0;
    let mut fields = exchange(code);
    fields[3].1 = OOB;
    assert_eq!(provider.token(&fields).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_ever_sent_to_a_foreign_place() {
    let provider = Provider::start().await;
    for (name, value) in [
        ("redirect_uri", Some("http://evil.example/callback")),
        ("redirect_uri", Some("http://localhost.evil/callback")),
        ("redirect_uri", Some("http://localhost@evil/")),
        ("redirect_uri", Some("https://localhost:1234/callback")),
        ("redirect_uri", Some("javascript:alert(1)")),
        ("redirect_uri", None),
        ("client_id", Some("other")),
        ("client_id", None),
    ] {
        let query = encode(&request_but(name, value));
        let url = format!("{}?{query}", provider.email_url("/authorize"));
        for response in [
            provider.get(&url).await,
            provider.form(&url, &[]).body(query).send().await.unwrap(),
        ] {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name} {value:?}");
            assert!(!response.headers().contains_key(header::LOCATION));
        }
    }
}

#[tokio::test]
async fn other_faults_go_back_to_the_client() {
    let provider = Provider::start().await;
    for (name, value, error) in [
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "unsupported_response_type"),
        ("scope", Some("email"), "invalid_scope"),
    ] {
        let query = encode(&request_but(name, value));
        let url = format!("{}?{query}", provider.email_url("/authorize"));
        for response in [
            provider.get(&url).await,
            provider.form(&url, &[]).body(query).send().await.unwrap(),
        ] {
            assert_eq!(
                redirect_parameter(&response, "error").as_deref(),
                Some(error),
                "{name} {value:?}"
            );
            assert_eq!(
                redirect_parameter(&response, "state").as_deref(),
                Some("the state")
            );
            assert_eq!(redirect_parameter(&response, "code"), None);
        }
    }
}

#[tokio::test]
async fn a_code_counts_once_for_its_client_place_and_verifier() {
    let provider = Provider::start().await;
    let wrong = [
        ("redirect_uri", "http://localhost:43210/other"),
        (
            "code_verifier",
            "another-verifier-that-is-long-enough-for-the-rules",
        ),
        ("code_verifier", ""),
        ("code", "unknown"),
    ];
    for (name, value) in wrong {
        let code = provider.code(&request()).await;
        let mut fields = exchange(&code);
        fields.iter_mut().find(|(key, _)| *key == name).unwrap().1 = value;
        assert_eq!(
            oauth_error(provider.token(&fields).await).await,
            "invalid_grant",
            "{name}={value}"
        );
        if name != "code" {
            let spent = provider.token(&exchange(&code)).await;
            assert_eq!(oauth_error(spent).await, "invalid_grant", "after {name}={value}");
        }
    }
    let code = provider.code(&request()).await;
    assert_eq!(provider.token(&exchange(&code)).await.status(), StatusCode::OK);
    assert_eq!(
        oauth_error(provider.token(&exchange(&code)).await).await,
        "invalid_grant"
    );
    let code = provider.code(&request()).await;
    provider.clock.advance(Duration::from_secs(300));
    assert_eq!(
        oauth_error(provider.token(&exchange(&code)).await).await,
        "invalid_grant"
    );
}

#[tokio::test]
async fn the_client_may_name_itself_by_basic_without_a_password() {
    let provider = Provider::start().await;
    let url = provider.email_url("/token");
    for (user, password, body_id, accepted) in [
        ("sigstore", Some(""), None, true),
        ("sigstore", None, Some("sigstore"), true),
        ("sigstore", Some("secret"), None, false),
        ("other", Some(""), None, false),
        ("other", Some(""), Some("sigstore"), false),
        ("sigstore", Some(""), Some("other"), false),
    ] {
        let code = provider.code(&request()).await;
        let mut fields = exchange(&code);
        fields.retain(|(name, _)| *name != "client_id");
        fields.extend(body_id.map(|id| ("client_id", id)));
        let response = provider
            .form(&url, &fields)
            .basic_auth(user, password)
            .send()
            .await
            .unwrap();
        if accepted {
            assert_eq!(
                response.status(),
                StatusCode::OK,
                "{user} {password:?} {body_id:?}"
            );
        } else {
            assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(
                oauth_error(response).await,
                "invalid_client",
                "{user} {password:?} {body_id:?}"
            );
        }
    }
}

#[tokio::test]
async fn malformed_token_requests() {
    let provider = Provider::start().await;
    for (fields, error) in [
        (vec![("client_id", "sigstore")], "invalid_request"),
        (
            vec![("client_id", "sigstore"), ("grant_type", "authorization_code")],
            "invalid_request",
        ),
        (
            vec![("client_id", "sigstore"), ("grant_type", "password")],
            "unsupported_grant_type",
        ),
        (
            vec![("client_id", "sigstore"), ("client_id", "sigstore")],
            "invalid_request",
        ),
        (
            vec![("client_id", "other"), ("grant_type", "authorization_code")],
            "invalid_client",
        ),
        (
            vec![
                ("client_id", "sigstore"),
                ("client_secret", "x"),
                ("grant_type", "password"),
            ],
            "invalid_client",
        ),
        (vec![("grant_type", "authorization_code")], "invalid_client"),
    ] {
        assert_eq!(
            oauth_error(provider.token(&fields).await).await,
            error,
            "{fields:?}"
        );
    }
    let bearer = provider
        .form(&provider.email_url("/token"), &exchange("x"))
        .bearer_auth("x");
    assert_eq!(oauth_error(bearer.send().await.unwrap()).await, "invalid_client");
    let long = "x".repeat(20_000);
    assert_eq!(
        oauth_error(provider.token(&[("code", &long)]).await).await,
        "invalid_request"
    );
}
