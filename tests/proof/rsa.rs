//! RSA keys that others can break. `tests/vectors/proof/README.md` says where the moduli come from.

use num_bigint::BigUint;

use crate::{KEY_ACCEPTED, NULL, OID_RSA, key_refusal, prove, spki, tlv, vector, vector_der};

const WEAK: &str = "key_too_weak";
const UNSUPPORTED: &str = "key_unsupported";
const MALFORMED: &str = "public_key_malformed";

/// The INTEGER's content as given, so that it can be wrong.
fn key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    spki(
        &[OID_RSA, NULL].concat(),
        &tlv(0x30, &[tlv(0x02, modulus), tlv(0x02, exponent)].concat()),
    )
}

/// A modulus of a good 2048-bit key, in 257 bytes: 0 first.
fn good_modulus() -> Vec<u8> {
    vector_der("rsa-fermat-round-101.pem")[32..][..257].to_vec()
}

fn modulus_of_bits(bits: u64) -> Vec<u8> {
    let n: BigUint = (BigUint::from(1u32) << (bits - 1)) + 1u32;
    [vec![0; usize::from(bits.is_multiple_of(8))], n.to_bytes_be()].concat()
}

fn refusal_of(name: &str) -> String {
    prove(&vector(name), b"no signature").unwrap_err().to_string()
}

#[test]
fn sizes() {
    for bits in [512, 1024, 2040, 2047] {
        assert_eq!(
            key_refusal(&key(&modulus_of_bits(bits), &[1, 0, 1])),
            WEAK,
            "{bits}"
        );
    }
    for bits in [2049, 2050, 3071, 4095, 4097, 4104, 8192, 16384] {
        assert_eq!(
            key_refusal(&key(&modulus_of_bits(bits), &[1, 0, 1])),
            UNSUPPORTED,
            "{bits}"
        );
    }
}

#[test]
fn exponents() {
    let refusal = |exponent: &[u8]| key_refusal(&key(&good_modulus(), exponent));
    assert_eq!(refusal(&[1, 0, 1]), KEY_ACCEPTED);
    for exponent in [
        &[0][..],
        &[1],
        &[2],
        &[3],
        &[1, 0, 0],
        &[1, 0, 3],
        &[1, 0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(refusal(exponent), WEAK, "{exponent:?}");
    }
    assert_eq!(key_refusal(&vector("key-rsa-e3.pem")), WEAK);
}

#[test]
fn integers_are_positive_and_minimal() {
    let good = good_modulus();
    assert_eq!(key_refusal(&key(&good, &[1, 0, 1])), KEY_ACCEPTED);
    for (what, modulus, exponent) in [
        ("negative modulus", &good[1..], &[1, 0, 1][..]),
        ("leading zero", &[&[0], &good[..]].concat(), &[1, 0, 1]),
        ("exponent with leading zero", &good, &[0, 1, 0, 1]),
        ("negative exponent", &good, &[0xff]),
        ("no modulus", &[], &[1, 0, 1]),
    ] {
        assert_eq!(key_refusal(&key(modulus, exponent)), MALFORMED, "{what}");
    }
    let three = tlv(
        0x30,
        &[tlv(0x02, &good), tlv(0x02, &[1, 0, 1]), tlv(0x02, &[1])].concat(),
    );
    assert_eq!(key_refusal(&spki(&[OID_RSA, NULL].concat(), &three)), MALFORMED);
}

#[test]
fn small_factors() {
    let mut even = good_modulus();
    even[256] &= 0xfe;
    assert_eq!(key_refusal(&key(&even, &[1, 0, 1])), WEAK);
    assert!(refusal_of("rsa-small-factor.pem").contains("small factor"));
}

#[test]
fn moduli_of_the_roca_library() {
    for name in ["rsa-roca-2048.pem", "rsa-roca-4096.pem"] {
        let message = refusal_of(name);
        assert!(message.contains("CVE-2017-15361"), "{message}");
    }
}

#[test]
fn primes_that_fermat_finds() {
    for name in [
        "rsa-close-primes.pem",
        "rsa-square.pem",
        "rsa-fermat-round-100.pem",
    ] {
        let message = refusal_of(name);
        assert!(message.contains("too close together"), "{name}: {message}");
    }
    assert_eq!(key_refusal(&vector("rsa-fermat-round-101.pem")), KEY_ACCEPTED);
}
