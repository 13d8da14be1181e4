//! PKCS#10 requests.

use mayfly::proof::{KeyAlgorithm, ProofKind};

use crate::{EcKey, NULL, prove_by_request, tlv, vector, vector_der};

const ECDSA_WITH_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const EMPTY_NAME: &[u8] = &[0x30, 0];
const NO_ATTRIBUTES: &[u8] = &[0xa0, 0];
const VERSION_1: &[u8] = &[0x02, 1, 0];

/// Signs whatever stands in for `CertificationRequestInfo`.
fn sign(key: &EcKey, info: &[u8]) -> Vec<u8> {
    wrap(info, ECDSA_WITH_SHA256, &key.sign(info))
}

fn wrap(info: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let bits = tlv(0x03, &[&[0], signature].concat());
    tlv(0x30, &[info, &tlv(0x30, algorithm), &bits].concat())
}

fn info(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn refusal(request: &[u8]) -> &'static str {
    prove_by_request(request).unwrap_err().reason()
}

#[test]
fn requests_of_every_kind_of_key_are_accepted() {
    for (name, algorithm) in [
        ("csr-p256-sha256.pem", KeyAlgorithm::EcdsaP256),
        ("csr-p256-sha384.pem", KeyAlgorithm::EcdsaP256),
        ("csr-p256-sha512.pem", KeyAlgorithm::EcdsaP256),
        ("csr-p384-sha256.pem", KeyAlgorithm::EcdsaP384),
        ("csr-p384-sha384.pem", KeyAlgorithm::EcdsaP384),
        ("csr-p384-sha512.pem", KeyAlgorithm::EcdsaP384),
        ("csr-p521-sha256.pem", KeyAlgorithm::EcdsaP521),
        ("csr-p521-sha384.pem", KeyAlgorithm::EcdsaP521),
        ("csr-p521-sha512.pem", KeyAlgorithm::EcdsaP521),
        ("csr-rsa2048-sha256.pem", KeyAlgorithm::Rsa),
        ("csr-rsa2048-sha384.pem", KeyAlgorithm::Rsa),
        ("csr-rsa2048-sha512.pem", KeyAlgorithm::Rsa),
        ("csr-rsa3072-sha256.pem", KeyAlgorithm::Rsa),
        ("csr-rsa4096-sha256.pem", KeyAlgorithm::Rsa),
        ("csr-ed25519.pem", KeyAlgorithm::Ed25519),
        ("csr-new-header.pem", KeyAlgorithm::EcdsaP256),
        ("csr-sigstore-python.pem", KeyAlgorithm::EcdsaP256),
        ("csr-sigstore-rs.pem", KeyAlgorithm::EcdsaP256),
    ] {
        for request in [vector(name), vector_der(name)] {
            let proven = prove_by_request(&request).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(proven.algorithm(), algorithm, "{name}");
            assert_eq!(proven.kind(), ProofKind::CertificateSigningRequest);
        }
    }
}

#[test]
fn what_a_request_asks_for_is_ignored() {
    let request = vector_der("csr-asks-for-ca.pem");
    let proven = prove_by_request(&request).unwrap();
    let spki = proven.spki_der();
    assert_eq!(spki.len(), 91);
    assert!(
        request.windows(spki.len()).any(|window| window == spki),
        "the key is the one in the request"
    );
}

#[test]
fn weak_signatures_and_keys_are_refused() {
    for (name, reason) in [
        ("csr-p256-sha1.pem", "csr_signature_unsupported"),
        ("csr-rsa2048-sha1.pem", "csr_signature_unsupported"),
        ("csr-rsa2048-md5.pem", "csr_signature_unsupported"),
        ("csr-rsa2048-pss.pem", "csr_signature_unsupported"),
        ("csr-rsa1024-sha256.pem", "key_too_weak"),
        ("csr-secp256k1.pem", "key_unsupported"),
    ] {
        assert_eq!(refusal(&vector(name)), reason, "{name}");
    }
}

#[test]
fn a_request_must_be_signed_by_its_own_key() {
    let (key, other) = (EcKey::p256(), EcKey::p256());
    let good = info(&[VERSION_1, EMPTY_NAME, &key.spki, NO_ATTRIBUTES]);
    assert_eq!(prove_by_request(&sign(&key, &good)).unwrap().spki_der(), key.spki);

    assert_eq!(refusal(&sign(&other, &good)), "proof_signature_invalid");
    let altered = info(&[VERSION_1, EMPTY_NAME, &other.spki, NO_ATTRIBUTES]);
    assert_eq!(
        refusal(&wrap(&altered, ECDSA_WITH_SHA256, &key.sign(&good))),
        "proof_signature_invalid"
    );
    assert_eq!(
        refusal(&wrap(&good, ECDSA_WITH_SHA256, b"")),
        "proof_signature_invalid"
    );
}

