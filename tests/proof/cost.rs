//! What the checks cost beside the signature verification that a proof cannot do without:
//! `cargo test --release --test proof -- --ignored --nocapture cost`.

use std::time::Instant;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, ED25519,
        Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
        VerificationAlgorithm,
    },
};

use crate::{CHALLENGE, EcKey, prove, prove_by_request, vector};

const ROUNDS: u32 = 2000;

fn micros(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

fn report(name: &str, verification: &'static dyn VerificationAlgorithm, spki: &[u8], signature: &[u8]) {
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", spki));
    let parsed = ParsedPublicKey::new(verification, spki).unwrap();
    let floor = micros(|| parsed.verify_sig(CHALLENGE.as_bytes(), signature).unwrap());
    let parse = micros(|| drop(ParsedPublicKey::new(verification, spki).unwrap()));
    let whole = micros(|| drop(prove(pem.as_bytes(), signature).unwrap()));
    println!("{name:10} verify {floor:7.1} µs, parse alone {parse:7.1} µs, proof {whole:7.1} µs");
}

#[test]
#[ignore = "prints figures, checks nothing"]
fn cost() {
    let key = EcKey::p256();
    report("P-256", &ECDSA_P256_SHA256_ASN1, &key.spki, &key.sign(CHALLENGE));
    let key = EcKey::generate(&ECDSA_P384_SHA384_ASN1_SIGNING);
    report("P-384", &ECDSA_P384_SHA384_ASN1, &key.spki, &key.sign(CHALLENGE));
    let pair = Ed25519KeyPair::generate().unwrap();
    let spki = pair.public_key().as_der().unwrap();
    report(
        "Ed25519",
        &ED25519,
        spki.as_ref(),
        pair.sign(CHALLENGE.as_bytes()).as_ref(),
    );
    for (name, size) in [("RSA-2048", KeySize::Rsa2048), ("RSA-4096", KeySize::Rsa4096)] {
        let pair = RsaKeyPair::generate(size).unwrap();
        let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            CHALLENGE.as_bytes(),
            &mut signature,
        )
        .unwrap();
        report(name, &RSA_PKCS1_2048_8192_SHA256, spki.as_ref(), &signature);
    }
    let request = vector("csr-sigstore-python.pem");
    println!(
        "P-256 CSR  proof {:7.1} µs",
        micros(|| drop(prove_by_request(&request).unwrap()))
    );
}
