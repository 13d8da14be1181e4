//! What a bad issuer, or a bad address, can do: nothing to anybody else.

use std::{io::Write as _, net::TcpListener, sync::Arc};

use mayfly::token::{KeyState, TokenVerifierError};

use super::{
    fake_issuer::{Answer, Document, FakeIssuer, SigningKey},
    *,
};

/// Longer than a fetch may take.
const FETCH_PATIENCE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_misbehaving_issuer_is_unavailable_and_recovers() {
    let elsewhere = FakeIssuer::start(&[]).await;
    let huge = vec![b' '; 256 * 1024 + 1];
    let jwks_at = |issuer: &str, url: &str| Answer::json(&json!({"issuer": issuer, "jwks_uri": url}));
    type Misbehaviour<'a> = (&'a str, Document, Box<dyn Fn(&str) -> Answer + 'a>);
    let plain = |answer: Answer| Box::new(move |_: &str| answer.clone());
    let at = |url: &'static str| Box::new(move |issuer: &str| jwks_at(issuer, url));
    let table: Vec<Misbehaviour> = vec![
        ("status 500", Document::Discovery, plain(Answer::Status(500))),
        ("status 500", Document::Jwks, plain(Answer::Status(500))),
        ("status 404", Document::Discovery, plain(Answer::Status(404))),
        ("status 203", Document::Jwks, plain(Answer::Status(203))),
        (
            "redirect to another host",
            Document::Discovery,
            plain(Answer::RedirectTo(elsewhere.url().to_owned())),
        ),
        (
            "redirect to another host",
            Document::Jwks,
            plain(Answer::RedirectTo(elsewhere.url().to_owned())),
        ),
        (
            "redirect to metadata",
            Document::Jwks,
            plain(Answer::RedirectTo("http://169.254.169.254/".to_owned())),
        ),
        (
            "redirect to a file",
            Document::Jwks,
            plain(Answer::RedirectTo("file:///etc/passwd".to_owned())),
        ),
        (
            "HTML",
            Document::Discovery,
            plain(Answer::Body(b"<html></html>".to_vec())),
        ),
        ("nothing", Document::Jwks, plain(Answer::Body(Vec::new()))),
        (
            "gzip that is not said to be",
            Document::Jwks,
            plain(Answer::Body(gzip(b"{\"keys\":[]}"))),
        ),
        (
            "gzip that is none",
            Document::Jwks,
            plain(Answer::Encoded("gzip", b"{\"keys\":[]}".to_vec())),
        ),
        (
            "gzip that breaks off",
            Document::Discovery,
            plain(Answer::Encoded("gzip", gzip(b"{}")[..12].to_vec())),
        ),
        (
            "too large",
            Document::Discovery,
            plain(Answer::Body(huge.clone())),
        ),
        ("too large", Document::Jwks, plain(Answer::Body(huge.clone()))),
        (
            "a key twice",
            Document::Jwks,
            plain(Answer::Body(br#"{"keys":[],"keys":[]}"#.to_vec())),
        ),
        ("no keys", Document::Jwks, plain(Answer::json(&json!({})))),
        (
            "keys no array",
            Document::Jwks,
            plain(Answer::json(&json!({"keys": {}}))),
        ),
        (
            "no list of algorithms",
            Document::Discovery,
            Box::new(|issuer| {
                Answer::json(&json!({
                    "issuer": issuer,
                    "jwks_uri": format!("{issuer}/jwks"),
                    "id_token_signing_alg_values_supported": "ES256",
                }))
            }),
        ),
        (
            "no jwks_uri",
            Document::Discovery,
            Box::new(|issuer| Answer::json(&json!({"issuer": issuer}))),
        ),
        (
            "JWKS at a metadata service",
            Document::Discovery,
            at("https://169.254.169.254/jwks"),
        ),
        (
            "JWKS at a private address",
            Document::Discovery,
            at("https://10.0.0.1/jwks"),
        ),
        (
            "JWKS at a unique local address",
            Document::Discovery,
            at("https://[fd00:ec2::254]/jwks"),
        ),
        (
            "JWKS over plain HTTP",
            Document::Discovery,
            at("http://issuer.example/jwks"),
        ),
        ("JWKS in a file", Document::Discovery, at("file:///etc/passwd")),
        ("JWKS nowhere", Document::Discovery, at("jwks")),
    ];
    for (name, document, answer) in table {
        let fixture = Fixture::new().await;
        fixture.issuer.answer(document, answer(fixture.issuer.url()));
        let cause = assert_unavailable(&fixture.verifier, &fixture.good()).await;
        assert!(fixture.issuer.requests() <= ONE_FETCH, "{name}: {cause}");
        // Within the cool-down nobody asks again.
        let requests = fixture.issuer.requests();
        assert_unavailable(&fixture.verifier, &fixture.good()).await;
        assert_eq!(fixture.issuer.requests(), requests, "{name}");
        fixture.issuer.answer(document, Answer::Proper);
        pass(COOL_DOWN).await;
        fixture.accept_good().await;
    }
    assert_eq!(elsewhere.requests(), 0);
}

/// The sender chose the `iss`, by a pattern at least; trying again would not help.
#[tokio::test]
async fn the_document_of_another_issuer_is_the_senders_fault() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let iss = format!("{}/tenant", issuer.url());
    let document = json!({"issuer": "https://issuer.example", "jwks_uri": format!("{}/jwks", issuer.url())});
    let token =
        key.token(&json!({"iss": iss, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1}));
    let pattern = IssuerName::pattern(&format!("{}/*", issuer.url())).unwrap();
    let by_pattern = TrustedIssuer::new(
        pattern,
        "sigstore".to_owned(),
        ChallengeClaim::Subject,
        Rule::email(),
    );
    for entry in [trusted(&iss, "sigstore"), by_pattern] {
        issuer.answer(Document::Discovery, Answer::json(&document));
        let issuers = TrustedIssuers::new(vec![entry]);
        let verifier = TokenVerifier::new(issuers, FetchPolicy::new(LoopbackHttp::Allowed)).unwrap();
        let before = issuer.requests();
        for _ in 0..2 {
            let error = verify(&verifier, &token).await.unwrap_err();
            assert_eq!(error.reason(), "issuer_mismatch");
            assert_eq!(error.retry_after(), None);
            assert!(error.to_string().contains(&iss), "{error}");
            assert!(!error.to_string().contains("issuer.example"), "{error}");
        }
        assert_eq!(issuer.requests(), before + 1);
        issuer.answer(Document::Discovery, Answer::Proper);
        pass(COOL_DOWN).await;
        assert_eq!(reason(&verifier, &token).await, "accepted");
    }
}

/// Go's decoder takes the last one; here, one that counts may not be there twice.
#[tokio::test]
async fn members_that_nobody_reads_may_occur_twice() {
    let fixture = Fixture::new().await;
    let url = fixture.issuer.url();
    let discovery =
        format!(r#"{{"issuer": "{url}", "x": 1, "jwks_uri": "{url}/jwks", "x": {{"y": 1, "y": 2}}}}"#);
    fixture
        .issuer
        .answer(Document::Discovery, Answer::Body(discovery.into_bytes()));
    fixture.accept_good().await;
}

#[tokio::test]
async fn documents_are_read_up_to_the_limit() {
    let fixture = Fixture::new().await;
    let mut body = json!({"keys": [fixture.key.jwk()]}).to_string().into_bytes();
    body.resize(256 * 1024 + 1, b' ');
    fixture.issuer.answer(Document::Jwks, Answer::Body(body.clone()));
    assert_unavailable(&fixture.verifier, &fixture.good()).await;
    body.pop();
    fixture.issuer.answer(Document::Jwks, Answer::Body(body));
    pass(COOL_DOWN).await;
    fixture.accept_good().await;
}

#[tokio::test]
async fn documents_may_be_gzipped_and_have_the_same_limit() {
    let fixture = Fixture::new().await;
    let mut body = json!({"keys": [fixture.key.jwk()]}).to_string().into_bytes();
    body.resize(256 * 1024 + 1, b' ');
    fixture
        .issuer
        .answer(Document::Jwks, Answer::Encoded("gzip", gzip(&body)));
    let cause = assert_unavailable(&fixture.verifier, &fixture.good()).await;
    assert_eq!(cause, "the issuer's document is larger than 256 KiB");
    assert_eq!(fixture.issuer.accepted_coding().as_deref(), Some("gzip"));
    body.pop();
    let url = fixture.issuer.url();
    let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
    for (document, body) in [
        (Document::Discovery, discovery.to_string().into_bytes()),
        (Document::Jwks, body),
    ] {
        fixture
            .issuer
            .answer(document, Answer::Encoded("gzip", gzip(&body)));
    }
    pass(COOL_DOWN).await;
    fixture.accept_good().await;
}

#[tokio::test]
async fn another_coding_than_gzip_is_named() {
    let fixture = Fixture::new().await;
    fixture.issuer.answer(
        Document::Jwks,
        Answer::Encoded("br", b"\x0b\x02\x80{}\x03".to_vec()),
    );
    let cause = assert_unavailable(&fixture.verifier, &fixture.good()).await;
    let expected = "the issuer's document is encoded as br; only gzip is accepted";
    assert_eq!(cause, expected);
}

#[tokio::test]
async fn three_redirects_on_the_same_host_are_followed() {
    let fixture = Fixture::new().await;
    let url = fixture.issuer.url();
    let after = |redirects| json!({"issuer": url, "jwks_uri": format!("{url}/jwks-after/{redirects}")});
    fixture
        .issuer
        .answer(Document::Discovery, Answer::json(&after(4)));
    let cause = assert_unavailable(&fixture.verifier, &fixture.good()).await;
    assert!(cause.contains("redirects"), "{cause}");
    assert_eq!(fixture.issuer.jwks_requests(), 0);
    fixture
        .issuer
        .answer(Document::Discovery, Answer::json(&after(3)));
    pass(COOL_DOWN).await;
    fixture.accept_good().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_issuer_may_end_in_a_slash() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let url = format!("{}/", issuer.url());
    let document = json!({"issuer": url, "jwks_uri": format!("{url}jwks")});
    issuer.answer(Document::Discovery, Answer::json(&document));
    let token = |iss: &str| {
        key.token(&json!({"iss": iss, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1}))
    };
    let verifier = verifier(&[(&url, "sigstore")]);
    assert_eq!(reason(&verifier, &token(&url)).await, "accepted");
    assert_eq!(
        reason(&verifier, &token(issuer.url())).await,
        "issuer_not_trusted"
    );
}

/// As ADFS and others have it: the token, the discovery document and the issuer file must say the
/// same bytes.
#[tokio::test]
async fn an_issuer_may_be_spelt_otherwise_than_in_normal_form() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let url = issuer.url().replace("http://127.0.0.1", "HTTP://LocalHost");
    let token = |iss: &str| {
        key.token(&json!({"iss": iss, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1}))
    };
    let says = |issuer_in_document: &str| {
        let document = json!({"issuer": issuer_in_document, "jwks_uri": format!("{}/jwks", issuer.url())});
        issuer.answer(Document::Discovery, Answer::json(&document));
    };
    let lower = url.to_lowercase();
    says(&lower);
    let other = verifier(&[(&url, "sigstore")]);
    assert_eq!(reason(&other, &token(&url)).await, "issuer_mismatch");
    says(&url);
    let verifier = verifier(&[(&url, "sigstore")]);
    assert_eq!(reason(&verifier, &token(&url)).await, "accepted");
    let refused = verify(&verifier, &token(&lower)).await.unwrap_err();
    assert_eq!(refused.reason(), "issuer_not_trusted");
    let hint = format!("\"{url}\" is configured, from which it differs in the case of letters");
    assert!(refused.to_string().contains(&hint), "{refused}");
}

#[tokio::test]
async fn an_issuer_that_hangs_delays_only_its_own_tokens_and_those_not_for_long() {
    let fixture = Fixture::warm().await;
    let slow_key = SigningKey::generate("ES256", "key-1");
    for document in [Document::Discovery, Document::Jwks] {
        let slow = FakeIssuer::start(&[&slow_key]).await;
        slow.answer(document, Answer::Hang);
        let both = Arc::new(verifier(&[
            (slow.url(), "sigstore"),
            (fixture.issuer.url(), "sigstore"),
        ]));
        let token = slow_key.token(&json!({
            "iss": slow.url(), "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1
        }));
        let waiting = tokio::spawn({
            let (verifier, token) = (Arc::clone(&both), token.clone());
            async move { reason(&verifier, &token).await }
        });
        slow.wait_for_requests(match document {
            Document::Discovery => 1,
            Document::Jwks => 2,
        })
        .await;
        assert_eq!(reason(&both, &fixture.good()).await, "accepted");
        assert!(!waiting.is_finished());
        pass(FETCH_PATIENCE).await;
        assert_eq!(waiting.await.unwrap(), "issuer_unavailable");

        slow.answer(document, Answer::Proper);
        pass(COOL_DOWN).await;
        assert_eq!(reason(&both, &token).await, "accepted");
    }
}

#[tokio::test]
async fn an_issuer_may_be_down_at_the_start() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let verifier = verifier(&[(&url, "sigstore")]);
    verifier.warm_up();
    let key = SigningKey::generate("ES256", "key-1");
    let token =
        key.token(&json!({"iss": url, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1}));
    assert_unavailable(&verifier, &token).await;
    let state = verifier.status().next().unwrap().keys;
    assert!(matches!(state, KeyState::Unavailable(_)));
}

