//! Private keys that sign for the CA and its log: where they are, behind one small trait.
//!
//! | where the key is | written as | module |
//! |---|---|---|
//! | an encrypted or plain PKCS#8 file | a path, or `file:` and a path | [`mod@file`] |
//! | a PKCS#11 token, such as an HSM | `pkcs11:` (RFC 7512) | `pkcs11` |
//! | AWS KMS | `awskms://` | `aws_kms` |
//! | Google Cloud KMS | `gcpkms://` | `gcp_kms` |
//! | Azure Key Vault | `azurekms://` | `azure_kms` |
//! | Vault or OpenBao, Transit engine | `hashivault://` | `hashivault` |
//!
//! Only this module and the log's key module hold private keys. A key that is somewhere else is asked through
//! [`remote`], which trusts none of its answers.

mod algorithm;
#[cfg(feature = "aws-kms")]
mod aws_kms;
#[cfg(feature = "azure-kms")]
mod azure_kms;
pub mod file;
#[cfg(feature = "gcp-kms")]
mod gcp_kms;
#[cfg(feature = "hashivault")]
mod hashivault;
pub mod memory;
mod opening;
pub mod passphrase;
mod pkcs11;
mod reference;
pub mod remote;
mod software;

use std::{future::Future, pin::Pin};

pub use self::{
    algorithm::SignatureAlgorithm,
    opening::{KeySettings, OpenKeyError},
    reference::{KeyReference, ReferenceError},
    software::SoftwareKey,
};
pub(crate) use algorithm::verification;

/// A signature under way; remote keys take a round trip.
pub type SignatureFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, KeyError>> + Send + 'a>>;

/// A private key that signs.
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
#[error("the key did not sign")]
pub struct KeyError {
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl KeyError {
    /// For the reason in `source`, which holds no secret.
    pub fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            source: Some(Box::new(source)),
        }
    }
}
