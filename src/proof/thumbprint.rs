//! The JWK thumbprint of a key (RFC 7638): how a token names the one key that it is for.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use der::Decode;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde_json::json;

use super::{KeyAlgorithm, public_key::PublicKey, rsa::RsaPublicKey};
use crate::admission::KeyThumbprint;

/// Every key that can be certified has one; `None` would be a mistake here, and matches no token.
pub(super) fn of(key: &PublicKey) -> Option<KeyThumbprint> {
    let bits = key.spki().subject_public_key.as_bytes()?;
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let on_curve = |curve: &str| {
        let (x, y) = bits.get(1..)?.split_at_checked(bits.len() / 2)?;
        Some(json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)}))
    };
    let jwk = match key.algorithm() {
        KeyAlgorithm::EcdsaP256 => on_curve("P-256")?,
        KeyAlgorithm::EcdsaP384 => on_curve("P-384")?,
        KeyAlgorithm::EcdsaP521 => on_curve("P-521")?,
        KeyAlgorithm::Rsa => {
            let (modulus, exponent) = RsaPublicKey::from_der(bits).ok()?.numbers();
            json!({"kty": "RSA", "n": encode(&modulus), "e": encode(&exponent)})
        }
        KeyAlgorithm::Ed25519 => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(bits)}),
    };
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    KeyThumbprint::parse(&jwk.thumbprint(ThumbprintHash::SHA256).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thumbprint(spki: &str) -> String {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n");
        format!("{:?}", of(&PublicKey::parse(pem.as_bytes()).unwrap()).unwrap())
    }

    /// RFC 8037 appendix A.3.
    #[test]
    fn ed25519() {
        let key = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(thumbprint(key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    /// RFC 7638 section 3.1.
    #[test]
    fn rsa() {
        let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4\
            cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc/BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ/2W+5JsGY4Hc5n9yBXArwl93lqt\
            7/RN5w6Cf0h4QyQ5v+65YGjQR0/FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbIS\
            D08qNLyrdkt+bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ+G/xBniIqbw0Ls1jF44+csFCur+kEgU8awapJzKnqDK\
            gwIDAQAB";
        assert_eq!(thumbprint(key), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    /// The key of RFC 9449 section 4.1, whose thumbprint stands in section 6.1.
    #[test]
    fn p256() {
        let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEl8tFrhx+34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFv1UTiN/86T+jrjNtNO\
            Vy40lqMea3q/1MNWtTQJ28ZEMA==";
        assert_eq!(thumbprint(key), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }
}
