//! One certificate of a submitted chain: parsed once, byte-exact, with the questions the policy asks.

use std::time::SystemTime;

use aws_lc_rs::signature as algorithms;
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_CODE_SIGNING};
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_EC_PUBLIC_KEY, RSA_ENCRYPTION,
    SECP_256_R_1, SECP_384_R_1, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
    SHA_512_WITH_RSA_ENCRYPTION,
};
use const_oid::db::rfc6962::CT_PRECERT_POISON;
use der::asn1::{Any, AnyRef};
use der::{Decode, Encode};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::ChainError;

/// DER of the ASN.1 NULL that a poison extension holds (RFC 6962 section 3.1).
const POISON_VALUE: [u8; 2] = [0x05, 0x00];

/// A certificate whose DER is exactly the encoding of what was parsed from it.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    parsed: CertificateInner<Raw>,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Certificate {
    /// Parses DER, strictly: encoding the result again must give the same bytes.
    pub(super) fn parse(position: usize, der: &[u8]) -> Result<Self, ChainError> {
        let unparsable = |source| ChainError::Unparsable { position, source };
        let parsed = CertificateInner::<Raw>::from_der(der).map_err(unparsable)?;
        if parsed.to_der().map_err(unparsable)? != der {
            return Err(ChainError::NotCanonical { position });
        }
        let tbs = parsed.tbs_certificate().to_der().map_err(unparsable)?;
        Ok(Self {
            der: der.to_vec(),
            tbs,
            parsed,
        })
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn not_after(&self) -> SystemTime {
        self.parsed
            .tbs_certificate()
            .validity()
            .not_after
            .to_system_time()
    }

    /// The subjectPublicKeyInfo, DER.
    pub(super) fn public_key_info(&self) -> Result<Vec<u8>, ChainError> {
        self.key().to_der().map_err(ChainError::Extension)
    }

    /// Whether this is a precertificate. An ill-formed poison is an error, never a "no".
    pub(super) fn poison(&self) -> Result<bool, ChainError> {
        let mut poisons = self.extensions().iter().filter(|extension| is_poison(extension));
        let Some(poison) = poisons.next() else {
            return Ok(false);
        };
        let well_formed = poison.critical && poison.extn_value.as_bytes() == POISON_VALUE;
        if well_formed && poisons.next().is_none() {
            Ok(true)
        } else {
            Err(ChainError::Poison)
        }
    }

    /// The tbsCertificate without its poison extension and otherwise byte for byte the same: what the
    /// SCT signs (RFC 6962 section 3.2).
    pub(super) fn tbs_without_poison(&self) -> Result<Vec<u8>, ChainError> {
        self.remove_poison().map_err(ChainError::Extension)
    }

    fn remove_poison(&self) -> der::Result<Vec<u8>> {
        let kept: Vec<Extension> = self
            .extensions()
            .iter()
            .filter(|e| !is_poison(e))
            .cloned()
            .collect();
        let mut fields = Vec::<AnyRef<'_>>::from_der(&self.tbs)?;
        // Extensions are the last field of a TBSCertificate (RFC 5280 section 4.1).
        let extensions = fields.pop().ok_or(der::ErrorKind::Failed)?;
        let extensions = Any::new(der::Tagged::tag(&extensions), kept.to_der()?)?;
        fields.push(AnyRef::from(&extensions));
        fields.to_der()
    }

    /// Whether the certificate is its own issuer.
    pub(super) fn is_self_signed(&self) -> bool {
        self.is_issued_by(self)
    }

    /// Whether the names match and the issuer's key verifies the signature.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        let (child, parent) = (self.parsed.tbs_certificate(), issuer.parsed.tbs_certificate());
        child.issuer() == parent.subject() && self.signature_verifies(issuer)
    }

    /// [`Self::is_issued_by`] as an error about the certificate at `position`.
    pub(super) fn check_issued_by(&self, issuer: &Self, position: usize) -> Result<(), ChainError> {
        if self.is_issued_by(issuer) {
            Ok(())
        } else {
            Err(ChainError::NotIssuedByNext { position })
        }
    }

    /// An end-entity certificate for code signing.
    pub(super) fn check_is_code_signing_leaf(&self) -> Result<(), ChainError> {
        if self
            .constraints()
            .map_err(ChainError::Extension)?
            .is_some_and(|constraints| constraints.ca)
        {
            return Err(ChainError::LeafIsCa);
        }
        match self.purposes().map_err(ChainError::Extension)? {
            Some(purposes) if purposes.contains(&ID_KP_CODE_SIGNING) => Ok(()),
            _ => Err(ChainError::NotCodeSigning),
        }
    }

    /// A CA certificate that may sign certificates.
    pub(super) fn check_is_ca(&self, position: usize) -> Result<(), ChainError> {
        let is_ca = self
            .constraints()
            .ok()
            .flatten()
            .is_some_and(|constraints| constraints.ca);
        let signs = match self.parsed.tbs_certificate().get_extension::<KeyUsage>() {
            Ok(usage) => usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
            Err(_) => false,
        };
        if is_ca && signs {
            Ok(())
        } else {
            Err(ChainError::MayNotIssue { position })
        }
    }

    /// A CA certificate that may stand at `position` of a chain for code signing. This also refuses
    /// Precertificate Signing Certificates, whose extended key usage is another one.
    pub(super) fn check_may_issue(&self, position: usize) -> Result<(), ChainError> {
        self.check_is_ca(position)?;
        let for_code_signing = match self.purposes() {
            Ok(purposes) => purposes.is_none_or(|purposes| {
                purposes.contains(&ID_KP_CODE_SIGNING) || purposes.contains(&ANY_EXTENDED_KEY_USAGE)
            }),
            Err(_) => false,
        };
        let limit = self
            .constraints()
            .ok()
            .flatten()
            .and_then(|constraints| constraints.path_len_constraint);
        // Of the `position` certificates before this one, all but the end-entity certificate are CAs.
        let within_path_length = limit.is_none_or(|limit| position <= usize::from(limit) + 1);
        if for_code_signing && within_path_length {
            Ok(())
        } else {
            Err(ChainError::MayNotIssue { position })
        }
    }

    fn extensions(&self) -> &[Extension] {
        self.parsed
            .tbs_certificate()
            .extensions()
            .map_or(&[], Vec::as_slice)
    }

    fn constraints(&self) -> der::Result<Option<BasicConstraints>> {
        Ok(self
            .parsed
            .tbs_certificate()
            .get_extension()?
            .map(|(_, constraints)| constraints))
    }

    fn purposes(&self) -> der::Result<Option<Vec<ObjectIdentifier>>> {
        let usage = self
            .parsed
            .tbs_certificate()
            .get_extension::<ExtendedKeyUsage>()?;
        Ok(usage.map(|(_, ExtendedKeyUsage(purposes))| purposes))
    }

    fn key(&self) -> &SubjectPublicKeyInfoOwned {
        self.parsed.tbs_certificate().subject_public_key_info()
    }

    fn signature_verifies(&self, issuer: &Self) -> bool {
        let algorithm = self.parsed.signature_algorithm();
        if self.parsed.tbs_certificate().signature() != algorithm {
            return false;
        }
        let (Some(verifier), Some(key), Some(signature)) = (
            verifier(algorithm, &issuer.key().algorithm),
            issuer.key().subject_public_key.as_bytes(),
            self.parsed.signature().as_bytes(),
        ) else {
            return false;
        };
        UnparsedPublicKey::new(verifier, key)
            .verify(&self.tbs, signature)
            .is_ok()
    }
}

