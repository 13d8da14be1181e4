//! When keys are fetched, what that costs, and how long they serve.

use std::sync::Arc;

use mayfly::token::{DEFAULT_LIFETIME, KeyState, MAX_STALENESS, MAX_WAITING};
use tokio::task::JoinSet;

use super::{
    fake_issuer::{Answer, Document, SigningKey},
    *,
};

impl Fixture {
    fn token_by_unknown_key(&self) -> String {
        SigningKey::generate("ES256", "unknown").token(&self.claims())
    }

    fn state(&self) -> KeyState {
        self.verifier.status().next().unwrap().keys
    }

    async fn refuse(&self, token: &str, expected: &str) {
        assert_eq!(reason(&self.verifier, token).await, expected);
    }
}

#[tokio::test]
async fn an_unknown_key_costs_one_fetch_per_cool_down() {
    let fixture = Fixture::warm().await;
    let unknown = fixture.token_by_unknown_key();
    for fetches in 1..4 {
        for _ in 0..100 {
            fixture.refuse(&unknown, "key_not_yet_known").await;
        }
        assert_eq!(fixture.issuer.requests(), fetches * ONE_FETCH);
        fixture.accept_good().await;
        pass(COOL_DOWN).await;
        fixture.refuse(&unknown, "unknown_key").await;
    }
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_forgotten() {
    let mut fixture = Fixture::warm().await;
    let old = fixture.good();
    fixture.key = SigningKey::generate("ES256", "key-2");
    fixture.issuer.publish(&[&fixture.key]);
    let error = verify(&fixture.verifier, &fixture.good()).await.unwrap_err();
    assert_eq!(error.reason(), "key_not_yet_known");
    pass(error.retry_after().unwrap()).await;
    fixture.accept_good().await;
    fixture.refuse(&old, "key_not_yet_known").await;
    assert_eq!(fixture.issuer.requests(), 2 * ONE_FETCH);
    pass(COOL_DOWN).await;
    fixture.refuse(&old, "unknown_key").await;
}

#[tokio::test]
async fn a_new_key_without_an_id_is_found() {
    let mut fixture = Fixture::warm().await;
    fixture.key = SigningKey::generate("ES256", None);
    fixture.issuer.publish(&[&fixture.key]);
    fixture.refuse(&fixture.good(), "key_not_yet_known").await;
    pass(COOL_DOWN).await;
    fixture.accept_good().await;
    assert_eq!(fixture.issuer.requests(), 2 * ONE_FETCH);
}

#[tokio::test]
async fn a_bad_signature_by_a_known_key_never_fetches() {
    let fixture = Fixture::warm().await;
    let stranger = SigningKey::generate("ES256", "key-1");
    let rsa = SigningKey::generate("RS256", "key-1");
    for _ in 0..3 {
        pass(COOL_DOWN).await;
        fixture
            .refuse(&stranger.token(&fixture.claims()), "token_signature_invalid")
            .await;
        fixture
            .refuse(&rsa.token(&fixture.claims()), "algorithm_not_allowed")
            .await;
    }
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
}

#[tokio::test]
async fn unsigned_claims_fetch_nothing() {
    let fixture = Fixture::warm().await;
    pass(COOL_DOWN).await;
    for (claim, value, expected) in [
        ("exp", json!(0), "token_expired"),
        ("aud", json!("x"), "audience_mismatch"),
        ("sub", json!(1), "claim_invalid"),
        ("sub", json!("mallory"), "token_signature_invalid"),
    ] {
        let forged = SigningKey::generate("ES256", "key-1").token(&fixture.claims_with(claim, value));
        fixture.refuse(&forged, expected).await;
    }
    // Not even by a key for which it would be worth asking.
    let unknown = SigningKey::generate("ES256", "unknown").token(&fixture.claims_with("exp", json!(0)));
    fixture.refuse(&unknown, "token_expired").await;
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
}

#[tokio::test]
async fn first_tokens_share_one_fetch() {
    let fixture = Fixture::new().await;
    let token = fixture.good();
    let verifier = Arc::new(fixture.verifier);
    let mut verifications = JoinSet::new();
    for _ in 0..MAX_WAITING {
        let (verifier, token) = (Arc::clone(&verifier), token.clone());
        verifications.spawn(async move { reason(&verifier, &token).await });
    }
    while let Some(reason) = verifications.join_next().await {
        assert_eq!(reason.unwrap(), "accepted");
    }
    assert_eq!(
        (
            fixture.issuer.discovery_requests(),
            fixture.issuer.jwks_requests()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_slow_issuer_holds_only_so_many_requests() {
    let fixture = Fixture::new().await;
    fixture.issuer.answer(Document::Discovery, Answer::Hang);
    let token = fixture.good();
    let verifier = Arc::new(fixture.verifier);
    let mut verifications = JoinSet::new();
    for _ in 0..=MAX_WAITING {
        let (verifier, token) = (Arc::clone(&verifier), token.clone());
        verifications.spawn(async move { reason(&verifier, &token).await });
    }
    fixture.issuer.wait_for_requests(1).await;
    let one_too_many = verifications.join_next().await.unwrap().unwrap();
    assert_eq!(one_too_many, "issuer_unavailable");
    tokio::task::yield_now().await;
    assert!(verifications.try_join_next().is_none());
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_the_fetch() {
    let fixture = Fixture::new().await;
    let token = fixture.good();
    let waiting = Arc::new(fixture.verifier);
    let caller = tokio::spawn({
        let verifier = Arc::clone(&waiting);
        async move { reason(&verifier, &token).await }
    });
    fixture.issuer.wait_for_requests(1).await;
    caller.abort();
    fixture.issuer.wait_for_requests(ONE_FETCH).await;
    let good = fixture.key.token(&json!({
        "iss": fixture.issuer.url(), "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1
    }));
    assert_eq!(reason(&waiting, &good).await, "accepted");
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
}

#[tokio::test]
async fn keys_are_fetched_again_after_their_lifetime() {
    let lifetimes = [
        (None, DEFAULT_LIFETIME),
        (Some("max-age=0"), Duration::from_secs(60)),
        (Some("public, max-age=300"), Duration::from_secs(300)),
        (Some("max-age=315360000"), Duration::from_secs(24 * 60 * 60)),
        (Some("max-age=soon"), DEFAULT_LIFETIME),
    ];
    for (cache_control, lifetime) in lifetimes {
        let fixture = Fixture::new().await;
        if let Some(value) = cache_control {
            fixture.issuer.set_cache_control(value);
        }
        fixture.accept_good().await;
        pass(lifetime - Duration::from_secs(1)).await;
        fixture.accept_good().await;
        assert_eq!(fixture.issuer.requests(), ONE_FETCH, "{cache_control:?}");
        pass(Duration::from_secs(2)).await;
        fixture.accept_good().await;
        assert_eq!(fixture.issuer.requests(), 2 * ONE_FETCH, "{cache_control:?}");
    }
}

#[tokio::test]
async fn a_withdrawn_key_ends_with_its_lifetime() {
    let fixture = Fixture::warm().await;
    fixture.issuer.publish(&[]);
    pass(DEFAULT_LIFETIME).await;
    fixture.refuse(&fixture.good(), "unknown_key").await;
    assert!(matches!(fixture.state(), KeyState::NoUsableKey));
}

#[tokio::test]
async fn known_keys_serve_on_while_the_issuer_is_down_but_not_for_ever() {
    let fixture = Fixture::warm().await;
    fixture.issuer.answer(Document::Discovery, Answer::Status(503));
    pass(DEFAULT_LIFETIME).await;
    fixture.accept_good().await;
    assert!(matches!(fixture.state(), KeyState::Stale));
    for _ in 0..10 {
        fixture.accept_good().await;
    }
    assert_eq!(fixture.issuer.requests(), ONE_FETCH + 1);

    pass(MAX_STALENESS).await;
    assert_unavailable(&fixture.verifier, &fixture.good()).await;
    assert!(matches!(fixture.state(), KeyState::Unavailable(_)));

    fixture.issuer.answer(Document::Discovery, Answer::Proper);
    pass(COOL_DOWN).await;
    fixture.accept_good().await;
    assert!(matches!(fixture.state(), KeyState::Fresh));
}

#[tokio::test]
async fn while_a_known_failure_lasts_nobody_waits() {
    let fixture = Fixture::warm().await;
    fixture.issuer.answer(Document::Discovery, Answer::Status(503));
    pass(DEFAULT_LIFETIME).await;
    fixture.accept_good().await;
    fixture.issuer.answer(Document::Discovery, Answer::Hang);
    pass(COOL_DOWN).await;
    let good = fixture.good();
    tokio::select! {
        biased;
        verified = verify(&fixture.verifier, &good) => drop(verified.unwrap()),
        () = std::future::ready(()) => panic!("waited for the issuer"),
    }
    fixture.issuer.wait_for_requests(ONE_FETCH + 2).await;
}

#[tokio::test]
async fn nothing_can_be_said_of_an_unknown_key_while_the_issuer_is_down() {
    let fixture = Fixture::warm().await;
    fixture.issuer.answer(Document::Jwks, Answer::Status(500));
    pass(COOL_DOWN).await;
    assert_unavailable(&fixture.verifier, &fixture.token_by_unknown_key()).await;
    fixture.accept_good().await;
}

#[tokio::test]
async fn keys_are_warmed_up_and_kept_fresh_in_the_background() {
    let fixture = Fixture::new().await;
    assert!(matches!(fixture.state(), KeyState::Unavailable(_)));
    assert_eq!(fixture.issuer.requests(), 0);
    fixture.verifier.warm_up();
    fixture.accept_good().await;
    assert!(matches!(fixture.state(), KeyState::Fresh));
    for fetches in 2..5 {
        pass(DEFAULT_LIFETIME).await;
        fixture.issuer.wait_for_requests(fetches * ONE_FETCH).await;
        fixture.accept_good().await;
        assert_eq!(fixture.issuer.requests(), fetches * ONE_FETCH);
    }
}
