//! Signatures over the challenge claim's value.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use mayfly::proof::{KeyAlgorithm, KeyProof, ProofKind, prove_key};

use crate::{CHALLENGE, EcKey, prove};

const INVALID: &str = "proof_signature_invalid";

fn rsa_sign(pair: &RsaKeyPair, encoding: &'static dyn RsaEncoding) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        encoding,
        &SystemRandom::new(),
        CHALLENGE.as_bytes(),
        &mut signature,
    )
    .unwrap();
    signature
}

#[test]
fn ecdsa_keys_prove_themselves() {
    for (key, algorithm) in [
        (EcKey::p256(), KeyAlgorithm::EcdsaP256),
        (
            EcKey::generate(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::EcdsaP384,
        ),
        (
            EcKey::generate(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeyAlgorithm::EcdsaP521,
        ),
    ] {
        let proven = prove(&key.spki, &key.sign(CHALLENGE)).unwrap();
        assert_eq!(proven.algorithm(), algorithm);
        assert_eq!(proven.kind(), ProofKind::Challenge);
        assert_eq!(proven.spki_der(), key.spki);
        assert_eq!(der::Encode::to_der(proven.spki()).unwrap(), key.spki);
    }
}

#[test]
fn rsa_keys_prove_themselves_with_pkcs1_and_sha256_only() {
    for size in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096] {
        let pair = RsaKeyPair::generate(size).unwrap();
        let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let spki = spki.as_ref();
        let proven = prove(spki, &rsa_sign(&pair, &RSA_PKCS1_SHA256)).unwrap();
        assert_eq!(proven.algorithm(), KeyAlgorithm::Rsa);
        for other in [&RSA_PSS_SHA256, &RSA_PKCS1_SHA512] {
            assert_eq!(
                prove(spki, &rsa_sign(&pair, other)).unwrap_err().reason(),
                INVALID
            );
        }
    }
}

#[test]
fn an_ed25519_key_proves_itself() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let spki = pair.public_key().as_der().unwrap();
    let proven = prove(spki.as_ref(), pair.sign(CHALLENGE.as_bytes()).as_ref()).unwrap();
    assert_eq!(proven.algorithm(), KeyAlgorithm::Ed25519);
}

#[test]
fn any_one_of_the_challenges_will_do_but_no_other_value() {
    let key = EcKey::p256();
    let prove = |challenges: &[&str], signed: &str| {
        let proof = KeyProof::Challenge {
            public_key: key.spki.clone(),
            signature: key.sign(signed),
        };
        prove_key(challenges, proof).map(|proven| proven.kind())
    };
    assert_eq!(prove(&["sub-1", CHALLENGE], CHALLENGE), Ok(ProofKind::Challenge));
    assert_eq!(prove(&["sub-1", CHALLENGE], "sub-1"), Ok(ProofKind::Challenge));
    for other in [
        "john@example.com",
        "Jane@example.com",
        "jane@example.com ",
        "sub-1jane@example.com",
        "",
    ] {
        assert_eq!(prove(&["sub-1", CHALLENGE], other).unwrap_err().reason(), INVALID);
    }
}

#[test]
fn a_signature_over_nothing_proves_nothing() {
    let key = EcKey::p256();
    for challenges in [&[""][..], &[]] {
        let proof = KeyProof::Challenge {
            public_key: key.spki.clone(),
            signature: key.sign(""),
        };
        assert_eq!(prove_key(challenges, proof).unwrap_err().reason(), INVALID);
    }
}

#[test]
fn another_keys_signature_proves_nothing() {
    let signature = EcKey::p256().sign(CHALLENGE);
    assert_eq!(
        prove(&EcKey::p256().spki, &signature).unwrap_err().reason(),
        INVALID
    );
}

#[test]
fn a_missing_signature_is_named() {
    assert_eq!(
        prove(&EcKey::p256().spki, b"").unwrap_err().reason(),
        "proof_missing"
    );
}

#[test]
fn the_message_says_what_to_sign_and_how_but_repeats_nothing() {
    let key = EcKey::generate(&ECDSA_P384_SHA384_ASN1_SIGNING);
    let message = prove(&key.spki, &key.sign("someone else"))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("The signature supplied in the request could not be verified: "),
        "{message}"
    );
    assert!(
        message.contains("SHA-384") && message.contains("email claim"),
        "{message}"
    );
    assert!(!message.contains(CHALLENGE), "{message}");
}
