//! What the claims may not be.

use mayfly::token::CLOCK_SKEW_SECONDS;

use super::{
    fake_issuer::{FakeIssuer, SigningKey},
    *,
};

#[tokio::test]
async fn times_are_typed_and_required() {
    let fixture = Fixture::warm().await;
    let mut rows = Vec::new();
    for claim in ["exp", "iat", "nbf"] {
        let values = [
            json!((NOW + 300).to_string()),
            json!((NOW - 300).to_string()),
            json!(""),
            json!("NaN"),
            json!(-1),
            json!(-0.5),
            json!(1e30),
            json!(1e308),
            json!(true),
            json!([NOW]),
            json!({"exp": NOW}),
        ];
        for value in values {
            rows.push(Row(
                claim,
                fixture.key.token(&fixture.claims_with(claim, value)),
                "claim_invalid",
            ));
        }
    }
    for claim in ["exp", "iat"] {
        let token = fixture.key.token(&fixture.claims_with(claim, json!(null)));
        rows.push(Row(claim, token, "claim_invalid"));
    }
    for claim in ["exp", "sub", "aud"] {
        rows.push(Row(
            claim,
            fixture.key.token(&fixture.claims_without(claim)),
            "claim_missing",
        ));
    }
    fixture.refuse_all(rows).await;
}

#[tokio::test]
async fn a_token_is_valid_until_it_expires() {
    let fixture = Fixture::warm().await;
    let skew = CLOCK_SKEW_SECONDS;
    let seconds = 1.8e9;
    let table = [
        ("exp", json!(NOW), "token_expired"),
        ("exp", json!(NOW - 1), "token_expired"),
        ("exp", json!(0), "token_expired"),
        ("exp", json!(-0.0), "token_expired"),
        ("exp", json!(NOW + 1), "accepted"),
        ("exp", json!(u64::MAX), "accepted"),
        ("exp", json!(seconds), "token_expired"),
        ("exp", json!(seconds - 0.5), "token_expired"),
        ("exp", json!(seconds + 0.999), "token_expired"),
        ("exp", json!(seconds + 1.0), "accepted"),
        ("exp", json!(seconds + 300.5), "accepted"),
        ("exp", json!(1e15), "accepted"),
        ("iat", json!(0), "accepted"),
        ("iat", json!(seconds - 0.25), "accepted"),
        ("iat", json!(NOW + 120), "accepted"),
        ("iat", json!(u64::MAX), "accepted"),
        ("nbf", json!(null), "accepted"),
        ("nbf", json!(NOW), "accepted"),
        ("nbf", json!(seconds + 0.5), "accepted"),
        ("nbf", json!(NOW + skew), "accepted"),
        ("nbf", json!(NOW + skew + 1), "token_not_yet_valid"),
        ("nbf", json!(seconds + 301.5), "token_not_yet_valid"),
        ("nbf", json!(u64::MAX), "token_not_yet_valid"),
    ];
    assert_eq!(skew, 300);
    for (claim, value, expected) in table {
        let token = fixture.key.token(&fixture.claims_with(claim, value.clone()));
        let reason = reason(&fixture.verifier, &token).await;
        assert_eq!(reason, expected, "{claim} {value}");
    }
    let token = fixture.key.token(&fixture.claims_without("iat"));
    verify(&fixture.verifier, &token).await.unwrap();
    fixture.accept_good().await;
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
}

/// The second that counts for single use, too.
#[tokio::test]
async fn a_fraction_never_makes_a_token_live_longer() {
    let fixture = Fixture::warm().await;
    for (exp, expires) in [
        ("1800000300.999", NOW + 300),
        ("1800000300.0", NOW + 300),
        ("18000003.009e2", NOW + 300),
        ("1.8000003e9", NOW + 300),
        ("1800000300", NOW + 300),
    ] {
        let payload = fixture.claims().to_string();
        let payload = payload.replace("\"exp\":1800000300", &format!("\"exp\":{exp}"));
        assert!(payload.contains(exp), "{payload}");
        let header = fixture.key.header().to_string();
        let token = fixture.key.token_of_bytes(&header, payload);
        let verified = verify(&fixture.verifier, &token).await.unwrap();
        assert_eq!(verified.expires(), expires, "{exp}");
    }
}

