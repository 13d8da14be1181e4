//! Issuers that match a pattern: found when their first token arrives, and bounded in what they cost.

use std::{fs, path::Path, sync::Arc};

use ct_log::acceptor::ClientAddress;
use mayfly::token::{MAX_WAITING, MAX_WAITING_PER_CLIENT, NEW_ISSUERS_PER_SECOND};
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

/// The reason of one token that comes from there.
async fn reason_from(verifier: &TokenVerifier, client: &str, token: &str) -> &'static str {
    let client = ClientAddress::new(client.parse().unwrap());
    let token = RawToken::new(token.to_owned()).sent_by(Some(client));
    match verifier.verify(token, now()).await {
        Ok(_) => "accepted",
        Err(error) => error.reason(),
    }
}

/// Names issuers that do not exist until no more new ones are taken.
async fn exhaust(verifier: &TokenVerifier, issuer: &FakeIssuer) {
    let stranger = SigningKey::generate("ES256", "key-1");
    for number in 0..10_000 {
        let token = token(&stranger, &format!("{}/exhausting-{number}", issuer.url()));
        if reason(verifier, &token).await == "issuer_unavailable" {
            return;
        }
    }
    panic!("all are taken");
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

#[tokio::test]
async fn what_can_be_refused_without_keys_takes_no_place_of_a_new_issuer() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let verifier = pattern(&format!("{}/*", issuer.url()));
    let stranger = SigningKey::generate("ES256", "key-1");
    for (claim, value, expected) in [
        ("exp", json!(NOW), "token_expired"),
        ("exp", json!("soon"), "claim_invalid"),
        ("iat", json!(null), "claim_invalid"),
        ("nbf", json!(NOW + 3600), "token_not_yet_valid"),
        ("aud", json!("other"), "audience_mismatch"),
        ("sub", json!(""), "claim_invalid"),
    ] {
        for number in 0..200 {
            let iss = format!("{}/made-up-{number}", issuer.url());
            let mut claims =
                json!({"iss": iss, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 300});
            claims[claim] = value.clone();
            assert_eq!(reason(&verifier, &stranger.token(&claims)).await, expected);
        }
    }
    assert_eq!(issuer.requests(), 0);
    for number in 0..10 {
        let token = token(&key, &format!("{}/new-{number}", issuer.url()));
        assert_eq!(reason(&verifier, &token).await, "accepted", "{number}");
    }
}

#[tokio::test]
async fn one_client_does_not_keep_new_issuers_of_others_out() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let verifier = pattern(&format!("{}/*", issuer.url()));
    let stranger = SigningKey::generate("ES256", "key-1");
    for number in 0..500 {
        let token = token(&stranger, &format!("{}/made-up-{number}", issuer.url()));
        // All of it is one client's network.
        reason_from(&verifier, &format!("2001:db8::{number:x}"), &token).await;
    }
    let flooded = issuer.requests();
    assert!(flooded <= 20 * ONE_FETCH, "{flooded}");
    for number in 0..10 {
        let token = token(&key, &format!("{}/new-{number}", issuer.url()));
        assert_eq!(
            reason_from(&verifier, "2001:db8:0:1::1", &token).await,
            "accepted",
            "{number}"
        );
    }
    // The flood's own client, too, is served by issuers that are known.
    let known = token(&key, &format!("{}/new-0", issuer.url()));
    assert_eq!(reason_from(&verifier, "2001:db8::1", &known).await, "accepted");
}

/// A caller that hangs up before the issuer has answered saves nothing.
#[tokio::test]
async fn issuers_that_are_made_up_cost_their_client_more_than_others() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    issuer.answer(Document::Discovery, Answer::Hang);
    let verifier = pattern(&format!("{}/*", issuer.url()));
    for number in 1..=2 {
        let token = token(&key, &format!("{}/made-up-{number}", issuer.url()));
        tokio::select! {
            biased;
            reason = reason_from(&verifier, "192.0.2.1", &token) => panic!("{reason}"),
            () = issuer.wait_for_requests(number) => {}
        }
    }
    issuer.answer(Document::Discovery, Answer::Proper);
    let mut accepted = 0;
    for number in 0..10 {
        let token = token(&key, &format!("{}/new-{number}", issuer.url()));
        match reason_from(&verifier, "192.0.2.1", &token).await {
            "accepted" => accepted += 1,
            other => assert_eq!(other, "issuer_unavailable"),
        }
    }
    assert!(accepted < 5, "{accepted}");
}

#[tokio::test]
async fn one_client_has_a_part_of_the_places_to_wait() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    issuer.answer(Document::Discovery, Answer::Hang);
    let verifier = Arc::new(pattern(&format!("{}/*", issuer.url())));
    let mut verifications = JoinSet::new();
    let same = token(&key, &format!("{}/tenant", issuer.url()));
    for _ in 0..=MAX_WAITING_PER_CLIENT {
        let (verifier, same) = (Arc::clone(&verifier), same.clone());
        verifications.spawn(async move { reason_from(&verifier, "192.0.2.1", &same).await });
    }
    issuer.wait_for_requests(1).await;
    let one_too_many = verifications.join_next().await.unwrap().unwrap();
    assert_eq!(one_too_many, "issuer_unavailable");
    tokio::select! {
        biased;
        reason = reason_from(&verifier, "192.0.2.2", &same) => panic!("{reason}"),
        () = std::future::ready(()) => {}
    }
    assert!(verifications.try_join_next().is_none());
}

