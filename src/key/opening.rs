//! From the name of a key to a key that signs.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{
    KeyReference, SigningKey, SoftwareKey,
    file::{self, KeyFileError},
    passphrase::PassphraseSource,
    remote::{FoundKey, Limits, RemoteKey, SignError},
};
use crate::telemetry::KeyMetrics;

/// A key as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// Where it is.
    pub reference: KeyReference,
    /// What unlocks it: the passphrase of a file, the PIN of a token.
    pub passphrase: Option<PassphraseSource>,
}

impl KeySettings {
    /// An unencrypted file.
    #[must_use]
    pub fn plain_file(path: PathBuf) -> Self {
        Self {
            reference: KeyReference::File(path),
            passphrase: None,
        }
    }

    /// Finds the key and what its public half is. `purpose` names it in metrics: `ca`, or what a configuration calls it.
    ///
    /// # Errors
    /// If it is not there, cannot be unlocked, is of a kind that does not sign here, or this build cannot ask its backend.
    pub async fn open(
        &self,
        purpose: &str,
        metrics: &KeyMetrics,
    ) -> Result<Arc<dyn SigningKey>, OpenKeyError> {
        let found = match &self.reference {
            KeyReference::File(_) => {
                let settings = self.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let pkcs8 = settings.read_file()?;
                    SoftwareKey::from_pkcs8_der(&pkcs8).map_err(|source| settings.in_file(source))
                });
                let key = read.await.map_err(|error| self.unusable(error))??;
                return Ok(Arc::new(key));
            }
            reference => find(reference).await?,
        };
        let series = metrics.of(purpose, found.signer.backend());
        let key = RemoteKey::new(found, Limits::default(), series).map_err(|error| self.unusable(error))?;
        Ok(Arc::new(key))
    }

    /// The key's file, decrypted: PKCS#8 DER, wiped on drop. Takes a while if it is encrypted.
    ///
    /// # Errors
    /// If it is no file, or cannot be read.
    pub fn read_file(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, OpenKeyError> {
        match &self.reference {
            KeyReference::File(path) => {
                file::read(path, self.passphrase.as_ref()).map_err(|source| self.in_file(source))
            }
            _ => Err(self.unusable(SignError::Unsupported)),
        }
    }

    fn in_file(&self, source: KeyFileError) -> OpenKeyError {
        self.unusable(source)
    }

    fn unusable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OpenKeyError {
        OpenKeyError::Unusable {
            key: self.reference.to_string(),
            source: source.into(),
        }
    }
}

async fn find(reference: &KeyReference) -> Result<FoundKey, OpenKeyError> {
    let scheme = match reference {
        KeyReference::File(_) => "file",
        KeyReference::Pkcs11(_) => "pkcs11",
        KeyReference::AwsKms(_) => "awskms",
        KeyReference::GcpKms(_) => "gcpkms",
        KeyReference::AzureKms(_) => "azurekms",
        KeyReference::HashiVault(_) => "hashivault",
    };
    Err(OpenKeyError::Backend { scheme })
}

/// The place of the key, without what unlocks it.
impl fmt::Display for KeySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(formatter)
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenKeyError {
    /// It is not there, is locked, or is of another kind.
    #[error("the key {key} cannot be used")]
    Unusable {
        /// Its name, without secrets.
        key: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no backend for it in this program.
    #[error("{scheme}: keys are not supported yet: name a PKCS#8 file, which may be encrypted")]
    Backend {
        /// The scheme of the key's URI.
        scheme: &'static str,
    },
}
