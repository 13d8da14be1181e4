//! Tokens, good and bad: each refusal with its reason, the requests that it cost, and a good token right after it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "token/cache.rs"]
mod cache;
#[path = "token/claims.rs"]
mod claims;
#[path = "token/envelope.rs"]
mod envelope;
#[path = "support/fake_issuer.rs"]
mod fake_issuer;
#[path = "token/keys.rs"]
mod keys;
#[path = "token/network.rs"]
mod network;
#[path = "token/patterns.rs"]
mod patterns;
#[path = "token/payload.rs"]
mod payload;
#[path = "token/private_ca.rs"]
mod private_ca;
#[path = "token/reload.rs"]
mod reload;

use std::{error::Error, fmt::Write, time::Duration};

use fake_issuer::{FakeIssuer, SigningKey};
use mayfly::{
    clock::Timestamp,
    identity::Rule,
    token::{COOL_DOWN, FetchPolicy, LoopbackHttp, RawToken, TokenError, TokenVerifier, VerifiedToken},
    trusted_issuer::{ChallengeClaim, IssuerName, TrustedIssuer, TrustedIssuers},
};
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z
const NOW: u64 = 1_800_000_000;

/// Discovery and JWKS.
const ONE_FETCH: usize = 2;

fn now() -> Timestamp {
    Timestamp::from_unix(Duration::from_secs(NOW))
}

fn trusted(url: &str, audience: &str) -> TrustedIssuer {
    TrustedIssuer::new(
        IssuerName::exact(url).unwrap(),
        audience.to_owned(),
        ChallengeClaim::Subject,
        Rule::email(),
    )
}

fn verifier(issuers: &[(&str, &str)]) -> TokenVerifier {
    let issuers = issuers
        .iter()
        .map(|(url, audience)| trusted(url, audience))
        .collect();
    TokenVerifier::new(
        TrustedIssuers::new(issuers),
        FetchPolicy::new(LoopbackHttp::Allowed),
    )
    .unwrap()
}

async fn verify(verifier: &TokenVerifier, token: &str) -> Result<VerifiedToken, TokenError> {
    verifier.verify(RawToken::new(token.to_owned()), now()).await
}

async fn reason(verifier: &TokenVerifier, token: &str) -> &'static str {
    match verify(verifier, token).await {
        Ok(_) => "accepted",
        Err(error) => error.reason(),
    }
}

/// `issuer_unavailable` is the one refusal that is not the caller's fault.
async fn assert_unavailable(verifier: &TokenVerifier, token: &str) -> String {
    let error = verify(verifier, token).await.unwrap_err();
    assert_eq!(error.reason(), "issuer_unavailable");
    assert!(error.retry_after().is_some());
    error.source().unwrap().to_string()
}

/// Moves the clock by which keys age and fetches are spaced.
async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

/// One issuer with one ES256 key, and a verifier that trusts it for audience `sigstore`.
struct Fixture {
    issuer: FakeIssuer,
    key: SigningKey,
    verifier: TokenVerifier,
}

impl Fixture {
    async fn new() -> Self {
        let key = SigningKey::generate("ES256", "key-1");
        let issuer = FakeIssuer::start(&[&key]).await;
        let verifier = verifier(&[(issuer.url(), "sigstore")]);
        Self {
            issuer,
            key,
            verifier,
        }
    }

    /// With the keys already fetched.
    async fn warm() -> Self {
        let fixture = Self::new().await;
        fixture.accept_good().await;
        assert_eq!(fixture.issuer.requests(), ONE_FETCH);
        fixture
    }

    fn claims(&self) -> Value {
        json!({"iss": self.issuer.url(), "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 300})
    }

    /// Good claims but for one.
    fn claims_with(&self, claim: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.claims();
        claims[claim] = value.into();
        claims
    }

    fn claims_without(&self, claim: &str) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        claims
    }

    fn header_with(&self, parameter: &str, value: impl Into<Value>) -> Value {
        let mut header = self.key.header();
        header[parameter] = value.into();
        header
    }

    fn good(&self) -> String {
        self.key.token(&self.claims())
    }

    async fn accept_good(&self) {
        let verified = verify(&self.verifier, &self.good()).await.unwrap();
        assert_eq!(verified.subject(), "alice");
        assert_eq!(verified.iss(), self.issuer.url());
    }

    /// Every row is refused for its reason, without a request and without repeating any part of the token, and does
    /// no harm to the next good token.
    async fn refuse_all(&self, rows: Vec<Row>) {
        for Row(name, token, expected) in rows {
            let before = self.issuer.requests();
            let Err(error) = verify(&self.verifier, &token).await else {
                panic!("{name}: accepted");
            };
            assert_eq!(error.reason(), expected, "{name}: {error}");
            assert_eq!(error.retry_after(), None, "{name}");
            assert_tells_nothing(&error, &token, name);
            assert_eq!(self.issuer.requests(), before, "{name}: sent requests");
            self.accept_good().await;
        }
    }
}

/// Name, token, reason.
struct Row(&'static str, String, &'static str);

/// Long parts only: a short one may be a word of any message.
fn assert_tells_nothing(error: &TokenError, token: &str, name: &str) {
    let mut told = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        write!(told, " {cause} {cause:?}").unwrap();
        source = cause.source();
    }
    for part in token.split('.').take(5).filter(|part| part.len() > 40) {
        assert!(!told.contains(part), "{name}: the error repeats the token");
    }
    assert!(told.len() < 4096, "{name}: {} bytes of error", told.len());
}

#[test]
fn a_token_prints_nothing_of_itself() {
    let printed = format!("{:?}", RawToken::new("ey-secret".to_owned()));
    assert!(!printed.contains("ey-secret"), "{printed}");
}
