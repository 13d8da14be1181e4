//! Which signatures prove possession of which key.

use aws_lc_rs::signature::{self as aws, VerificationAlgorithm};
use const_oid::db::{rfc5912, rfc8410};
use der::{AnyRef, asn1::ObjectIdentifier};
use spki::AlgorithmIdentifierRef;

use super::{KeyAlgorithm, ProofError};

/// A signature algorithm with its hash and encoding.
#[derive(Clone, Copy)]
pub(super) struct Scheme {
    name: &'static str,
    verification: &'static dyn VerificationAlgorithm,
}

impl Scheme {
    /// The scheme of a signed challenge: the key alone decides, as in Fulcio since 1.7.
    pub(super) fn of_challenge(key: KeyAlgorithm) -> Self {
        let (name, verification): (_, &'static dyn VerificationAlgorithm) = match key {
            KeyAlgorithm::EcdsaP256 => (
                "an ECDSA signature with SHA-256 in ASN.1 DER",
                &aws::ECDSA_P256_SHA256_ASN1,
            ),
            KeyAlgorithm::EcdsaP384 => (
                "an ECDSA signature with SHA-384 in ASN.1 DER",
                &aws::ECDSA_P384_SHA384_ASN1,
            ),
            KeyAlgorithm::EcdsaP521 => (
                "an ECDSA signature with SHA-512 in ASN.1 DER",
                &aws::ECDSA_P521_SHA512_ASN1,
            ),
            KeyAlgorithm::Rsa => (
                "an RSA PKCS#1 v1.5 signature (not PSS) with SHA-256",
                &aws::RSA_PKCS1_2048_8192_SHA256,
            ),
            KeyAlgorithm::Ed25519 => ("a pure Ed25519 signature (not Ed25519ph)", &aws::ED25519),
        };
        Self { name, verification }
    }

    /// The scheme that a request of this key says it is signed with: SHA-2 only.
    pub(super) fn of_request(
        key: KeyAlgorithm,
        algorithm: AlgorithmIdentifierRef<'_>,
    ) -> Result<Self, ProofError> {
        let name = match key {
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => {
                "ECDSA with SHA-256, SHA-384 or SHA-512"
            }
            KeyAlgorithm::Rsa => "RSA PKCS#1 v1.5 with SHA-256, SHA-384 or SHA-512",
            KeyAlgorithm::Ed25519 => "Ed25519",
        };
        let unsupported = ProofError::CsrSignatureUnsupported { expected: name };
        // RFC 4055 section 5 wants NULL for RSA and bids us take its absence; RFC 5758 3.2 and RFC 8410 3 want none.
        let null_allowed = key == KeyAlgorithm::Rsa && algorithm.parameters == Some(AnyRef::NULL);
        if algorithm.parameters.is_some() && !null_allowed {
            return Err(unsupported);
        }
        let verification = verification(key, algorithm.oid).ok_or(unsupported)?;
        Ok(Self { name, verification })
    }

    /// What the caller should have used, for messages.
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    /// What checks it.
    pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
        self.verification
    }
}

/// How a signature with the algorithm `oid` in a request or certificate is verified: SHA-2 only; nothing if the key is
/// of another kind.
pub(crate) fn verification(
    key: KeyAlgorithm,
    oid: ObjectIdentifier,
) -> Option<&'static dyn VerificationAlgorithm> {
    use KeyAlgorithm::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa};
    Some(match (key, oid) {
        (EcdsaP256, rfc5912::ECDSA_WITH_SHA_256) => &aws::ECDSA_P256_SHA256_ASN1,
        (EcdsaP256, rfc5912::ECDSA_WITH_SHA_384) => &aws::ECDSA_P256_SHA384_ASN1,
        (EcdsaP256, rfc5912::ECDSA_WITH_SHA_512) => &aws::ECDSA_P256_SHA512_ASN1,
        (EcdsaP384, rfc5912::ECDSA_WITH_SHA_256) => &aws::ECDSA_P384_SHA256_ASN1,
        (EcdsaP384, rfc5912::ECDSA_WITH_SHA_384) => &aws::ECDSA_P384_SHA384_ASN1,
        (EcdsaP384, rfc5912::ECDSA_WITH_SHA_512) => &aws::ECDSA_P384_SHA512_ASN1,
        (EcdsaP521, rfc5912::ECDSA_WITH_SHA_256) => &aws::ECDSA_P521_SHA256_ASN1,
        (EcdsaP521, rfc5912::ECDSA_WITH_SHA_384) => &aws::ECDSA_P521_SHA384_ASN1,
        (EcdsaP521, rfc5912::ECDSA_WITH_SHA_512) => &aws::ECDSA_P521_SHA512_ASN1,
        (Rsa, rfc5912::SHA_256_WITH_RSA_ENCRYPTION) => &aws::RSA_PKCS1_2048_8192_SHA256,
        (Rsa, rfc5912::SHA_384_WITH_RSA_ENCRYPTION) => &aws::RSA_PKCS1_2048_8192_SHA384,
        (Rsa, rfc5912::SHA_512_WITH_RSA_ENCRYPTION) => &aws::RSA_PKCS1_2048_8192_SHA512,
        (Ed25519, rfc8410::ID_ED_25519) => &aws::ED25519,
        _ => return None,
    })
}
