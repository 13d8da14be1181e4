//! The provider's signing key: RSA-2048, because RS256 is what every OpenID Connect client can verify.

use std::path::{Path, PathBuf};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    key::file::{self as key_file, KeyFileError},
    pem_block,
};

const PEM_LABEL: &str = "PRIVATE KEY";

/// Why there is no key, or no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The random generator or the key generation failed.
    #[error("could not generate an RSA key")]
    Generate,
    /// The file cannot be read or written, others may read it, or it holds something else.
    #[error("the identity provider's key in {} cannot be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyFileError,
    },
    /// It is not an RSA key.
    #[error("the identity provider's key is not an RSA key: restore it from a backup")]
    Malformed(#[source] jsonwebtoken::errors::Error),
    /// The claims could not be signed.
    #[error("could not sign the token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// A key pair that signs tokens, and its public half as a JWK.
pub struct ProviderKey {
    signing: EncodingKey,
    public: Jwk,
    key_id: String,
}

impl std::fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl ProviderKey {
    /// A new key that lives in memory only.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_pkcs8(&generate()?)
    }

    /// A new key, kept in a new file that only its owner may read.
    ///
    /// # Errors
    /// [`KeyError::Generate`], or [`KeyError::File`] if the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let pkcs8 = generate()?;
        key_file::write_new(path, &pkcs8, None).map_err(in_file(path))?;
        Self::from_pkcs8(&pkcs8)
    }

    /// The key that [`ProviderKey::create`] kept.
    ///
    /// # Errors
    /// [`KeyError::File`] or [`KeyError::Malformed`].
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        Self::from_pkcs8(&key_file::read(path, None).map_err(in_file(path))?)
    }

    /// The library takes PKCS#8 as PEM only.
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pem = Zeroizing::new(pem_block::encode(PEM_LABEL, der));
        let signing = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(KeyError::Malformed)?;
        let mut public = Jwk::from_encoding_key(&signing, Algorithm::RS256).map_err(KeyError::Malformed)?;
        let key_id = public
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(KeyError::Malformed)?;
        public.common.key_id = Some(key_id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            signing,
            public,
            key_id,
        })
    }

    /// The public key as a JWK set (RFC 7517); its `kid` is the RFC 7638 thumbprint.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        JwkSet {
            keys: vec![self.public.clone()],
        }
    }

    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        let header = Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(KeyError::Sign)
    }
}

fn in_file(path: &Path) -> impl FnOnce(KeyFileError) -> KeyError + '_ {
    move |source| KeyError::File {
        path: path.to_owned(),
        source,
    }
}

/// PKCS#8 DER, wiped on drop.
fn generate() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Generate)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}
