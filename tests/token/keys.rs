//! Which of an issuer's keys verify which tokens.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    fake_issuer::{Answer, Document, FakeIssuer, SigningKey, encode},
    *,
};

fn claims(issuer: &FakeIssuer) -> Value {
    json!({"iss": issuer.url(), "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 300})
}

/// What becomes of a good token by `key` when the issuer publishes exactly `jwks`.
async fn with_jwks(jwks: Vec<Value>, key: &SigningKey) -> &'static str {
    let issuer = FakeIssuer::start(&[]).await;
    issuer.publish_jwks(jwks);
    reason(
        &verifier(&[(issuer.url(), "sigstore")]),
        &key.token(&claims(&issuer)),
    )
    .await
}

fn with(mut jwk: Value, parameter: &str, value: impl Into<Value>) -> Value {
    jwk[parameter] = value.into();
    jwk
}

fn without(mut jwk: Value, parameter: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(parameter);
    jwk
}

#[tokio::test]
async fn every_allowed_algorithm_verifies() {
    for algorithm in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
    ] {
        let key = SigningKey::generate(algorithm, "key-1");
        assert_eq!(with_jwks(vec![key.jwk()], &key).await, "accepted", "{algorithm}");
        assert_eq!(
            with_jwks(vec![without(key.jwk(), "alg")], &key).await,
            "accepted",
            "{algorithm}"
        );
        let stranger = SigningKey::generate(algorithm, "key-1");
        assert_eq!(
            with_jwks(vec![stranger.jwk()], &key).await,
            "token_signature_invalid",
            "{algorithm}"
        );
    }
}

#[tokio::test]
async fn a_key_serves_only_the_algorithms_that_fit_it() {
    let rsa = SigningKey::generate("RS256", "key-1");
    let p256 = SigningKey::generate("ES256", "key-1");
    let p384 = SigningKey::generate("ES384", "key-1");
    let p521 = SigningKey::generate("ES512", "key-1");
    let ed25519 = SigningKey::generate("EdDSA", "key-1");
    let not_allowed = "algorithm_not_allowed";
    assert_eq!(
        with_jwks(vec![with(rsa.jwk(), "alg", "PS256")], &rsa).await,
        not_allowed
    );
    assert_eq!(
        with_jwks(vec![with(rsa.jwk(), "alg", "RS512")], &rsa).await,
        not_allowed
    );
    for key in [&rsa, &p256, &p384, &p521, &ed25519] {
        for other in [&rsa, &p256, &p384, &p521, &ed25519] {
            let expected = if std::ptr::eq(key, other) {
                "accepted"
            } else {
                not_allowed
            };
            assert_eq!(with_jwks(vec![other.jwk()], key).await, expected);
        }
    }
    // A JWK whose alg contradicts its type is no key at all.
    assert_eq!(
        with_jwks(vec![with(p256.jwk(), "alg", "ES384")], &p256).await,
        "unknown_key"
    );
    assert_eq!(
        with_jwks(vec![with(p256.jwk(), "alg", "HS256")], &p256).await,
        "unknown_key"
    );
    assert_eq!(
        with_jwks(vec![with(p256.jwk(), "alg", "ES512")], &p256).await,
        "unknown_key"
    );
}

/// RFC 9864 names the curve in `alg`; a key and its tokens need not use the same name.
#[tokio::test]
async fn ed25519_has_two_names() {
    let old = SigningKey::generate("EdDSA", "key-1");
    assert_eq!(
        with_jwks(vec![with(old.jwk(), "alg", "Ed25519")], &old).await,
        "accepted"
    );
    let new = SigningKey::generate("Ed25519", "key-1");
    assert_eq!(
        with_jwks(vec![with(new.jwk(), "alg", "EdDSA")], &new).await,
        "accepted"
    );
}

/// As Java's `BigInteger.toByteArray` makes them.
#[tokio::test]
async fn leading_zeros_of_rsa_numbers_change_nothing() {
    let key = SigningKey::generate("RS256", "key-1");
    for parameter in ["n", "e"] {
        let jwk = key.jwk();
        let number = BASE64_URL_SAFE_NO_PAD
            .decode(jwk[parameter].as_str().unwrap())
            .unwrap();
        let padded = encode([vec![0], number].concat());
        assert_eq!(
            with_jwks(vec![with(jwk, parameter, padded)], &key).await,
            "accepted",
            "{parameter}"
        );
    }
}

#[tokio::test]
async fn what_a_key_set_says_in_vain_is_passed_over() {
    let key = SigningKey::generate("RS256", "key-1");
    for (parameter, value) in [
        ("alg", json!("")),
        ("alg", json!(null)),
        ("use", json!("")),
        ("key_ops", json!([])),
        ("x5c", json!("MIIB")),
        ("x5t", json!(1)),
        ("kty2", json!({"a": [1]})),
    ] {
        assert_eq!(
            with_jwks(vec![with(key.jwk(), parameter, value)], &key).await,
            "accepted",
            "{parameter}"
        );
    }
}

