//! What a browser is shown, and what keeps it safe.

use reqwest::{StatusCode, header};

use crate::harness::*;

const NASTY: &str = "\"><script>alert('x')</script>&";

#[tokio::test]
async fn everything_foreign_is_escaped_and_comes_back_intact() {
    let provider = Provider::start().await;
    let url = format!(
        "{}?{}",
        provider.email_url("/authorize"),
        encode(&request_but("state", Some(NASTY)))
    );
    let page = provider.get(&url).await.text().await.unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("Development only."));
    let response = provider
        .log_in(&request_but("state", Some(NASTY)), "you@example.com")
        .await;
    assert_eq!(redirect_parameter(&response, "state").unwrap(), NASTY);

    let mut fields = request();
    fields.push(("email", NASTY));
    let response = provider.post(&url, &fields).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(!response.text().await.unwrap().contains("<script"));

    let query = encode(&[("user_code", NASTY)]);
    let page = provider
        .get(&format!("{}?{query}", provider.email_url("/device")))
        .await;
    assert!(!page.text().await.unwrap().contains("<script"));
}

#[tokio::test]
async fn pages_allow_no_scripts_no_frames_no_caches() {
    let provider = Provider::start().await;
    let login = format!("{}?{}", provider.email_url("/authorize"), encode(&request()));
    for url in [
        login,
        provider.email_url("/device"),
        provider.email_url("/authorize"),
    ] {
        let response = provider.get(&url).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"),
            "{policy}"
        );
        assert!(
            !policy.contains("script-src") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test]
async fn a_bad_address_is_asked_for_again() {
    let provider = Provider::start().await;
    let response = provider.log_in(&request(), "nobody").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let page = response.text().await.unwrap();
    assert!(
        page.contains("not an email address") && page.contains("value=\"nobody\""),
        "{page}"
    );
    assert_eq!(hidden_fields(&page).len(), request().len());
}

#[tokio::test]
async fn a_parameter_given_twice_is_refused() {
    let provider = Provider::start().await;
    let mut twice = request();
    twice.push(("redirect_uri", "http://localhost:1"));
    let url = format!("{}?{}", provider.email_url("/authorize"), encode(&twice));
    assert_eq!(provider.get(&url).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        provider.post(&url, &twice).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn only_loopback_names_are_answered() {
    let provider = Provider::start().await;
    let url = format!("{}/.well-known/openid-configuration", provider.issuers.email());
    let port = provider.origin.rsplit_once(':').unwrap().1.to_owned();
    for (host, status) in [
        (format!("localhost:{port}"), StatusCode::OK),
        ("localhost".to_owned(), StatusCode::OK),
        (format!("[::1]:{port}"), StatusCode::OK),
        (format!("rebound.example:{port}"), StatusCode::MISDIRECTED_REQUEST),
        ("localhost.evil".to_owned(), StatusCode::MISDIRECTED_REQUEST),
        ("evil@localhost".to_owned(), StatusCode::MISDIRECTED_REQUEST),
        ("169.254.169.254".to_owned(), StatusCode::MISDIRECTED_REQUEST),
    ] {
        let response = provider
            .http
            .get(&url)
            .header(header::HOST, &host)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{host}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_get_nothing() {
    let provider = Provider::start().await;
    let url = provider.email_url("/authorize");
    let mut fields = request();
    fields.push(("email", "you@example.com"));
    for (origin, status) in [
        (provider.origin.as_str(), StatusCode::SEE_OTHER),
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("http://localhost:1", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
    ] {
        let response = provider
            .form(&url, &fields)
            .header(header::ORIGIN, origin)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{origin}");
    }
}
