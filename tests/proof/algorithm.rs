//! `client-signing-algorithms`: which proofs an operator permits.

use mayfly::proof::{PermittedAlgorithms, ProvenKey, SigningAlgorithm};

use crate::{CHALLENGE, EcKey, prove, prove_by_request, vector};

/// The algorithms that permit the proof, if they are the only one.
fn permitting(proven: &ProvenKey) -> Vec<&'static str> {
    let permits =
        |algorithm: &SigningAlgorithm| PermittedAlgorithms::only(vec![*algorithm]).check(proven).is_ok();
    let permitting = SigningAlgorithm::ALL.into_iter().filter(permits);
    permitting.map(SigningAlgorithm::name).collect()
}

/// Names, sizes and hashes are those of Sigstore's algorithm registry.
#[test]
fn a_proof_is_by_one_algorithm_of_the_registry_or_by_none() {
    for (name, expected) in [
        ("csr-p256-sha256.pem", &["ecdsa-sha2-256-nistp256"][..]),
        ("csr-p384-sha384.pem", &["ecdsa-sha2-384-nistp384"]),
        ("csr-p521-sha512.pem", &["ecdsa-sha2-512-nistp521"]),
        ("csr-rsa2048-sha256.pem", &["rsa-sign-pkcs1-2048-sha256"]),
        ("csr-rsa3072-sha256.pem", &["rsa-sign-pkcs1-3072-sha256"]),
        ("csr-rsa4096-sha256.pem", &["rsa-sign-pkcs1-4096-sha256"]),
        ("csr-ed25519.pem", &["ed25519"]),
        // What `openssl req` makes of a P-384 key; the registry has no name for it.
        ("csr-p384-sha256.pem", &[]),
        ("csr-p256-sha384.pem", &[]),
        ("csr-p521-sha256.pem", &[]),
        ("csr-rsa2048-sha384.pem", &[]),
        ("csr-rsa2048-sha512.pem", &[]),
    ] {
        let proven = prove_by_request(&vector(name)).unwrap();
        assert_eq!(permitting(&proven), expected, "{name}");
        assert_eq!(PermittedAlgorithms::default().check(&proven), Ok(()), "{name}");
    }
}

#[test]
fn the_refusal_names_what_was_used_and_what_may_be() {
    let key = EcKey::p256();
    let proven = prove(&key.spki, &key.sign(CHALLENGE)).unwrap();
    assert_eq!(permitting(&proven), ["ecdsa-sha2-256-nistp256"]);
    let others = vec![SigningAlgorithm::EcdsaP384Sha384, SigningAlgorithm::Ed25519];
    let refused = PermittedAlgorithms::only(others).check(&proven).unwrap_err();
    assert_eq!(refused.reason(), "signing_algorithm_not_permitted");
    assert_eq!(
        refused.to_string(),
        "The signing algorithm ecdsa-sha2-256-nistp256 is not permitted by this service. Permitted are: \
         ecdsa-sha2-384-nistp384, ed25519"
    );
    let odd = prove_by_request(&vector("csr-rsa2048-sha512.pem")).unwrap();
    let refused = PermittedAlgorithms::only(SigningAlgorithm::ALL.to_vec()).check(&odd);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("RSA of 2048 bits with SHA-512"), "{message}");
}