/// As in Fulcio. Names that are not known here do not count.
#[tokio::test]
async fn an_issuer_names_the_algorithms_of_its_tokens() {
    let key = SigningKey::generate("RS256", "key-1");
    let issuer = FakeIssuer::start(&[]).await;
    issuer.publish_jwks(vec![without(key.jwk(), "alg")]);
    let verified = async |named: Value| {
        let url = issuer.url();
        let document = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/jwks"),
            "id_token_signing_alg_values_supported": named,
        });
        issuer.answer(Document::Discovery, Answer::json(&document));
        verify(&verifier(&[(url, "sigstore")]), &key.token(&claims(&issuer))).await
    };
    for named in [
        json!(["ES256", "RS256"]),
        json!(["HS256", "none"]),
        json!([]),
        json!(null),
    ] {
        assert!(verified(named.clone()).await.is_ok(), "{named}");
    }
    let error = verified(json!(["ES512", "none", "PS256"])).await.unwrap_err();
    assert_eq!(error.reason(), "algorithm_not_allowed");
    assert!(
        error.to_string().contains("it signs with ES512, PS256"),
        "{error}"
    );
}

#[tokio::test]
async fn unusable_keys_are_left_out_without_spoiling_the_rest() {
    let key = SigningKey::generate("ES256", "key-1");
    let edward = SigningKey::generate("EdDSA", "key-1");
    let zero = "A".repeat(43);
    let identity = format!("AQ{}", "A".repeat(41));
    let unusable = [
        with(key.jwk(), "d", "AAAA"),
        with(key.jwk(), "use", "enc"),
        with(key.jwk(), "key_ops", json!(["sign"])),
        with(key.jwk(), "kid", 1),
        with(key.jwk(), "kid", "k".repeat(257)),
        with(key.jwk(), "y", zero.as_str()),
        with(key.jwk(), "x", "AAAA"),
        with(key.jwk(), "crv", "P-521"),
        with(key.jwk(), "crv", "secp256k1"),
        with(key.jwk(), "alg", "RSA"),
        with(edward.jwk(), "x", identity),
        with(edward.jwk(), "x", zero.as_str()),
        with(edward.jwk(), "x", "AAAA"),
        json!({"kty": "oct", "kid": "key-1", "k": "c2VjcmV0"}),
        json!({"kty": "RSA", "kid": "key-1", "n": "A".repeat(86), "e": "AQAB"}),
        json!({"kty": "new"}),
        json!({}),
        json!("key"),
        json!(null),
        json!([]),
    ];
    for jwk in &unusable {
        let by = if jwk["kty"] == "OKP" { &edward } else { &key };
        assert_eq!(with_jwks(vec![jwk.clone()], by).await, "unknown_key", "{jwk}");
    }
    let all = unusable.into_iter().chain([key.jwk()]).collect();
    assert_eq!(with_jwks(all, &key).await, "accepted");
}

#[tokio::test]
async fn a_missing_key_id_is_legal() {
    let unnamed = SigningKey::generate("ES256", None);
    let named = SigningKey::generate("ES256", "key-1");
    let rsa = SigningKey::generate("RS256", "key-2");
    assert_eq!(with_jwks(vec![unnamed.jwk()], &unnamed).await, "accepted");
    assert_eq!(
        with_jwks(vec![named.jwk(), rsa.jwk(), unnamed.jwk()], &unnamed).await,
        "accepted"
    );
    assert_eq!(
        with_jwks(vec![with(unnamed.jwk(), "kid", "key-3")], &unnamed).await,
        "accepted"
    );
    assert_eq!(
        with_jwks(vec![named.jwk()], &unnamed).await,
        "token_signature_invalid"
    );
    assert_eq!(with_jwks(vec![rsa.jwk()], &unnamed).await, "unknown_key");
    // A token that names a key is not by a key without a name.
    assert_eq!(
        with_jwks(vec![without(named.jwk(), "kid")], &named).await,
        "unknown_key"
    );
}

#[tokio::test]
async fn keys_may_share_an_id() {
    let right = SigningKey::generate("ES256", "key-1");
    let others: Vec<_> = (0..15)
        .map(|_| SigningKey::generate("ES256", "key-1").jwk())
        .collect();
    let last = |jwks: &[Value]| jwks.iter().cloned().chain([right.jwk()]).collect();
    assert_eq!(with_jwks(last(&others), &right).await, "accepted");
    // The seventeenth signature check is not made.
    let more: Vec<_> = others.iter().cloned().chain([others[0].clone()]).collect();
    assert_eq!(with_jwks(last(&more), &right).await, "token_signature_invalid");
}

#[tokio::test]
async fn a_key_id_is_only_compared() {
    for kid in [
        "../../etc/passwd",
        "http://169.254.169.254/",
        "' OR 1=1--",
        "\0",
        "KEY-1",
        "key-1\0",
        "key-1 ",
    ] {
        let fixture = Fixture::new().await;
        let header = fixture.header_with("kid", kid);
        let token = fixture.key.token_with_header(&header, &fixture.claims());
        assert_eq!(reason(&fixture.verifier, &token).await, "unknown_key", "{kid:?}");
        assert_eq!(
            reason(&fixture.verifier, &token).await,
            "key_not_yet_known",
            "{kid:?}"
        );
        fixture.accept_good().await;
        assert_eq!(fixture.issuer.requests(), ONE_FETCH, "{kid:?}");
    }
}

#[tokio::test]
async fn at_most_a_hundred_keys_are_read() {
    let key = SigningKey::generate("ES256", "key-1");
    let jwks = |count: usize| {
        (1..count)
            .map(|_| json!({"kty": "new"}))
            .chain([key.jwk()])
            .collect()
    };
    assert_eq!(with_jwks(jwks(100), &key).await, "accepted");
    assert_eq!(with_jwks(jwks(101), &key).await, "issuer_unavailable");
}
