//! Keys that are none or too weak, requests that are none, and proofs that prove nothing.

use std::path::Path;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P521_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
    },
};

use crate::{
    ask::{ALICE, Ask, Key},
    fixture::{Fixture, Row},
    instance::Holder,
};

fn vector(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/proof");
    std::fs::read(directory.join(name)).unwrap()
}

fn pem_of(label: &str, der: impl Into<Vec<u8>>) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

async fn refuse_all(rows: Vec<(&'static str, Key, &'static str)>) {
    let fixture = Fixture::start().await;
    let row = |(name, key, reason)| Row(name, Ask::new(fixture.token(), key), reason);
    fixture.refuse_all(rows.into_iter().map(row).collect()).await;
}

fn request(request: impl Into<Vec<u8>>) -> Key {
    Key::Request(request.into())
}

#[tokio::test]
async fn what_is_no_request_or_asks_for_a_weak_key_is_refused() {
    let good = vector("csr-p256-sha256.pem");
    let der = pem::parse(&good).unwrap().into_contents();
    let mut altered = der.clone();
    *altered.last_mut().unwrap() ^= 1;
    refuse_all(vec![
        ("garbage", request("garbage"), "csr_malformed"),
        ("zeros", request([0; 64]), "csr_malformed"),
        (
            "PEM of garbage",
            request(pem_of("CERTIFICATE REQUEST", "garbage")),
            "csr_malformed",
        ),
        (
            "PEM without end",
            request(&good[..good.len() / 2]),
            "csr_malformed",
        ),
        ("cut short", request(&der[..der.len() - 1]), "csr_malformed"),
        ("a byte more", request([&der[..], &[0]].concat()), "csr_malformed"),
        (
            "another label",
            request(pem_of("CERTIFICATE", der)),
            "csr_malformed",
        ),
        ("two blocks", request(good.repeat(2)), "csr_malformed"),
        (
            "public key",
            request(Holder::new().public_key_pem()),
            "csr_malformed",
        ),
        ("32 KiB", request([0x30; 32 * 1024]), "csr_malformed"),
        (
            "RSA-1024",
            request(vector("csr-rsa1024-sha256.pem")),
            "key_too_weak",
        ),
        (
            "secp256k1",
            request(vector("csr-secp256k1.pem")),
            "key_unsupported",
        ),
        (
            "signed with SHA-1",
            request(vector("csr-p256-sha1.pem")),
            "csr_signature_unsupported",
        ),
        (
            "signed with MD5",
            request(vector("csr-rsa2048-md5.pem")),
            "csr_signature_unsupported",
        ),
        ("altered", request(altered), "proof_signature_invalid"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_public_key_or_a_weak_one_is_refused() {
    let holder = Holder::new();
    let key = |public_key: String| Key::Challenge {
        public_key,
        proof: holder.sign(ALICE),
    };
    let text = |name| String::from_utf8(vector(name)).unwrap();
    let mut off_curve = holder.public_key_der();
    *off_curve.last_mut().unwrap() ^= 1;
    // The point shortened to the one byte 00 (SEC 1 section 2.3.3), and both lengths around it.
    let mut infinity = holder.public_key_der()[..27].to_vec();
    (infinity[1], infinity[24]) = (25, 2);
    infinity[26] = 0;
    let good = holder.public_key_pem();
    refuse_all(vec![
        (
            "off the curve",
            key(pem_of("PUBLIC KEY", off_curve)),
            "key_too_weak",
        ),
        ("infinity", key(pem_of("PUBLIC KEY", infinity)), "key_too_weak"),
        (
            "compressed",
            key(text("key-p256-compressed.pem")),
            "key_unsupported",
        ),
        (
            "explicit curve",
            key(text("key-p256-explicit.pem")),
            "key_unsupported",
        ),
        ("secp256k1", key(text("key-secp256k1.pem")), "key_unsupported"),
        ("exponent 3", key(text("key-rsa-e3.pem")), "key_too_weak"),
        ("close primes", key(text("rsa-close-primes.pem")), "key_too_weak"),
        ("ROCA", key(text("rsa-roca-2048.pem")), "key_too_weak"),
        ("garbage", key("garbage".to_owned()), "public_key_malformed"),
        (
            "PEM of garbage",
            key(pem_of("PUBLIC KEY", "garbage")),
            "public_key_malformed",
        ),
        ("two blocks", key(good.repeat(2)), "public_key_malformed"),
        (
            "PEM without end",
            key(good[..good.len() / 2].to_owned()),
            "public_key_malformed",
        ),
        (
            "certificate request",
            key(text("csr-p256-sha256.pem")),
            "public_key_malformed",
        ),
        ("32 KiB", key("A".repeat(32 * 1024)), "public_key_malformed"),
    ])
    .await;
}

#[tokio::test]
async fn a_private_key_is_refused_and_told_to_nobody() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let public = pair.public_key_pem();
    let pkcs8 = pair.serialize_pem();
    let relabelled = |label| pem_of(label, pair.serialize_der());
    let in_key = |public_key: String| Key::Challenge {
        public_key,
        proof: Holder::new().sign(ALICE),
    };
    let sent = "private_key_sent";
    refuse_all(vec![
        ("for a public key", in_key(pkcs8.clone()), sent),
        ("before the public key", in_key(format!("{pkcs8}{public}")), sent),
        ("after the public key", in_key(format!("{public}{pkcs8}")), sent),
        ("as public key", in_key(relabelled("PUBLIC KEY")), sent),
        ("as EC key", in_key(relabelled("EC PRIVATE KEY")), sent),
        ("encrypted", in_key(relabelled("ENCRYPTED PRIVATE KEY")), sent),
        ("of OpenSSH", in_key(relabelled("OPENSSH PRIVATE KEY")), sent),
        ("for a request", request(pkcs8.clone()), sent),
        ("as request", request(relabelled("CERTIFICATE REQUEST")), sent),
        ("for a request, in DER", request(pair.serialize_der()), sent),
        (
            "for a proof",
            Key::Challenge {
                public_key: public,
                proof: pkcs8.into_bytes(),
            },
            "proof_signature_invalid",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_proof_of_something_else_is_refused() {
    let (holder, other) = (Holder::new(), Holder::new());
    let proof = |proof: Vec<u8>| Key::Challenge {
        public_key: holder.public_key_pem(),
        proof,
    };
    let good = holder.sign(ALICE);
    let rsa = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rows = [
        ("over another subject", proof(holder.sign("mallory@example.com"))),
        ("over another case", proof(holder.sign("Alice@example.com"))),
        ("over nothing", proof(holder.sign(""))),
        ("over a newline more", proof(holder.sign("alice@example.com\n"))),
        ("by another key", proof(other.sign(ALICE))),
        ("a byte more", proof([&good[..], &[0]].concat())),
        ("cut short", proof(good[..good.len() - 1].to_vec())),
        ("garbage", proof(b"garbage".to_vec())),
        ("r and s zero", proof(vec![0x30, 6, 2, 1, 0, 2, 1, 0])),
        ("SHA-384 with P-521", ecdsa(&ECDSA_P521_SHA384_ASN1_SIGNING)),
        ("r || s", ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)),
        ("RSA with SHA-512", rsa_signed(&rsa, &RSA_PKCS1_SHA512)),
        ("RSA-PSS", rsa_signed(&rsa, &RSA_PSS_SHA256)),
    ];
    refuse_all(
        rows.map(|(name, key)| (name, key, "proof_signature_invalid"))
            .into(),
    )
    .await;
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Key {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let signature = pair.sign(&SystemRandom::new(), ALICE.as_bytes()).unwrap();
    signed(pair.public_key(), signature.as_ref())
}

fn rsa_signed(pair: &rsa::KeyPair, encoding: &'static dyn RsaEncoding) -> Key {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), ALICE.as_bytes(), &mut signature)
        .unwrap();
    signed(pair.public_key(), &signature)
}

fn signed(public_key: &impl AsDer<PublicKeyX509Der<'static>>, signature: &[u8]) -> Key {
    Key::Challenge {
        public_key: pem_of("PUBLIC KEY", public_key.as_der().unwrap().as_ref()),
        proof: signature.to_vec(),
    }
}
