//! Keys of roles: ECDSA on P-256 with SHA-256, the scheme that go-tuf, python-tuf and tough all have.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;
use tough::schema::{
    Signature,
    decoded::{Decoded, Hex},
    key::{EcdsaKey, EcdsaScheme, Key},
};

use super::TufError;
use crate::key::{SignatureAlgorithm, SigningKey};

/// How TUF names a key: the SHA-256 of its canonical form (specification 4.2).
pub(super) type KeyId = Decoded<Hex>;

/// A public key of a role: key type `ecdsa`, scheme `ecdsa-sha2-nistp256`, in PEM (specification 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: Key,
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo (RFC 5280 4.1.2.7).
    ///
    /// # Errors
    /// [`TufError::KeyKind`] if it is not on P-256.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, TufError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| TufError::KeyKind)?;
        if SignatureAlgorithm::of(&spki) != Some(SignatureAlgorithm::EcdsaP256Sha256) {
            return Err(TufError::KeyKind);
        }
        Self::from_point(spki.subject_public_key.raw_bytes())
    }

    /// Uncompressed (SEC 1 2.3.3): Go takes no other.
    fn from_point(point: &[u8]) -> Result<Self, TufError> {
        let is_point = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).is_ok();
        if !is_point || point.first() != Some(&0x04) {
            return Err(TufError::KeyKind);
        }
        let key = Key::Ecdsa {
            keyval: EcdsaKey {
                public: point.to_vec().into(),
                _extra: HashMap::new(),
            },
            scheme: EcdsaScheme::EcdsaSha2Nistp256,
            _extra: HashMap::new(),
        };
        let id = key.key_id().map_err(|_| TufError::KeyKind)?;
        Ok(Self { id, key })
    }

    /// Of the kind and in the form that [`PublicKey::from_spki_der`] makes.
    pub(super) fn from_key(key: &Key) -> Result<Self, TufError> {
        let Key::Ecdsa { keyval, .. } = key else {
            return Err(TufError::KeyKind);
        };
        let same = Self::from_point(&keyval.public)?;
        match key.key_id() {
            Ok(id) if id == same.id => Ok(same),
            _ => Err(TufError::KeyKind),
        }
    }

    /// How TUF names it, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&self.id)
    }

    pub(super) fn key_id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }
}

/// A private key of a role, wherever it is.
#[derive(Clone)]
pub struct Signer {
    public: PublicKey,
    key: Arc<dyn SigningKey>,
}

impl Signer {
    /// # Errors
    /// [`TufError::KeyKind`] if it is not on P-256.
    pub fn new(key: Arc<dyn SigningKey>) -> Result<Self, TufError> {
        let public = PublicKey::from_spki_der(key.spki_der())?;
        Ok(Self { public, key })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the canonical form of a role's metadata.
    pub(super) async fn sign(&self, message: &[u8]) -> Result<Signature, TufError> {
        let signature = self.key.sign(message).await?;
        Ok(Signature {
            keyid: self.public.id.clone(),
            sig: signature.into(),
        })
    }
}
