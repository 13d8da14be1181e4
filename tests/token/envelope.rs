//! What the compact serialisation, the header and the JSON may not be.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use mayfly::token::MAX_TOKEN_BYTES;

use super::{
    fake_issuer::{FakeIssuer, SigningKey, encode},
    *,
};

#[tokio::test]
async fn a_malformed_serialisation_is_refused() {
    let fixture = Fixture::warm().await;
    let good = fixture.good();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let malformed = |name, token: String| Row(name, token, "token_malformed");
    fixture
        .refuse_all(vec![
            Row("no token", String::new(), "token_missing"),
            malformed("one part", header.to_owned()),
            malformed("two parts", format!("{header}.{payload}")),
            malformed("four parts", format!("{good}.{signature}")),
            malformed("JWE, five parts", format!("{good}.{payload}.{signature}")),
            malformed("a million dots", ".".repeat(1_000_000)),
            malformed("dots up to the size limit", ".".repeat(MAX_TOKEN_BYTES)),
            malformed("two dots alone", "..".to_owned()),
            malformed("empty header", format!(".{payload}.{signature}")),
            malformed("empty payload", fixture.key.token_of_parts(header, "")),
            malformed("empty signature", format!("{header}.{payload}.")),
            malformed("padding", format!("{header}=.{payload}.{signature}")),
            malformed("padded signature", format!("{good}==")),
            malformed(
                "standard alphabet",
                format!("{header}.{payload}.{}", "+/".repeat(43)),
            ),
            malformed("trailing bits", format!("{header}.{payload}.{}B", "A".repeat(85))),
            Row("white space alone", " \n".to_owned(), "token_missing"),
            malformed("space inside", format!("{header}. {payload}.{signature}")),
            malformed(
                "newline inside",
                fixture.key.token_of_parts(&format!("{header}\n"), payload),
            ),
            malformed("byte order mark", format!("\u{feff}{good}")),
            malformed("scheme repeated", format!("Bearer {good}")),
            malformed("not ASCII", format!("{good}\u{e9}")),
            malformed("longer than the limit", "A".repeat(MAX_TOKEN_BYTES + 1)),
            malformed(
                "a claim of 1 MiB",
                fixture.key.token(&fixture.claims_with("x", "x".repeat(1 << 20))),
            ),
        ])
        .await;
}

#[tokio::test]
async fn white_space_round_a_token_is_no_part_of_it() {
    let fixture = Fixture::warm().await;
    let good = fixture.good();
    let hash = verify(&fixture.verifier, &good).await.unwrap().hash();
    for spaced in [
        format!("{good}\n"),
        format!(" {good}"),
        format!("\r\n\t{good}\r\n "),
    ] {
        let verified = verify(&fixture.verifier, &spaced).await.unwrap();
        assert_eq!(verified.hash(), hash, "{spaced:?}");
    }
}

#[tokio::test]
async fn nothing_malformed_costs_a_request_even_before_keys_are_known() {
    let fixture = Fixture::new().await;
    let good = fixture.good();
    for token in [
        "",
        "a.b.c",
        &".".repeat(1_000_000),
        &good[1..],
        &format!("{good}.{good}"),
    ] {
        verify(&fixture.verifier, token).await.unwrap_err();
    }
    assert_eq!(fixture.issuer.requests(), 0);
}

#[tokio::test]
async fn a_token_of_exactly_the_limit_is_read() {
    let fixture = Fixture::warm().await;
    let empty = fixture.key.token(&fixture.claims_with("x", "")).len();
    // Three bytes of claim are four of base64.
    let filler = (MAX_TOKEN_BYTES - empty) / 4 * 3;
    let token = fixture.key.token(&fixture.claims_with("x", "x".repeat(filler)));
    assert!(MAX_TOKEN_BYTES - token.len() < 4);
    verify(&fixture.verifier, &token).await.unwrap();
}