#[tokio::test]
async fn the_audience_must_be_the_configured_one() {
    let fixture = Fixture::warm().await;
    let mismatch = "audience_mismatch";
    let table = [
        (json!("sigstore"), "accepted"),
        (json!(["sigstore"]), "accepted"),
        (json!(["x", "sigstore"]), "accepted"),
        (json!(["sigstore", "sigstore"]), "accepted"),
        (json!("x"), mismatch),
        (json!(""), mismatch),
        (json!("Sigstore"), mismatch),
        (json!("sigstore/"), mismatch),
        (json!("sigstore\0"), mismatch),
        (json!("sigstore,x"), mismatch),
        (json!(["x"]), mismatch),
        (json!([""]), mismatch),
        (json!([]), "claim_invalid"),
        (json!([["sigstore"]]), "claim_invalid"),
        (json!(["sigstore", 1]), "claim_invalid"),
        (json!(1), "claim_invalid"),
        (json!(null), "claim_invalid"),
        (json!({"sigstore": true}), "claim_invalid"),
    ];
    for (audience, expected) in table {
        let token = fixture.key.token(&fixture.claims_with("aud", audience.clone()));
        assert_eq!(reason(&fixture.verifier, &token).await, expected, "{audience}");
    }
    let token = fixture.key.token(&fixture.claims_with("aud", "other\n"));
    let message = verify(&fixture.verifier, &token).await.unwrap_err().to_string();
    assert!(
        message.contains("\"sigstore\"") && message.contains("\"other\\n\""),
        "{message}"
    );
    fixture.accept_good().await;
}

#[tokio::test]
async fn issuer_and_audience_choose_the_entry() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[&key]).await;
    let verifier = verifier(&[(issuer.url(), "people"), (issuer.url(), "machines")]);
    let chosen = async |audience: Value| {
        let claims =
            json!({"iss": issuer.url(), "aud": audience, "sub": "alice", "iat": NOW, "exp": NOW + 1});
        let verified = verify(&verifier, &key.token(&claims)).await;
        verified
            .map(|verified| verified.issuer().audience().to_owned())
            .map_err(|error| error.reason())
    };
    assert_eq!(chosen(json!("people")).await.unwrap(), "people");
    assert_eq!(chosen(json!("machines")).await.unwrap(), "machines");
    assert_eq!(chosen(json!(["x", "machines"])).await.unwrap(), "machines");
    assert_eq!(chosen(json!(["machines", "people"])).await.unwrap(), "people");
    assert_eq!(chosen(json!("sigstore")).await.unwrap_err(), "audience_mismatch");
    assert_eq!(issuer.requests(), ONE_FETCH);
}

