//! Key Vault's public keys: JSON Web Keys (RFC 7517), of their own types for keys in an HSM.

use azure_security_keyvault_keys::models::{CurveName, JsonWebKey, KeyType};

use super::error::AzureKmsError;
use crate::key::{
    SignatureAlgorithm,
    remote::{spki_of_point, spki_of_rsa},
};

/// DER SubjectPublicKeyInfo, and what it signs with.
pub(super) fn public_half(key: &JsonWebKey) -> Result<(Vec<u8>, SignatureAlgorithm), AzureKmsError> {
    if let Some(allowed) = &key.key_ops
        && !allowed.iter().any(|operation| operation == "sign")
    {
        return Err(AzureKmsError::Use(allowed.join(", ")));
    }
    let found = match (&key.kty, &key.crv) {
        (Some(KeyType::Ec | KeyType::EcHsm), Some(CurveName::P256)) => {
            (point(key, 32), SignatureAlgorithm::EcdsaP256Sha256)
        }
        (Some(KeyType::Ec | KeyType::EcHsm), Some(CurveName::P384)) => {
            (point(key, 48), SignatureAlgorithm::EcdsaP384Sha384)
        }
        (Some(KeyType::Rsa | KeyType::RsaHsm), _) => (rsa(key), SignatureAlgorithm::RsaPkcs1Sha256),
        (kind, curve) => {
            let kind = kind.as_ref().map_or("of no kind", AsRef::as_ref);
            let curve = curve.as_ref().map(|curve| format!(" on {}", curve.as_ref()));
            return Err(AzureKmsError::Kind(format!(
                "{kind}{}",
                curve.unwrap_or_default()
            )));
        }
    };
    match found {
        (Some(spki), algorithm) => Ok((spki, algorithm)),
        (None, _) => Err(AzureKmsError::Incomplete),
    }
}

fn point(key: &JsonWebKey, length: usize) -> Option<Vec<u8>> {
    let (x, y) = (key.x.as_ref()?, key.y.as_ref()?);
    let pad = |number: &[u8]| -> Option<Vec<u8>> {
        let mut padded = vec![0; length.checked_sub(number.len())?];
        padded.extend(number);
        Some(padded)
    };
    spki_of_point(&[vec![4], pad(x)?, pad(y)?].concat())
}

fn rsa(key: &JsonWebKey) -> Option<Vec<u8>> {
    spki_of_rsa(key.n.as_ref()?, key.e.as_ref()?)
}
