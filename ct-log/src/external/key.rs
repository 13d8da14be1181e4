//! The public keys that a log may have: ECDSA or RSA, with SHA-256 (RFC 6962 section 2.1.4).

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaParameters, VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use der::asn1::AnyRef;
use der::pem::PemLabel;
use der::{Decode, Document};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::key::SignatureError;
use crate::leaf::LogId;
use crate::tree::sha256;

/// `signature rsa` and `signature ecdsa` (RFC 5246 section 7.4.1.4.1).
const RSA: u8 = 1;
const ECDSA: u8 = 3;

/// A key that no log may have, or that clients of certificates do not verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalKeyError {
    /// Neither PEM nor DER of one public key.
    #[error("is not one public key (SubjectPublicKeyInfo) in PEM")]
    NotAKey,
    /// Another algorithm.
    #[error("is neither ECDSA on P-256 or P-384 nor RSA, the keys that clients verify SCTs with")]
    Algorithm,
    /// RSA with a modulus out of range.
    #[error("is an RSA key of {0} bits; RFC 6962 wants 2048 or more, and 8192 is the most that is read")]
    RsaSize(u32),
}

/// Another log's public key and its id.
#[derive(Clone)]
pub struct ExternalLogKey {
    log_id: LogId,
    signature_algorithm: u8,
    key: ParsedPublicKey,
    spki: Vec<u8>,
}

impl ExternalLogKey {
    /// A key from its `SubjectPublicKeyInfo`, PEM (`PUBLIC KEY`).
    ///
    /// # Errors
    /// Not PEM of one key, or not a key that a log may have.
    pub fn from_pem(pem: &str) -> Result<ExternalLogKey, ExternalKeyError> {
        let (label, document) = Document::from_pem(pem.trim()).map_err(|_| ExternalKeyError::NotAKey)?;
        SubjectPublicKeyInfoRef::validate_pem_label(label).map_err(|_| ExternalKeyError::NotAKey)?;
        ExternalLogKey::from_spki_der(document.as_bytes())
    }

    /// A key from its `SubjectPublicKeyInfo`, DER.
    ///
    /// # Errors
    /// Not DER, or not a key that a log may have.
    pub fn from_spki_der(der: &[u8]) -> Result<ExternalLogKey, ExternalKeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| ExternalKeyError::NotAKey)?;
        let public = spki
            .subject_public_key
            .as_bytes()
            .ok_or(ExternalKeyError::NotAKey)?;
        let (signature_algorithm, algorithm) = algorithm(&spki.algorithm, public)?;
        let key = ParsedPublicKey::new(algorithm, public).map_err(|_| ExternalKeyError::NotAKey)?;
        Ok(ExternalLogKey {
            log_id: LogId::new(sha256(der)),
            signature_algorithm,
            key,
            spki: der.to_vec(),
        })
    }

    /// The `SubjectPublicKeyInfo`, DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// `SignatureAlgorithm` of RFC 5246 section 7.4.1.4.1.
    pub(super) fn signature_algorithm(&self) -> u8 {
        self.signature_algorithm
    }

    /// Checks a signature with SHA-256 over `message`: ECDSA (DER), or RSA (PKCS #1 v1.5).
    ///
    /// # Errors
    /// This key did not make the signature over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.key
            .verify_sig(message, signature)
            .map_err(|_| SignatureError)
    }
}

type Algorithm = (u8, &'static dyn VerificationAlgorithm);

fn algorithm(identifier: &AlgorithmIdentifierRef<'_>, public: &[u8]) -> Result<Algorithm, ExternalKeyError> {
    let curve = |curve: ObjectIdentifier| identifier.assert_oids(ID_EC_PUBLIC_KEY, curve).is_ok();
    if curve(SECP_256_R_1) {
        return Ok((ECDSA, &ECDSA_P256_SHA256_ASN1));
    }
    if curve(SECP_384_R_1) {
        return Ok((ECDSA, &ECDSA_P384_SHA256_ASN1));
    }
    let no_parameters = identifier.parameters.is_none_or(AnyRef::is_null);
    if identifier.oid != RSA_ENCRYPTION || !no_parameters {
        return Err(ExternalKeyError::Algorithm);
    }
    let bits = RsaParameters::public_modulus_len(public).map_err(|_| ExternalKeyError::NotAKey)?;
    let allowed = RSA_PKCS1_2048_8192_SHA256.min_modulus_len()..=RSA_PKCS1_2048_8192_SHA256.max_modulus_len();
    if !allowed.contains(&bits) {
        return Err(ExternalKeyError::RsaSize(bits));
    }
    Ok((RSA, &RSA_PKCS1_2048_8192_SHA256))
}

impl fmt::Debug for ExternalLogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalLogKey({})", self.log_id)
    }
}
