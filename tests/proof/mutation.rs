//! Whatever is done to a good proof, nothing panics, and nothing but the good key is ever proved.

use crate::{CHALLENGE, EcKey, prove, prove_by_request, vector, vector_der};

const ROUNDS: u32 = 4000;

/// xorshift64 (Marsaglia 2003): the same mutations on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn mutate(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().max(1)).min(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.below(256) as u8),
                2 => bytes = [&bytes[..at], &bytes[at / 2..]].concat(),
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ if at < bytes.len() => bytes[at] = self.below(256) as u8,
                _ => {}
            }
        }
        bytes
    }
}

#[test]
fn mutated_keys() {
    let key = EcKey::p256();
    let signature = key.sign(CHALLENGE);
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", key.spki.clone()));
    let mut random = Random(0x6d61_7966);
    for good in [key.spki.clone(), pem.into_bytes()] {
        for _ in 0..ROUNDS {
            if let Ok(proven) = prove(&random.mutate(&good), &signature) {
                assert_eq!(proven.spki_der(), key.spki);
            }
        }
    }
}

#[test]
fn mutated_signatures() {
    let key = EcKey::p256();
    let signature = key.sign(CHALLENGE);
    let mut random = Random(0x6c79_0001);
    for _ in 0..ROUNDS {
        let mutated = random.mutate(&signature);
        assert_eq!(prove(&key.spki, &mutated).is_ok(), mutated == signature);
    }
}

#[test]
fn mutated_rsa_and_ed25519_keys() {
    let ed25519 = prove_by_request(&vector("csr-ed25519.pem"))
        .unwrap()
        .spki_der()
        .to_vec();
    let mut random = Random(0x6d61_7967);
    for good in [vector_der("rsa-fermat-round-101.pem"), ed25519] {
        for _ in 0..ROUNDS / 4 {
            assert!(prove(&random.mutate(&good), b"no signature").is_err());
        }
    }
}

#[test]
fn mutated_requests() {
    let mut random = Random(0x6d61_7968);
    for name in [
        "csr-sigstore-python.pem",
        "csr-asks-for-ca.pem",
        "csr-rsa2048-sha256.pem",
        "csr-ed25519.pem",
    ] {
        let spki = prove_by_request(&vector(name)).unwrap().spki_der().to_vec();
        for good in [vector(name), vector_der(name)] {
            for _ in 0..ROUNDS / 4 {
                if let Ok(proven) = prove_by_request(&random.mutate(&good)) {
                    assert_eq!(proven.spki_der(), spki);
                }
            }
        }
    }
}