#[tokio::test]
async fn verified_issuers_are_no_new_ones_after_a_restart() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verified-issuers.json");
    let start = || {
        let verifier = pattern(&format!("{}/*", issuer.url()));
        verifier.remember_in(path.clone());
        verifier
    };
    let tenant = |name: &str| token(&key, &format!("{}/{name}", issuer.url()));

    let before = start();
    for number in 0..50 {
        assert_eq!(
            reason(&before, &tenant(&format!("old-{number}"))).await,
            "accepted"
        );
    }
    exhaust(&before, &issuer).await;
    before.save_verified_issuers().await;
    let kept = fs::read_to_string(&path).unwrap();
    assert!(!kept.contains("exhausting"), "{kept}");

    let after = start();
    exhaust(&after, &issuer).await;
    // More than may be new again while this runs.
    for number in 0..50 {
        assert_eq!(
            reason(&after, &tenant(&format!("old-{number}"))).await,
            "accepted",
            "{number}"
        );
    }
}

#[tokio::test]
async fn other_rules_keep_the_verified_issuers_that_match() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verified-issuers.json");
    let before = pattern(&format!("{}/*", issuer.url()));
    before.remember_in(path.clone());
    let tenant = |name: &str| token(&key, &format!("{}/{name}", issuer.url()));
    for name in ["a-1", "b-1"] {
        assert_eq!(reason(&before, &tenant(name)).await, "accepted");
    }
    let name = IssuerName::pattern(&format!("{}/a-*", issuer.url())).unwrap();
    let (audience, challenge) = ("sigstore".to_owned(), ChallengeClaim::Subject);
    let narrow = TrustedIssuer::new(name, audience, challenge, Rule::email());
    let after = before.with_issuers(TrustedIssuers::new(vec![narrow])).unwrap();
    assert_eq!(reason(&after, &tenant("b-1")).await, "issuer_not_trusted");
    assert_eq!(reason(&after, &tenant("a-2")).await, "accepted");
    after.save_verified_issuers().await;
    let kept = fs::read_to_string(&path).unwrap();
    for (name, is_kept) in [("a-1", true), ("a-2", true), ("b-1", false)] {
        assert_eq!(kept.contains(&format!("/{name}\"")), is_kept, "{kept}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_no_obstacle_and_nothing_else_is_overwritten() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let url = issuer.url();
    let kind = r#"{"kind":"mayfly-verified-issuers","#;
    let good = format!(r#"{kind}"version":1,"issuers":["{url}/a"]}}"#);
    for (contents, is_replaced) in [
        (good.clone(), true),
        (String::new(), true),
        (good[..good.len() / 2].to_owned(), true),
        (format!(r#"{kind}"version":1,"issuers":[1]}}"#), true),
        (
            format!(r#"{kind}"version":1,"issuers":["https://elsewhere.example/a","{url}/a?","*",""]}}"#),
            true,
        ),
        (format!(r#"{kind}"version":2,"issuers":[]}}"#), false),
        ("-----BEGIN PRIVATE KEY-----".to_owned(), false),
        (r#"{"serial":"1"}"#.to_owned(), false),
        ("\0".repeat(100), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, &contents).unwrap();
        let verifier = pattern(&format!("{url}/*"));
        verifier.remember_in(path.clone());
        let new = token(&key, &format!("{url}/new"));
        assert_eq!(reason(&verifier, &new).await, "accepted", "{contents}");
        verifier.save_verified_issuers().await;
        let now = fs::read_to_string(&path).unwrap();
        match is_replaced {
            true => assert_eq!(
                now.matches(&format!("{url}/")).count(),
                if contents == good { 2 } else { 1 },
                "{contents}: {now}"
            ),
            false => assert_eq!(now, contents),
        }
        assert!(!now.contains("elsewhere"), "{now}");
    }
    // A folder, or one that is not there.
    for path in ["/", "/dev/null/x", "/dev/null"] {
        let verifier = pattern(&format!("{url}/*"));
        verifier.remember_in(Path::new(path).to_owned());
        assert_eq!(
            reason(&verifier, &token(&key, &format!("{url}/new"))).await,
            "accepted"
        );
        verifier.save_verified_issuers().await;
    }
}

/// Strangers who hold every place that issuers have which somebody only named.
#[tokio::test]
async fn issuers_that_were_verified_have_places_to_wait_of_their_own() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verified-issuers.json");
    let known = token(&key, &format!("{}/known", issuer.url()));
    let before = pattern(&format!("{}/*", issuer.url()));
    before.remember_in(path.clone());
    assert_eq!(reason(&before, &known).await, "accepted");
    before.save_verified_issuers().await;

    issuer.answer(Document::Discovery, Answer::Hang);
    let after = Arc::new(pattern(&format!("{}/*", issuer.url())));
    after.remember_in(path);
    let mut verifications = JoinSet::new();
    for number in 0..=MAX_WAITING {
        let (verifier, token) = (
            Arc::clone(&after),
            token(&key, &format!("{}/made-up-{}", issuer.url(), number % 8)),
        );
        verifications.spawn(async move { reason(&verifier, &token).await });
    }
    assert_eq!(
        verifications.join_next().await.unwrap().unwrap(),
        "issuer_unavailable"
    );
    issuer.wait_for_requests(ONE_FETCH + 8).await;
    tokio::select! {
        biased;
        reason = reason(&after, &known) => panic!("{reason}"),
        () = issuer.wait_for_requests(ONE_FETCH + 9) => {}
    }
}