#[tokio::test]
async fn json_that_parsers_disagree_about_is_refused() {
    let fixture = Fixture::warm().await;
    let header = fixture.key.header().to_string();
    let payload = fixture.claims().to_string();
    let with_payload = |name, payload: &[u8]| {
        Row(
            name,
            fixture.key.token_of_bytes(&header, payload),
            "token_malformed",
        )
    };
    let with_header = |name, header: &[u8]| {
        Row(
            name,
            fixture.key.token_of_bytes(header, &payload),
            "token_malformed",
        )
    };
    let prefixed = |entry: &str, object: &str| format!("{{{entry},{}", &object[1..]).into_bytes();
    fixture
        .refuse_all(vec![
            with_payload(
                "iss twice",
                &prefixed(r#""iss":"https://evil.example""#, &payload),
            ),
            with_payload(
                "aud twice, once escaped",
                &prefixed(r#""\u0061ud":"x""#, &payload),
            ),
            with_payload("NaN", &prefixed(r#""x":NaN"#, &payload)),
            with_payload("lone surrogate in a name", &prefixed(r#""\ud800":1"#, &payload)),
            with_payload("invalid UTF-8 outside a string", b"{\xff:1}"),
            with_payload("a control character", &prefixed("\"x\":\"\n\"", &payload)),
            with_payload("without an end", &prefixed(r#""x":[[[{"#, &payload)),
            with_payload("data after the object", format!("{payload}{payload}").as_bytes()),
            with_payload("an array", format!("[{payload}]").as_bytes()),
            with_payload("a nested token", fixture.good().as_bytes()),
            with_payload("nothing", b" "),
            with_header("alg twice", &prefixed(r#""alg":"none""#, &header)),
            with_header(
                "a member twice in depth",
                &prefixed(r#""x":{"y":1,"y":1}"#, &header),
            ),
            with_header("lone surrogate", &prefixed(r#""x":"\ud800""#, &header)),
            with_header("invalid UTF-8", b"{\"alg\":\"ES256\",\"x\":\"\xff\"}"),
            with_header("data after the header", format!("{header}x").as_bytes()),
            with_header("header null", b"null"),
        ])
        .await;
}

#[tokio::test]
async fn only_asymmetric_algorithms_are_allowed() {
    let fixture = Fixture::warm().await;
    let mut rows = Vec::new();
    for algorithm in [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "hs256", "es256", "ed25519", "Ed448",
        "ES256K", "RS1", "RSA-OAEP", "dir", "ES256\0", " ES256",
    ] {
        let header = fixture.header_with("alg", algorithm);
        let token = fixture.key.token_with_header(&header, &fixture.claims());
        rows.push(Row("algorithm", token, "algorithm_not_allowed"));
    }
    for algorithm in [json!(1), json!(["ES256"]), json!(null), json!({"a": "ES256"})] {
        let header = fixture.header_with("alg", algorithm);
        rows.push(Row(
            "type of alg",
            fixture.key.token_with_header(&header, &fixture.claims()),
            "token_malformed",
        ));
    }
    let unnamed = json!({"kid": "key-1"});
    rows.push(Row(
        "no alg",
        fixture.key.token_with_header(&unnamed, &fixture.claims()),
        "token_malformed",
    ));
    fixture.refuse_all(rows).await;
}

#[tokio::test]
async fn a_public_key_is_no_hmac_secret() {
    let fixture = Fixture::warm().await;
    let jwk = fixture.key.jwk();
    let input = format!(
        "{}.{}",
        encode(fixture.header_with("alg", "HS256").to_string()),
        encode(fixture.claims().to_string())
    );
    let secrets = [
        jwk.to_string(),
        jwk["x"].as_str().unwrap().to_owned(),
        "key-1".to_owned(),
        String::new(),
    ];
    let rows = secrets.iter().map(|secret| {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            input.as_bytes(),
        );
        Row(
            "HMAC with a public value",
            format!("{input}.{}", encode(tag)),
            "algorithm_not_allowed",
        )
    });
    fixture.refuse_all(rows.collect()).await;
}

#[tokio::test]
async fn an_altered_token_is_refused() {
    let fixture = Fixture::warm().await;
    let good = fixture.good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let stranger = SigningKey::generate("ES256", "key-1");
    let invalid = |name, token: String| Row(name, token, "token_signature_invalid");
    fixture
        .refuse_all(vec![
            invalid("another key of the same name", stranger.token(&fixture.claims())),
            invalid(
                "another payload under the signature",
                format!(
                    "{header}.{}.{signature}",
                    encode(fixture.claims_with("sub", "bob").to_string())
                ),
            ),
            invalid("a signature of zeros", format!("{input}.{}", encode([0; 64]))),
            invalid("a signature of one byte", format!("{input}.AA")),
            invalid("a signature in ASN.1", der_signed(&fixture)),
            // What needs no key comes first.
            Row(
                "an expired token, altered",
                stranger.token(&fixture.claims_with("exp", 1)),
                "token_expired",
            ),
        ])
        .await;
}

/// ES256 is `r || s` (RFC 7518 section 3.4); OpenSSL's form is not.
fn der_signed(fixture: &Fixture) -> String {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let good = fixture.good();
    let (input, _) = good.rsplit_once('.').unwrap();
    let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    format!("{input}.{}", encode(signature))
}

#[tokio::test]
async fn header_extensions_are_refused_and_keys_in_headers_ignored() {
    let fixture = Fixture::warm().await;
    let elsewhere = FakeIssuer::start(&[]).await;
    let stranger = SigningKey::generate("ES256", "key-1");
    let malformed = |name, parameter, value: Value| {
        let header = fixture.header_with(parameter, value);
        Row(
            name,
            fixture.key.token_with_header(&header, &fixture.claims()),
            "token_malformed",
        )
    };
    let mut rows = vec![
        malformed("crit", "crit", json!(["exp"])),
        malformed("empty crit", "crit", json!([])),
        malformed("unencoded payload", "b64", json!(false)),
        malformed("kid number", "kid", json!(1)),
        malformed("kid too long", "kid", json!("k".repeat(257))),
    ];
    let locator = format!("{}/jwks", elsewhere.url());
    for (parameter, value) in [
        ("jku", json!(locator)),
        ("x5u", json!(locator)),
        ("jwk", stranger.jwk()),
        ("x5c", json!(["MIIB"])),
    ] {
        let header = fixture.header_with(parameter, value);
        let forged = stranger.token_with_header(&header, &fixture.claims());
        rows.push(Row(parameter, forged, "token_signature_invalid"));
        let honest = fixture.key.token_with_header(&header, &fixture.claims());
        verify(&fixture.verifier, &honest).await.unwrap();
    }
    fixture.refuse_all(rows).await;
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn an_empty_kid_names_no_key() {
    let fixture = Fixture::warm().await;
    for kid in [json!(null), json!("")] {
        let header = fixture.header_with("kid", kid);
        let token = fixture.key.token_with_header(&header, &fixture.claims());
        verify(&fixture.verifier, &token).await.unwrap();
    }
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
}

#[tokio::test]
async fn an_encrypted_token_is_named_as_such() {
    let fixture = Fixture::new().await;
    let encrypted = format!("{}.x.x", fixture.good());
    let message = verify(&fixture.verifier, &encrypted)
        .await
        .unwrap_err()
        .to_string();
    assert!(message.contains("encrypted"), "{message}");
}
