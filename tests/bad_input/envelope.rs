//! Tokens that are none, and tokens that want to be checked in a way of their own.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use mayfly::token::MAX_TOKEN_BYTES;
use serde_json::{Value, json};

use crate::{
    ask::{Ask, Key},
    fake_issuer::{SigningKey, encode},
    fixture::{Fixture, ONE_FETCH, Row},
};

fn row(name: &'static str, token: String, reason: &'static str) -> Row {
    Row(name, Ask::new(token, Key::good()), reason)
}

#[tokio::test]
async fn a_request_without_a_token_is_refused() {
    let fixture = Fixture::start().await;
    let none = Ask {
        token: None,
        key: Key::good(),
    };
    fixture
        .refuse_all(vec![
            Row("no token", none, "token_missing"),
            row("an empty token", String::new(), "token_missing"),
        ])
        .await;
}

#[tokio::test]
async fn what_is_no_signed_token_is_refused() {
    let fixture = Fixture::start().await;
    let good = fixture.token();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let key = &fixture.instance().issuer_key;
    let jwe_header = encode(json!({"alg": "RSA-OAEP", "enc": "A256GCM"}).to_string());
    let private_key = rcgen::KeyPair::generate().unwrap();
    let rows = [
        ("one part", payload.to_owned()),
        ("two parts", input.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("dots alone", "..".to_owned()),
        ("dots up to the limit", ".".repeat(MAX_TOKEN_BYTES)),
        (
            "JWE",
            format!("{jwe_header}.{payload}.{signature}.{payload}.{signature}"),
        ),
        (
            "JWE of three parts",
            format!("{}.{payload}.{signature}", encode(r#"{"enc":"A256GCM"}"#)),
        ),
        (
            "a token in a token",
            key.token_of_bytes(key.header().to_string(), &good),
        ),
        ("empty header", key.token_of_parts("", payload)),
        ("empty payload", key.token_of_parts(header, "")),
        ("empty signature", format!("{input}.")),
        ("padding", key.token_of_parts(header, &format!("{payload}="))),
        ("standard alphabet", format!("{input}.{}", "+/".repeat(43))),
        ("space inside", format!("{header}. {payload}.{signature}")),
        ("newline inside", format!("{header}.\n{payload}.{signature}")),
        ("not ASCII", format!("{good}\u{e9}")),
        (
            "longer than the limit",
            format!("{good}{}", "A".repeat(MAX_TOKEN_BYTES)),
        ),
        ("a private key", private_key.serialize_pem()),
    ];
    let rows = rows.map(|(name, token)| row(name, token, "token_malformed"));
    fixture.refuse_all(rows.into()).await;
}

#[tokio::test]
async fn an_unsigned_token_is_refused() {
    let fixture = Fixture::start().await;
    let payload = encode(fixture.claims().to_string());
    let mut rows = Vec::new();
    for (algorithm, reason) in [
        (json!("none"), "algorithm_not_allowed"),
        (json!("None"), "algorithm_not_allowed"),
        (json!("NONE"), "algorithm_not_allowed"),
        (json!("nOnE"), "algorithm_not_allowed"),
        (json!(" none"), "algorithm_not_allowed"),
        (json!("none\0"), "algorithm_not_allowed"),
        (json!(""), "algorithm_not_allowed"),
        (json!(null), "token_malformed"),
        (json!(0), "token_malformed"),
        (json!(["none"]), "token_malformed"),
        (json!({"none": true}), "token_malformed"),
    ] {
        let header = fixture.header_with("alg", algorithm);
        let unsigned = format!("{}.{payload}.", encode(header.to_string()));
        rows.push(row("alg none, no signature", unsigned, reason));
        let signed = fixture
            .instance()
            .issuer_key
            .token_with_header(&header, &fixture.claims());
        rows.push(row("alg none, but signed", signed, reason));
    }
    let unnamed = json!({"typ": "JWT", "kid": "key-1"});
    let token = fixture
        .instance()
        .issuer_key
        .token_with_header(&unnamed, &fixture.claims());
    rows.push(row("no alg", token, "token_malformed"));
    fixture.refuse_all(rows).await;
}

/// P-256 in SubjectPublicKeyInfo up to the coordinates (RFC 5480 section 2).
const SPKI_HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let fixture = Fixture::start().await;
    let jwk = fixture.instance().issuer_key.jwk();
    let coordinate = |name: &str| {
        BASE64_URL_SAFE_NO_PAD
            .decode(jwk[name].as_str().unwrap())
            .unwrap()
    };
    let spki = [hex::decode(SPKI_HEAD).unwrap(), coordinate("x"), coordinate("y")].concat();
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", spki.clone()));
    let secrets = [
        ("keyed with the PEM", pem.clone().into_bytes()),
        ("keyed with the PEM, trimmed", pem.trim().as_bytes().to_vec()),
        ("keyed with the DER", spki),
        ("keyed with the JWK", jwk.to_string().into_bytes()),
        ("keyed with a coordinate", coordinate("x")),
        ("keyed with the kid", b"key-1".to_vec()),
        ("keyed with nothing", Vec::new()),
    ];
    let mut rows = Vec::new();
    for (algorithm, hash) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        let header = fixture.header_with("alg", algorithm).to_string();
        let input = format!("{}.{}", encode(header), encode(fixture.claims().to_string()));
        for (name, secret) in &secrets {
            let tag = hmac::sign(&hmac::Key::new(hash, secret), input.as_bytes());
            rows.push(row(
                name,
                format!("{input}.{}", encode(tag)),
                "algorithm_not_allowed",
            ));
        }
    }
    fixture.refuse_all(rows).await;
}

#[tokio::test]
async fn a_key_that_the_issuer_does_not_publish_verifies_nothing() {
    let fixture = Fixture::start().await;
    let stranger = SigningKey::generate("ES256", None);
    let claims = fixture.claims();
    let with_kid = |name, kid: &str| {
        let header = fixture.header_with("kid", kid);
        row(
            name,
            fixture.instance().issuer_key.token_with_header(&header, &claims),
            "unknown_key",
        )
    };
    let rows = vec![
        with_kid("unknown kid", "key-2"),
        with_kid("kid that is a path", "../../../../etc/passwd"),
        with_kid("kid that is an address", &fixture.tripwire_url()),
        with_kid("kid that is a query", "' OR 1=1 --"),
        with_kid("kid with a NUL", "key-1\0"),
        row(
            "no kid, by a stranger",
            stranger.token(&claims),
            "token_signature_invalid",
        ),
        row(
            "no kid, of another algorithm",
            SigningKey::generate("ES384", None).token(&claims),
            "unknown_key",
        ),
    ];
    fixture.refuse_all_by_unknown_keys(rows, ONE_FETCH).await;
}

#[tokio::test]
async fn a_key_that_the_token_brings_verifies_nothing() {
    let fixture = Fixture::start().await;
    let stranger = SigningKey::generate("ES256", "key-1");
    let locator = fixture.tripwire_url();
    let key = &fixture.instance().issuer_key;
    let forged = |name, parameter: &str, value: Value| {
        let header = fixture.header_with(parameter, value);
        row(
            name,
            stranger.token_with_header(&header, &fixture.claims()),
            "token_signature_invalid",
        )
    };
    let demanding = |name, parameter: &str, value: Value| {
        let header = fixture.header_with(parameter, value);
        row(
            name,
            key.token_with_header(&header, &fixture.claims()),
            "token_malformed",
        )
    };
    let good = fixture.token();
    let (input, _) = good.rsplit_once('.').unwrap();
    let rows = vec![
        forged("the same kid", "typ", json!("JWT")),
        forged("jku", "jku", json!(locator)),
        forged("x5u", "x5u", json!(locator)),
        forged("jwk", "jwk", stranger.jwk()),
        forged("x5c", "x5c", json!(["MIIB"])),
        row(
            "zeros for a signature",
            format!("{input}.{}", encode([0; 64])),
            "token_signature_invalid",
        ),
        row(
            "another key's algorithm",
            SigningKey::generate("RS256", "key-1").token(&fixture.claims()),
            "algorithm_not_allowed",
        ),
        demanding("crit", "crit", json!(["exp"])),
        demanding("b64", "b64", json!(false)),
        demanding("kid number", "kid", json!(1)),
        demanding("kid of 1 KiB", "kid", json!("k".repeat(1024))),
    ];
    fixture.refuse_all(rows).await;
}