#[tokio::test]
async fn loopback_and_private_issuers_are_refused_unless_allowed() {
    let make = |url: &str, policy: FetchPolicy| {
        TokenVerifier::new(TrustedIssuers::new(vec![trusted(url, "sigstore")]), policy)
    };
    let strict = || FetchPolicy::new(LoopbackHttp::Refused);
    for url in [
        "http://localhost:8080",
        "http://127.0.0.1",
        "https://169.254.169.254",
    ] {
        let refused = make(url, strict());
        assert!(matches!(refused, Err(TokenVerifierError::Issuer { .. })), "{url}");
    }
    make("https://issuer.example/tenant/", strict()).unwrap();
    // An address that the operator wrote is meant; with TLS, nobody else can answer there.
    for url in ["https://10.0.0.1", "https://[::1]", "https://127.0.0.1:8443"] {
        make(url, strict()).unwrap();
    }
    make("http://localhost:8080", FetchPolicy::new(LoopbackHttp::Allowed)).unwrap();
}

/// The address is checked where the connection is made, so a name that leads to loopback is refused, too.
#[tokio::test]
async fn a_name_that_leads_to_loopback_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let issuers = TrustedIssuers::new(vec![trusted(&url, "sigstore")]);
    let verifier = TokenVerifier::new(issuers, FetchPolicy::new(LoopbackHttp::Refused)).unwrap();
    let key = SigningKey::generate("ES256", "key-1");
    let token =
        key.token(&json!({"iss": url, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1}));
    assert_unavailable(&verifier, &token).await;
    let state = verifier.status().next().unwrap().keys;
    let KeyState::Unavailable(error) = state else {
        panic!("{state:?}")
    };
    assert!(
        error
            .to_string()
            .contains("name its host under private-identity-providers"),
        "{error}"
    );
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}