#[tokio::test]
async fn an_issuer_that_only_resembles_a_trusted_one_is_never_asked() {
    let fixture = Fixture::warm().await;
    let good = fixture.issuer.url();
    let host = good.strip_prefix("http://").unwrap();
    let evil = FakeIssuer::start(&[&fixture.key]).await;
    let lookalikes = [
        format!("{good}/"),
        format!("{good}/x"),
        format!("{good}.evil.example"),
        format!("{good}@evil.example"),
        format!("http://user@{host}"),
        format!("https://{host}"),
        format!("HTTP://{host}"),
        format!("{good}?x"),
        format!("{good}#x"),
        format!("{good}%2e"),
        format!("{good}\\"),
        format!("{good}\t"),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{good}\0"),
        format!("{}?{good}", evil.url()),
        format!("{}/{good}", evil.url()),
        evil.url().to_owned(),
        good.replace("127.0.0.1", "localhost"),
        good.replace("127.0.0.1", "127.1"),
        "*".to_owned(),
        "http://169.254.169.254".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    let mut rows: Vec<_> = lookalikes
        .into_iter()
        .map(|issuer| {
            Row(
                "iss",
                fixture.key.token(&fixture.claims_with("iss", issuer)),
                "issuer_not_trusted",
            )
        })
        .collect();
    for value in [
        json!(""),
        json!(1),
        json!(null),
        json!([good]),
        json!({"iss": good}),
    ] {
        rows.push(Row(
            "type of iss",
            fixture.key.token(&fixture.claims_with("iss", value)),
            "claim_invalid",
        ));
    }
    rows.push(Row(
        "no iss",
        fixture.key.token(&fixture.claims_without("iss")),
        "claim_missing",
    ));
    for value in [json!(""), json!(1), json!(null), json!(["alice"])] {
        rows.push(Row(
            "type of sub",
            fixture.key.token(&fixture.claims_with("sub", value)),
            "claim_invalid",
        ));
    }
    fixture.refuse_all(rows).await;
    assert_eq!(evil.requests(), 0);
}

#[tokio::test]
async fn an_issuer_that_is_nearly_a_trusted_one_is_told_which() {
    let fixture = Fixture::warm().await;
    let good = fixture.issuer.url();
    for (iss, differences) in [
        (format!("{good}/"), Some("the slash at its end")),
        (good.replace("http://", "HTTP://"), Some("the case of letters")),
        (good.replace("http://", "https://"), Some("http or https")),
        (format!("{good}/other"), None),
        (good.replace("127.0.0.1", "localhost"), None),
        ("https://accounts.google.com".to_owned(), None),
    ] {
        let token = fixture.key.token(&fixture.claims_with("iss", iss.clone()));
        let refused = verify(&fixture.verifier, &token).await.unwrap_err();
        assert_eq!(refused.reason(), "issuer_not_trusted");
        let hint = differences
            .map(|differences| format!("\"{good}\" is configured, from which it differs in {differences}"));
        let told = refused.to_string();
        assert!(
            told.ends_with(hint.as_deref().unwrap_or("add this one")),
            "{iss}: {told}"
        );
    }
}

#[tokio::test]
async fn issuers_do_not_vouch_for_each_other() {
    let (key_a, key_b) = (
        SigningKey::generate("ES256", "same"),
        SigningKey::generate("ES256", "same"),
    );
    let a = FakeIssuer::start(&[&key_a]).await;
    let b = FakeIssuer::start(&[&key_b]).await;
    let verifier = verifier(&[(a.url(), "sigstore"), (b.url(), "sigstore")]);
    let token = |key: &SigningKey, issuer: &FakeIssuer| {
        key.token(
            &json!({"iss": issuer.url(), "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 1}),
        )
    };
    assert_eq!(reason(&verifier, &token(&key_a, &a)).await, "accepted");
    assert_eq!(reason(&verifier, &token(&key_b, &b)).await, "accepted");
    assert_eq!(
        reason(&verifier, &token(&key_a, &b)).await,
        "token_signature_invalid"
    );
    assert_eq!(
        reason(&verifier, &token(&key_b, &a)).await,
        "token_signature_invalid"
    );

    // Publishing the other's key gives no power over the other's tokens.
    b.publish(&[&key_b, &key_a]);
    pass(Duration::from_secs(16 * 60)).await;
    assert_eq!(
        reason(&verifier, &token(&key_b, &a)).await,
        "token_signature_invalid"
    );
    assert_eq!(reason(&verifier, &token(&key_a, &a)).await, "accepted");
}

#[tokio::test]
async fn a_token_may_be_used_again() {
    let fixture = Fixture::warm().await;
    let token = fixture.good();
    for _ in 0..1000 {
        verify(&fixture.verifier, &token).await.unwrap();
    }
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
}
