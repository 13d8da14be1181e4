//! A key in this process's memory, from a PKCS#8 file or made on the spot.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
        RSA_PKCS1_SHA256,
    },
};
use const_oid::db::rfc8410;
use pkcs8::PrivateKeyInfoRef;

use super::{KeyError, SignatureAlgorithm, SignatureFuture, SigningKey, file::KeyFileError};

enum KeyKind {
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A private key held in memory by the cryptographic library, which wipes it when it is dropped.
pub struct SoftwareKey {
    key: KeyKind,
    algorithm: SignatureAlgorithm,
    spki_der: Vec<u8>,
}

impl SoftwareKey {
    /// From an unencrypted PKCS#8 DER document (RFC 5958): ECDSA P-256 or P-384, or RSA of 2048 to 8192 bits.
    ///
    /// # Errors
    /// [`KeyFileError::Ed25519`] or [`KeyFileError::Unsupported`] for anything else.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, KeyFileError> {
        let (key, algorithm) =
            if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8) {
                (KeyKind::Ecdsa(key), SignatureAlgorithm::EcdsaP256Sha256)
            } else if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8) {
                (KeyKind::Ecdsa(key), SignatureAlgorithm::EcdsaP384Sha384)
            } else if let Ok(key) = RsaKeyPair::from_pkcs8(pkcs8) {
                (KeyKind::Rsa(Box::new(key)), SignatureAlgorithm::RsaPkcs1Sha256)
            } else {
                return Err(refusal(pkcs8));
            };
        let spki = match &key {
            KeyKind::Ecdsa(key) => AsDer::<PublicKeyX509Der>::as_der(key.public_key()),
            KeyKind::Rsa(key) => AsDer::<PublicKeyX509Der>::as_der(key.public_key()),
        };
        let spki_der = spki.map_err(|_| KeyFileError::Unsupported)?.as_ref().to_vec();
        Ok(Self {
            key,
            algorithm,
            spki_der,
        })
    }

    fn sign_now(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let refused = |_| KeyError { source: None };
        match &self.key {
            KeyKind::Ecdsa(key) => Ok(key.sign(&random, message).map_err(refused)?.as_ref().to_vec()),
            KeyKind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(refused)?;
                Ok(signature)
            }
        }
    }
}

/// Why a key that is none of ours is not.
fn refusal(pkcs8: &[u8]) -> KeyFileError {
    match PrivateKeyInfoRef::try_from(pkcs8) {
        Ok(key) if key.algorithm.oid == rfc8410::ID_ED_25519 => KeyFileError::Ed25519,
        _ => KeyFileError::Unsupported,
    }
}

impl SigningKey for SoftwareKey {
    fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> SignatureFuture<'a> {
        Box::pin(std::future::ready(self.sign_now(message)))
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key: _,
            algorithm,
            spki_der: _,
        } = self;
        formatter
            .debug_struct("SoftwareKey")
            .field("algorithm", algorithm)
            .finish_non_exhaustive()
    }
}
