//! From the name of a key to a key that signs.

use std::{fmt, path::PathBuf, sync::Arc};

#[cfg(feature = "aws-kms")]
use super::aws_kms;
#[cfg(feature = "azure-kms")]
use super::azure_kms;
#[cfg(feature = "gcp-kms")]
use super::gcp_kms;
#[cfg(feature = "hashivault")]
use super::hashivault;
#[cfg(feature = "pkcs11")]
use super::pkcs11;
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
    /// What unlocks it: the passphrase of a file, the PIN of a PKCS#11 token, the token of a Vault.
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
            _ => self.find().await?,
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

    /// Asks the backend, if it is in this build.
    async fn find(&self) -> Result<FoundKey, OpenKeyError> {
        let (scheme, feature) = match &self.reference {
            KeyReference::File(_) => ("file", "default"),
            #[cfg(feature = "pkcs11")]
            KeyReference::Pkcs11(uri) => {
                let pin = self.passphrase.as_ref();
                return pkcs11::find(uri, pin).await.map_err(|error| self.unusable(error));
            }
            #[cfg(not(feature = "pkcs11"))]
            KeyReference::Pkcs11(_) => ("pkcs11", "pkcs11"),
            #[cfg(feature = "aws-kms")]
            KeyReference::AwsKms(key) => {
                return aws_kms::find(key).await.map_err(|error| self.unusable(error));
            }
            #[cfg(not(feature = "aws-kms"))]
            KeyReference::AwsKms(_) => ("awskms", "aws-kms"),
            #[cfg(feature = "gcp-kms")]
            KeyReference::GcpKms(version) => {
                return gcp_kms::find(version).await.map_err(|error| self.unusable(error));
            }
            #[cfg(not(feature = "gcp-kms"))]
            KeyReference::GcpKms(_) => ("gcpkms", "gcp-kms"),
            #[cfg(feature = "azure-kms")]
            KeyReference::AzureKms(key) => {
                return azure_kms::find(key).await.map_err(|error| self.unusable(error));
            }
            #[cfg(not(feature = "azure-kms"))]
            KeyReference::AzureKms(_) => ("azurekms", "azure-kms"),
            #[cfg(feature = "hashivault")]
            KeyReference::HashiVault(key) => {
                let token = self.passphrase.as_ref();
                return hashivault::find(key, token)
                    .await
                    .map_err(|error| self.unusable(error));
            }
            #[cfg(not(feature = "hashivault"))]
            KeyReference::HashiVault(_) => ("hashivault", "hashivault"),
        };
        Err(OpenKeyError::NotBuilt { scheme, feature })
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
    /// This binary was built without the backend.
    #[error("this mayfly was built without {scheme}: keys; build it with --features {feature}")]
    NotBuilt {
        /// The scheme of the key's URI.
        scheme: &'static str,
        /// The cargo feature that has it.
        feature: &'static str,
    },
}
