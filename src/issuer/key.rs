//! The CA's private key, behind one small trait. One file per backend; only this module and the log's
//! key module hold private keys.

mod software;

use std::{future::Future, pin::Pin};

use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use const_oid::db::rfc5912;
use der::{
    asn1::{AnyRef, ObjectIdentifier},
    referenced::RefToOwned,
};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

pub use software::SoftwareKey;

use crate::proof::{self, KeyAlgorithm};

/// A signature under way; remote keys take a round trip.
pub type SignatureFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, KeyError>> + Send + 'a>>;

/// A private key that signs certificates.
pub trait SigningKey: Send + Sync {
    /// The public key: DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7).
    fn spki_der(&self) -> &[u8];

    /// What [`SigningKey::sign`] makes.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs `message` (not its digest). ECDSA signatures are DER (RFC 3279 2.2.3).
    fn sign<'a>(&'a self, message: &'a [u8]) -> SignatureFuture<'a>;
}

/// A key did not sign.
#[derive(Debug, thiserror::Error)]
#[error("the CA key did not sign")]
pub struct KeyError {
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

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
pub(super) fn verification(
    oid: ObjectIdentifier,
    key: &SubjectPublicKeyInfoRef<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let algorithm = KeyAlgorithm::of(&key.algorithm.ref_to_owned()).ok()?;
    proof::verification(algorithm, oid)
}
