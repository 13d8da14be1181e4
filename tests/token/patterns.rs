//! Issuers that match a pattern: found when their first token arrives, and bounded in what they cost.

use std::sync::Arc;

use mayfly::token::{MAX_WAITING, NEW_ISSUERS_PER_SECOND};
use tokio::task::JoinSet;

use super::{
    fake_issuer::{Answer, Document, SigningKey},
    *,
};

fn pattern(text: &str) -> TokenVerifier {
    let entry = TrustedIssuer::new(
        IssuerName::pattern(text).unwrap(),
        "sigstore".to_owned(),
        ChallengeClaim::Subject,
        Rule::email(),
    );
    TokenVerifier::new(
        TrustedIssuers::new(vec![entry]),
        FetchPolicy::new(LoopbackHttp::Allowed),
    )
    .unwrap()
}

fn token(key: &SigningKey, iss: &str) -> String {
    key.token(&json!({"iss": iss, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 300}))
}

#[tokio::test]
async fn each_issuer_that_matches_is_asked_for_its_own_keys() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let verifier = pattern(&format!("{}/*", issuer.url()));
    verifier.warm_up();
    for (asked, tenant) in [(1, "a"), (1, "a"), (2, "b"), (2, "a")] {
        let iss = format!("{}/{tenant}", issuer.url());
        let verified = verify(&verifier, &token(&key, &iss)).await.unwrap();
        assert_eq!(verified.iss(), iss);
        assert_eq!(issuer.requests(), asked * ONE_FETCH);
    }
    let status: Vec<_> = verifier.status().collect();
    assert_eq!(
        status.len(),
        1,
        "named by the pattern, so that labels are bounded: {status:?}"
    );
    assert_eq!((status[0].fetched, status[0].failed), (2, 0));
}

#[tokio::test]
async fn nothing_is_fetched_for_what_does_not_match() {
    let key = SigningKey::generate("ES256", "key-1");
    let (issuer, evil) = (FakeIssuer::start(&[&key]).await, FakeIssuer::start(&[&key]).await);
    let verifier = pattern(&format!("{}/*", issuer.url()));
    for iss in [
        issuer.url().to_owned(),
        format!("{}/", issuer.url()),
        format!("{}/a/b", issuer.url()),
        format!("{}/a?x", issuer.url()),
        format!("{}/a%2f", issuer.url()),
        format!("{}?{}/a", evil.url(), issuer.url()),
        format!("{}/{}/a", evil.url(), issuer.url()),
        format!("{}#{}/a", evil.url(), issuer.url()),
        issuer.url().replace("http://", "http://user@") + "/a",
    ] {
        assert_eq!(
            reason(&verifier, &token(&key, &iss)).await,
            "issuer_not_trusted",
            "{iss}"
        );
    }
    assert_eq!((issuer.requests(), evil.requests()), (0, 0));
}

#[tokio::test]
async fn made_up_issuers_cost_few_connections_and_do_not_keep_the_known_ones_out() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let verifier = pattern(&format!("{}/*", issuer.url()));
    let known = token(&key, &format!("{}/known", issuer.url()));
    verify(&verifier, &known).await.unwrap();
    let stranger = SigningKey::generate("ES256", "key-1");
    let mut refused = 0;
    for number in 0..500 {
        let iss = format!("{}/made-up-{number}", issuer.url());
        match reason(&verifier, &token(&stranger, &iss)).await {
            "token_signature_invalid" => {}
            "issuer_unavailable" => refused += 1,
            other => panic!("{other}"),
        }
    }
    // A hundred at once, and some more if the test takes seconds.
    let limit = 100 + 30 * NEW_ISSUERS_PER_SECOND.get();
    assert!(refused >= 500 - limit, "{refused}");
    let asked = issuer.requests();
    verify(&verifier, &known).await.unwrap();
    assert_eq!(issuer.requests(), asked);
}

/// Otherwise whoever can write a token holds all places with a few names that do not answer.
#[tokio::test]
async fn all_issuers_of_a_pattern_wait_in_one_queue() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    issuer.answer(Document::Discovery, Answer::Hang);
    let verifier = Arc::new(pattern(&format!("{}/*", issuer.url())));
    let mut verifications = JoinSet::new();
    for number in 0..=MAX_WAITING {
        let iss = format!("{}/tenant-{}", issuer.url(), number % 8);
        let (verifier, token) = (Arc::clone(&verifier), token(&key, &iss));
        verifications.spawn(async move { reason(&verifier, &token).await });
    }
    issuer.wait_for_requests(8).await;
    let one_too_many = verifications.join_next().await.unwrap().unwrap();
    assert_eq!(one_too_many, "issuer_unavailable");
    tokio::task::yield_now().await;
    assert!(verifications.try_join_next().is_none());
}

#[tokio::test]
async fn an_issuers_name_is_no_longer_than_a_certificate_can_carry() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let verifier = pattern(&format!("{}/*", issuer.url()));
    for (length, expected, requests) in [(2049, "claim_invalid", 0), (2048, "accepted", ONE_FETCH)] {
        let tenant = "a".repeat(length - issuer.url().len() - 1);
        let iss = format!("{}/{tenant}", issuer.url());
        assert_eq!(reason(&verifier, &token(&key, &iss)).await, expected);
        assert_eq!(issuer.requests(), requests);
    }
}

#[tokio::test]
async fn keys_of_a_matching_issuer_are_fetched_again_before_they_expire() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    issuer.set_cache_control("max-age=100");
    let verifier = pattern(&format!("{}/*", issuer.url()));
    let token = token(&key, &format!("{}/a", issuer.url()));
    verify(&verifier, &token).await.unwrap();
    pass(Duration::from_secs(79)).await;
    verify(&verifier, &token).await.unwrap();
    assert_eq!(issuer.requests(), ONE_FETCH);
    pass(Duration::from_secs(2)).await;
    // The request does not wait for the fetch that it causes.
    verify(&verifier, &token).await.unwrap();
    issuer.wait_for_requests(2 * ONE_FETCH).await;
}

#[tokio::test]
async fn an_exact_issuer_comes_before_a_pattern() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let exact = format!("{}/a", issuer.url());
    let entries = vec![
        TrustedIssuer::new(
            IssuerName::pattern(&format!("{}/*", issuer.url())).unwrap(),
            "sigstore".to_owned(),
            ChallengeClaim::Subject,
            Rule::email(),
        ),
        trusted(&exact, "other"),
    ];
    let policy = FetchPolicy::new(LoopbackHttp::Allowed);
    let verifier = TokenVerifier::new(TrustedIssuers::new(entries), policy).unwrap();
    assert_eq!(reason(&verifier, &token(&key, &exact)).await, "audience_mismatch");
    assert_eq!(
        reason(&verifier, &token(&key, &format!("{}/b", issuer.url()))).await,
        "accepted"
    );
}