fn is_poison(extension: &Extension) -> bool {
    extension.extn_id == CT_PRECERT_POISON
}

/// The verification algorithm for a signature algorithm and the key's algorithm: ECDSA on P-256 and
/// P-384, and RSA PKCS#1 v1.5 from 2048 bits. None for all others.
fn verifier(
    signature: &AlgorithmIdentifierOwned,
    key: &AlgorithmIdentifierOwned,
) -> Option<&'static dyn VerificationAlgorithm> {
    let curve = key
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.decode_as().ok());
    let algorithm: &'static dyn VerificationAlgorithm = match (key.oid, curve, signature.oid) {
        (ID_EC_PUBLIC_KEY, Some(SECP_256_R_1), ECDSA_WITH_SHA_256) => &algorithms::ECDSA_P256_SHA256_ASN1,
        (ID_EC_PUBLIC_KEY, Some(SECP_256_R_1), ECDSA_WITH_SHA_384) => &algorithms::ECDSA_P256_SHA384_ASN1,
        (ID_EC_PUBLIC_KEY, Some(SECP_384_R_1), ECDSA_WITH_SHA_256) => &algorithms::ECDSA_P384_SHA256_ASN1,
        (ID_EC_PUBLIC_KEY, Some(SECP_384_R_1), ECDSA_WITH_SHA_384) => &algorithms::ECDSA_P384_SHA384_ASN1,
        (ID_EC_PUBLIC_KEY, Some(SECP_384_R_1), ECDSA_WITH_SHA_512) => &algorithms::ECDSA_P384_SHA512_ASN1,
        (RSA_ENCRYPTION, None, SHA_256_WITH_RSA_ENCRYPTION) => &algorithms::RSA_PKCS1_2048_8192_SHA256,
        (RSA_ENCRYPTION, None, SHA_384_WITH_RSA_ENCRYPTION) => &algorithms::RSA_PKCS1_2048_8192_SHA384,
        (RSA_ENCRYPTION, None, SHA_512_WITH_RSA_ENCRYPTION) => &algorithms::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    };
    Some(algorithm)
}
