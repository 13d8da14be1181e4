//! With which algorithms clients may prove their keys: Sigstore's registry, as far as it fits keys
//! that are certified.

use const_oid::db::rfc5912;
use der::asn1::ObjectIdentifier;

use super::{KeyAlgorithm, ProofError, ProvenKey};

/// A kind and size of key with the hash of its signatures, by the names of Fulcio's
/// `--client-signing-algorithms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384
    EcdsaP384Sha384,
    /// ECDSA on P-521 with SHA-512
    EcdsaP521Sha512,
    /// RSA PKCS#1 v1.5 of 2048 bits with SHA-256
    Rsa2048Sha256,
    /// RSA PKCS#1 v1.5 of 3072 bits with SHA-256
    Rsa3072Sha256,
    /// RSA PKCS#1 v1.5 of 4096 bits with SHA-256
    Rsa4096Sha256,
    /// Ed25519, pure
    Ed25519,
}

impl SigningAlgorithm {
    /// All of them, which are Fulcio's default.
    pub const ALL: [Self; 7] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::Rsa2048Sha256,
        Self::Rsa3072Sha256,
        Self::Rsa4096Sha256,
        Self::Ed25519,
    ];

    /// Its name in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa-sha2-256-nistp256",
            Self::EcdsaP384Sha384 => "ecdsa-sha2-384-nistp384",
            Self::EcdsaP521Sha512 => "ecdsa-sha2-512-nistp521",
            Self::Rsa2048Sha256 => "rsa-sign-pkcs1-2048-sha256",
            Self::Rsa3072Sha256 => "rsa-sign-pkcs1-3072-sha256",
            Self::Rsa4096Sha256 => "rsa-sign-pkcs1-4096-sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// What the registry calls a proof; `None` if it has no name for it.
    fn of(used: UsedAlgorithm) -> Option<Self> {
        Some(match used {
            UsedAlgorithm {
                key: KeyAlgorithm::EcdsaP256,
                hash: Hash::Sha256,
                ..
            } => Self::EcdsaP256Sha256,
            UsedAlgorithm {
                key: KeyAlgorithm::EcdsaP384,
                hash: Hash::Sha384,
                ..
            } => Self::EcdsaP384Sha384,
            UsedAlgorithm {
                key: KeyAlgorithm::EcdsaP521,
                hash: Hash::Sha512,
                ..
            } => Self::EcdsaP521Sha512,
            UsedAlgorithm {
                key: KeyAlgorithm::Ed25519,
                ..
            } => Self::Ed25519,
            UsedAlgorithm {
                key: KeyAlgorithm::Rsa,
                hash: Hash::Sha256,
                bits,
            } => match bits {
                2048 => Self::Rsa2048Sha256,
                3072 => Self::Rsa3072Sha256,
                4096 => Self::Rsa4096Sha256,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// How a key was proved.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsedAlgorithm {
    key: KeyAlgorithm,
    hash: Hash,
    /// Of the modulus of an RSA key.
    bits: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl UsedAlgorithm {
    /// Of a signed challenge, whose hash goes with the key. `bits` counts for RSA.
    pub(super) fn of_challenge(key: KeyAlgorithm, bits: usize) -> Self {
        let hash = match key {
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa => Hash::Sha256,
            KeyAlgorithm::EcdsaP384 => Hash::Sha384,
            KeyAlgorithm::EcdsaP521 | KeyAlgorithm::Ed25519 => Hash::Sha512,
        };
        Self { key, hash, bits }
    }

    /// Of a request that is signed with the algorithm `oid`, which has been verified.
    pub(super) fn of_request(key: KeyAlgorithm, bits: usize, oid: ObjectIdentifier) -> Self {
        let hash = match oid {
            rfc5912::ECDSA_WITH_SHA_256 | rfc5912::SHA_256_WITH_RSA_ENCRYPTION => Hash::Sha256,
            rfc5912::ECDSA_WITH_SHA_384 | rfc5912::SHA_384_WITH_RSA_ENCRYPTION => Hash::Sha384,
            _ => Hash::Sha512,
        };
        Self { key, hash, bits }
    }

    fn described(self) -> String {
        let hash = match self.hash {
            Hash::Sha256 => "SHA-256",
            Hash::Sha384 => "SHA-384",
            Hash::Sha512 => "SHA-512",
        };
        match (SigningAlgorithm::of(self), self.key) {
            (Some(known), _) => known.name().to_owned(),
            (None, KeyAlgorithm::Rsa) => format!("RSA of {} bits with {hash}", self.bits),
            (None, key) => format!("{} with {hash}", key.name()),
        }
    }
}

/// With which algorithms keys may be proved; by default with every one that Mayfly can verify.
#[derive(Clone, Debug, Default)]
pub struct PermittedAlgorithms(Option<Vec<SigningAlgorithm>>);

impl PermittedAlgorithms {
    /// These and no others.
    #[must_use]
    pub fn only(algorithms: Vec<SigningAlgorithm>) -> Self {
        Self(Some(algorithms))
    }

    /// Whether the key was proved with one of them.
    ///
    /// # Errors
    /// It was not.
    pub fn check(&self, key: &ProvenKey) -> Result<(), ProofError> {
        let Self(Some(permitted)) = self else {
            return Ok(());
        };
        match SigningAlgorithm::of(key.used) {
            Some(used) if permitted.contains(&used) => Ok(()),
            _ => {
                let permitted: Vec<_> = permitted.iter().map(|algorithm| algorithm.name()).collect();
                Err(ProofError::AlgorithmNotPermitted {
                    used: key.used.described(),
                    permitted: permitted.join(", "),
                })
            }
        }
    }
}
