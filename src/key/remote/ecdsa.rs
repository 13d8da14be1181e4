//! ECDSA as tokens and services give it: points without a SubjectPublicKeyInfo, signatures without DER.

use const_oid::db::rfc5912;
use der::{
    Encode, Sequence,
    asn1::{BitStringRef, ObjectIdentifier, UintRef},
};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// RFC 3279 2.2.3.
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The DER form (RFC 3279 2.2.3) of a signature that is `r` and `s` in big-endian, each half of it (IEEE P1363).
#[must_use]
pub fn der_signature(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = raw.split_at_checked(raw.len() / 2)?;
    let value = EcdsaSigValue {
        r: UintRef::new(r).ok()?,
        s: UintRef::new(s).ok()?,
    };
    value.to_der().ok()
}

/// The DER SubjectPublicKeyInfo of an uncompressed point (SEC 1 2.3.3) on P-256 or P-384.
#[must_use]
pub fn spki_of_point(point: &[u8]) -> Option<Vec<u8>> {
    let curve = match (point.first(), point.len()) {
        (Some(4), 65) => rfc5912::SECP_256_R_1,
        (Some(4), 97) => rfc5912::SECP_384_R_1,
        _ => return None,
    };
    let spki = SubjectPublicKeyInfo::<ObjectIdentifier, BitStringRef<'_>> {
        algorithm: AlgorithmIdentifier {
            oid: rfc5912::ID_EC_PUBLIC_KEY,
            parameters: Some(curve),
        },
        subject_public_key: BitStringRef::from_bytes(point).ok()?,
    };
    spki.to_der().ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        },
    };
    use der::Decode;
    use spki::SubjectPublicKeyInfoRef;

    use super::*;
    use crate::key::SignatureAlgorithm;

    #[test]
    fn raw_points_and_signatures_verify_in_their_der_form() {
        for (signing, algorithm) in [
            (
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                SignatureAlgorithm::EcdsaP256Sha256,
            ),
            (
                &ECDSA_P384_SHA384_FIXED_SIGNING,
                SignatureAlgorithm::EcdsaP384Sha384,
            ),
        ] {
            let key = EcdsaKeyPair::generate(signing).unwrap();
            let spki = spki_of_point(key.public_key().as_ref()).unwrap();
            let expected = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
            assert_eq!(spki, expected.as_ref());
            let spki = SubjectPublicKeyInfoRef::from_der(&spki).unwrap();
            assert_eq!(SignatureAlgorithm::of(&spki), Some(algorithm));
            // Often enough for numbers with leading zeros and with the highest bit set.
            for _ in 0..600 {
                let raw = key.sign(&SystemRandom::new(), b"message").unwrap();
                let signature = der_signature(raw.as_ref()).unwrap();
                assert!(algorithm.verifies(&spki, b"message", &signature));
            }
        }
    }

    #[test]
    fn other_lengths_are_nothing() {
        for raw in [&[][..], &[1], &[1, 2, 3]] {
            assert_eq!(der_signature(raw), None);
        }
        for point in [&[][..], &[4; 64], &[3; 33], &[2; 65]] {
            assert_eq!(spki_of_point(point), None);
        }
    }
}
