//! Proof of possession: which keys, requests and signatures are accepted, and why the others are not.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

mod algorithm;
mod challenge;
mod cost;
mod csr;
mod curve_point;
mod encoding;
mod mutation;
mod rsa;

use std::path::Path;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair},
};
use mayfly::proof::{KeyProof, ProofError, ProvenKey, prove_key};

/// The claim's value that a good proof is over.
const CHALLENGE: &str = "jane@example.com";

fn vector(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/proof");
    std::fs::read(directory.join(name)).unwrap()
}

fn vector_der(name: &str) -> Vec<u8> {
    pem::parse(vector(name)).unwrap().into_contents()
}

fn prove(public_key: &[u8], signature: &[u8]) -> Result<ProvenKey, ProofError> {
    let proof = KeyProof::Challenge {
        public_key: public_key.to_vec(),
        signature: signature.to_vec(),
    };
    prove_key(&[CHALLENGE], proof)
}

fn prove_by_request(request: &[u8]) -> Result<ProvenKey, ProofError> {
    prove_key(
        &[CHALLENGE],
        KeyProof::CertificateSigningRequest(request.to_vec()),
    )
}

/// Why a key is refused; a key that passes every check is refused for its signature, which is none.
fn key_refusal(public_key: &[u8]) -> &'static str {
    prove(public_key, b"no signature").unwrap_err().reason()
}

const KEY_ACCEPTED: &str = "proof_signature_invalid";

/// An ECDSA key pair, its public key as DER SubjectPublicKeyInfo.
struct EcKey {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl EcKey {
    fn generate(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Self { pair, spki }
    }

    fn p256() -> Self {
        Self::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    fn sign(&self, message: impl AsRef<[u8]>) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), message.as_ref())
            .unwrap()
            .as_ref()
            .to_vec()
    }
}

/// One DER element, its content as given, right or wrong.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let header = match len {
        0..=127 => vec![tag, len as u8],
        128..=255 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    [header, content.to_vec()].concat()
}

/// A SubjectPublicKeyInfo, right or wrong.
fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = tlv(0x03, &[&[0], key].concat());
    tlv(0x30, &[tlv(0x30, algorithm), bits].concat())
}

const OID_EC_PUBLIC_KEY: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const OID_P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const OID_RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const OID_ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
const NULL: &[u8] = &[0x05, 0];