#[test]
fn the_signature_algorithm_fits_the_key() {
    let key = EcKey::p256();
    let info = info(&[VERSION_1, EMPTY_NAME, &key.spki, NO_ATTRIBUTES]);
    let sha256_with_rsa = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    let ecdsa_with_parameters = [ECDSA_WITH_SHA256, NULL].concat();
    for algorithm in [
        &sha256_with_rsa[..],
        crate::OID_ED25519,
        crate::OID_EC_PUBLIC_KEY,
        &ecdsa_with_parameters,
    ] {
        assert_eq!(
            refusal(&wrap(&info, algorithm, &key.sign(&info))),
            "csr_signature_unsupported"
        );
    }
}

#[test]
fn absent_parameters_do_for_rsa_signatures() {
    let request = vector_der("csr-rsa2048-sha256.pem");
    let sha256_with_rsa = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    let at = request
        .windows(11)
        .rposition(|window| window == sha256_with_rsa)
        .unwrap();
    let (info, signature) = (&request[4..at - 2], &request[request.len() - 256..]);
    assert!(prove_by_request(&wrap(info, &[&sha256_with_rsa, NULL].concat(), signature)).is_ok());
    assert!(prove_by_request(&wrap(info, &sha256_with_rsa, signature)).is_ok());
}

/// So many attributes, in the wrong order for DER's SET OF.
fn attributes(count: usize) -> Vec<u8> {
    let attribute = |n: usize| {
        tlv(
            0x30,
            &[tlv(0x06, &[0x2a, (n % 100) as u8]), tlv(0x31, NULL)].concat(),
        )
    };
    tlv(0xa0, &(0..count).rev().flat_map(attribute).collect::<Vec<u8>>())
}

#[test]
fn attributes_may_come_in_any_order_and_number() {
    let key = EcKey::p256();
    let attribute = |arc: u8| tlv(0x30, &[tlv(0x06, &[0x2a, arc]), tlv(0x31, NULL)].concat());
    for count in [2, 100, 1200] {
        let attributes: Vec<u8> = (0..count)
            .rev()
            .flat_map(|n| attribute((n % 100) as u8))
            .collect();
        let info = info(&[VERSION_1, EMPTY_NAME, &key.spki, &tlv(0xa0, &attributes)]);
        assert!(prove_by_request(&sign(&key, &info)).is_ok(), "{count}");
    }
}

#[test]
fn malformed_requests_are_refused() {
    let key = EcKey::p256();
    let good = sign(&key, &info(&[VERSION_1, EMPTY_NAME, &key.spki, NO_ATTRIBUTES]));
    assert!(prove_by_request(&good).is_ok());
    for (what, request) in [
        (
            "version 2",
            sign(
                &key,
                &info(&[&[0x02, 1, 1], EMPTY_NAME, &key.spki, NO_ATTRIBUTES]),
            ),
        ),
        (
            "no version",
            sign(&key, &info(&[EMPTY_NAME, &key.spki, NO_ATTRIBUTES])),
        ),
        (
            "no attributes",
            sign(&key, &info(&[VERSION_1, EMPTY_NAME, &key.spki])),
        ),
        (
            "another element",
            sign(
                &key,
                &info(&[VERSION_1, EMPTY_NAME, &key.spki, NO_ATTRIBUTES, NULL]),
            ),
        ),
        (
            "no key",
            sign(&key, &info(&[VERSION_1, EMPTY_NAME, NO_ATTRIBUTES])),
        ),
        ("no sequence", sign(&key, NULL)),
        ("trailing byte", [&good[..], &[0]].concat()),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("a key", key.spki.clone()),
        ("PEM of a key", vector("key-P-224.pem")),
        (
            "another label",
            pem::encode(&pem::Pem::new("CERTIFICATE", good.clone())).into_bytes(),
        ),
        ("two blocks", vector("csr-ed25519.pem").repeat(2)),
        ("garbage", b"garbage".to_vec()),
        ("nothing", vec![]),
        (
            "too much",
            sign(
                &key,
                &info(&[VERSION_1, EMPTY_NAME, &key.spki, &attributes(1800)]),
            ),
        ),
    ] {
        assert_eq!(refusal(&request), "csr_malformed", "{what}");
    }
}
