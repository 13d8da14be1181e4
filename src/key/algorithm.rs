//! The signature algorithms of keys.

use aws_lc_rs::{
    digest::{self, Digest},
    signature::{UnparsedPublicKey, VerificationAlgorithm},
};
use const_oid::db::rfc5912;
use der::{
    asn1::{AnyRef, ObjectIdentifier},
    referenced::RefToOwned,
};
use spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::proof::{self, KeyAlgorithm};

/// The signature algorithms that every client accepts from a CA. Ed25519 is not among them:
/// sigstore-python refuses the SCTs of certificates that an Ed25519 CA signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384
    EcdsaP384Sha384,
    /// RSA PKCS#1 v1.5 with SHA-256
    RsaPkcs1Sha256,
}

impl SignatureAlgorithm {
    /// What a key of this kind signs with: DER SubjectPublicKeyInfo. Nothing for other kinds.
    #[must_use]
    pub fn of(spki: &SubjectPublicKeyInfoRef<'_>) -> Option<Self> {
        let AlgorithmIdentifierRef { oid, parameters } = spki.algorithm;
        let curve = parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
        match (oid, curve) {
            (rfc5912::ID_EC_PUBLIC_KEY, Some(rfc5912::SECP_256_R_1)) => Some(Self::EcdsaP256Sha256),
            (rfc5912::ID_EC_PUBLIC_KEY, Some(rfc5912::SECP_384_R_1)) => Some(Self::EcdsaP384Sha384),
            (rfc5912::RSA_ENCRYPTION, _) => Some(Self::RsaPkcs1Sha256),
            _ => None,
        }
    }

    /// As it stands in a certificate (RFC 5758 3.2, RFC 4055 5).
    #[must_use]
    pub fn identifier(self) -> AlgorithmIdentifierOwned {
        let (oid, parameters) = match self {
            Self::EcdsaP256Sha256 => (rfc5912::ECDSA_WITH_SHA_256, None),
            Self::EcdsaP384Sha384 => (rfc5912::ECDSA_WITH_SHA_384, None),
            Self::RsaPkcs1Sha256 => (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(AnyRef::NULL.into())),
        };
        AlgorithmIdentifierOwned { oid, parameters }
    }

    /// The digest that it signs, of a message.
    #[must_use]
    pub fn digest(self, message: &[u8]) -> Digest {
        let algorithm = match self {
            Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha256 => &digest::SHA256,
            Self::EcdsaP384Sha384 => &digest::SHA384,
        };
        digest::digest(algorithm, message)
    }

    /// Verifies `signature` over `message`. `key` is a DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn verifies(self, key: &SubjectPublicKeyInfoRef<'_>, message: &[u8], signature: &[u8]) -> bool {
        verification(self.identifier().oid, key).is_some_and(|algorithm| {
            let key = key.subject_public_key.raw_bytes();
            UnparsedPublicKey::new(algorithm, key)
                .verify(message, signature)
                .is_ok()
        })
    }
}

/// How a signature with the algorithm `oid` is verified with `key`; nothing if the two do not fit.
pub(crate) fn verification(
    oid: ObjectIdentifier,
    key: &SubjectPublicKeyInfoRef<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let algorithm = KeyAlgorithm::of(&key.algorithm.ref_to_owned()).ok()?;
    proof::verification(algorithm, oid)
}
