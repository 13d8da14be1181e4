//! Tokens, keys and proofs of possession, all made before anything is measured.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    error::Unspecified,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use mayfly::{
    clock::Timestamp,
    dev::{CLIENT_ID, KeyError, Minter, Repository, SubjectError},
};

/// Keys that the applicants share: making one costs as much as a signature.
pub(crate) const KEYS: usize = 256;

/// What one request for a certificate says.
#[derive(Clone)]
pub(crate) struct Applicant {
    /// As GitHub Actions gives one to a workflow (RS256), each for another repository and run.
    pub(crate) token: String,
    /// P-256, DER SubjectPublicKeyInfo.
    pub(crate) public_key: Vec<u8>,
    /// ECDSA in DER, over the token's `sub`.
    pub(crate) proof: Vec<u8>,
}

/// Makes `count` applicants with tokens of the development identity provider, valid for ten minutes from `now`.
pub(crate) fn prepare(minter: &Minter, count: usize, now: Timestamp) -> Result<Vec<Applicant>, PrepareError> {
    let keys = (0..KEYS.min(count))
        .map(|_| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING))
        .collect::<Result<Vec<_>, _>>()?;
    keys.iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(number, key)| applicant(minter, key, number, now))
        .collect()
}

fn applicant(
    minter: &Minter,
    key: &EcdsaKeyPair,
    number: usize,
    now: Timestamp,
) -> Result<Applicant, PrepareError> {
    let repository: Repository = format!("octo-org/octo-repo-{number}").parse()?;
    // The `sub` that GitHub gives to a push to the main branch, and the minter with it.
    let subject = format!("repo:{}:ref:refs/heads/main", repository.full_name());
    let public_key: PublicKeyX509Der<'_> = key.public_key().as_der()?;
    Ok(Applicant {
        token: minter.github(&repository, CLIENT_ID, now)?,
        public_key: public_key.as_ref().to_vec(),
        proof: key
            .sign(&SystemRandom::new(), subject.as_bytes())?
            .as_ref()
            .to_vec(),
    })
}

/// Why applicants could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    /// No key, or no signature with it.
    #[error("the cryptographic library refused to make a key or a proof of possession")]
    Proof(#[from] Unspecified),
    /// No token.
    #[error(transparent)]
    Token(#[from] KeyError),
    /// A name that is none.
    #[error(transparent)]
    Subject(#[from] SubjectError),
}
