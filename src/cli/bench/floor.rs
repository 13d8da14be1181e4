//! The floor: the cryptography that no issuance can do without, as CPU time on this machine, now.

use std::{hint::black_box, time::Duration};

use aws_lc_rs::{
    error::Unspecified,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    },
};
use mayfly::issuer::ceremony::KeyKind;
use rustix::time::{ClockId, clock_gettime};

/// About the size of a token, of a TBSCertificate, and of what an SCT signs.
const MESSAGE: &[u8] = &[0x5a; 1024];

/// The median of this many rounds counts, so that a neighbour's burst does not.
const ROUNDS: usize = 15;

/// Long enough for the clock, which ticks in nanoseconds but costs one system call.
const OPERATIONS_PER_ROUND: u32 = 100;

/// CPU time of each operation that one issuance needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// RS256, with a parsed key.
    pub(crate) token_verification: Duration,
    /// ECDSA P-256, with a parsed key.
    pub(crate) proof_verification: Duration,
    /// Once for the precertificate and once for the certificate.
    pub(crate) ca_signature: Duration,
    /// ECDSA P-256.
    pub(crate) sct_signature: Duration,
}

impl Floor {
    /// Takes about half a second. Measures the calling thread alone.
    pub(crate) fn measure(ca: KeyKind) -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let mut token = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, MESSAGE, &mut token)?;
        let rsa = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref())
            .map_err(|_| Unspecified)?;
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let proof = p256.sign(&random, MESSAGE)?;
        let p256_public = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, p256.public_key().as_ref())
            .map_err(|_| Unspecified)?;
        let ca = EcdsaKeyPair::generate(signing(ca)?)?;
        Ok(Self {
            token_verification: median(|| rsa.verify_sig(black_box(MESSAGE), &token))?,
            proof_verification: median(|| p256_public.verify_sig(black_box(MESSAGE), proof.as_ref()))?,
            ca_signature: median(|| ca.sign(&random, black_box(MESSAGE)))?,
            sct_signature: median(|| p256.sign(&random, black_box(MESSAGE)))?,
        })
    }

    /// Of one issuance.
    pub(crate) fn total(&self) -> Duration {
        self.token_verification + self.proof_verification + 2 * self.ca_signature + self.sct_signature
    }
}

fn signing(kind: KeyKind) -> Result<&'static EcdsaSigningAlgorithm, Unspecified> {
    match kind {
        KeyKind::EcdsaP256 => Ok(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyKind::EcdsaP384 => Ok(&ECDSA_P384_SHA384_ASN1_SIGNING),
        // `Target::ca_key` says that such a CA cannot be measured.
        KeyKind::Rsa4096 => Err(Unspecified),
    }
}

fn median<T>(mut operation: impl FnMut() -> Result<T, Unspecified>) -> Result<Duration, Unspecified> {
    let mut rounds = (0..ROUNDS)
        .map(|_| {
            let started = thread_cpu_time();
            for _ in 0..OPERATIONS_PER_ROUND {
                black_box(operation()?);
            }
            Ok((thread_cpu_time() - started) / OPERATIONS_PER_ROUND)
        })
        .collect::<Result<Vec<_>, Unspecified>>()?;
    rounds.sort_unstable();
    rounds.get(ROUNDS / 2).copied().ok_or(Unspecified)
}

fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
