//! Public keys: PEM or DER to a key of a kind that we certify, of sound strength, parsed once.

use aws_lc_rs::signature::{ParsedPublicKey, UnparsedPublicKey};
use const_oid::db::{rfc5912, rfc8410};
use curve25519_dalek::edwards::CompressedEdwardsY;
use der::{
    Any, AnyRef, Decode, Encode,
    asn1::{BitString, ObjectIdentifier},
};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::{
    ProofError,
    armor::{self, ArmorError, Encoded},
    rsa::RsaPublicKey,
    signature::Scheme,
};

/// SubjectPublicKeyInfo (RFC 7468 section 13).
const SPKI_LABEL: &str = "PUBLIC KEY";

/// PKCS#1 `RSAPublicKey`, which OpenSSL and Fulcio read too.
const PKCS1_LABEL: &str = "RSA PUBLIC KEY";

/// The kinds of key that a certificate may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256
    EcdsaP256,
    /// ECDSA on NIST P-384
    EcdsaP384,
    /// ECDSA on NIST P-521
    EcdsaP521,
    /// RSA, 2048 to 4096 bits, exponent 65537
    Rsa,
    /// Ed25519 (RFC 8032)
    Ed25519,
}

impl KeyAlgorithm {
    /// A stable name, for audit records and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The kind that an AlgorithmIdentifier names, its parameters exactly as the kind wants them.
    pub(crate) fn of(algorithm: &AlgorithmIdentifierOwned) -> Result<Self, ProofError> {
        let parameters = algorithm.parameters.as_ref().map(AnyRef::from);
        match (algorithm.oid, parameters) {
            (rfc5912::ID_EC_PUBLIC_KEY, Some(curve)) => Self::of_curve(curve),
            (rfc5912::ID_EC_PUBLIC_KEY, None) => Err(ProofError::PublicKeyMalformed("it names no curve")),
            (rfc5912::RSA_ENCRYPTION, Some(null)) if null == AnyRef::NULL => Ok(Self::Rsa),
            (rfc5912::RSA_ENCRYPTION, _) => Err(ProofError::PublicKeyMalformed(
                "an RSA key's parameters must be NULL",
            )),
            (rfc8410::ID_ED_25519, None) => Ok(Self::Ed25519),
            (rfc8410::ID_ED_25519, Some(_)) => Err(ProofError::PublicKeyMalformed(
                "an Ed25519 key must have no parameters",
            )),
            _ => Err(ProofError::KeyUnsupported("keys of its kind are not accepted")),
        }
    }

    fn of_curve(parameters: AnyRef<'_>) -> Result<Self, ProofError> {
        match parameters.decode_as::<ObjectIdentifier>() {
            Ok(rfc5912::SECP_256_R_1) => Ok(Self::EcdsaP256),
            Ok(rfc5912::SECP_384_R_1) => Ok(Self::EcdsaP384),
            Ok(rfc5912::SECP_521_R_1) => Ok(Self::EcdsaP521),
            Ok(_) => Err(ProofError::KeyUnsupported("keys on its curve are not accepted")),
            Err(_) => Err(ProofError::KeyUnsupported("its curve is not given by name")),
        }
    }
}

/// A key that passed every check but proof of possession.
#[derive(Debug)]
pub(super) struct PublicKey {
    spki: SubjectPublicKeyInfoOwned,
    spki_der: Vec<u8>,
    algorithm: KeyAlgorithm,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Reads one PEM block or DER.
    pub(super) fn parse(input: &[u8]) -> Result<Self, ProofError> {
        match armor::remove(input) {
            Ok(Encoded::Pem { label, der }) if label == PKCS1_LABEL => Self::check(spki_of_rsa(&der)?),
            Ok(Encoded::Pem { label, .. }) if label != SPKI_LABEL => {
                Err(ProofError::PublicKeyMalformed("its PEM label is not PUBLIC KEY"))
            }
            Ok(Encoded::Pem { der, .. } | Encoded::Der(der)) => Self::from_spki_der(&der),
            Err(ArmorError::PrivateKey) => Err(ProofError::PrivateKeySent),
            Err(ArmorError::Malformed(why)) => Err(ProofError::PublicKeyMalformed(why)),
        }
    }

    fn from_spki_der(der: &[u8]) -> Result<Self, ProofError> {
        let spki = SubjectPublicKeyInfoOwned::from_der(der).map_err(|_| malformed())?;
        let key = Self::check(spki)?;
        // A tripwire: should the parser ever take an encoding that is not DER, it ends here.
        if key.spki_der != der {
            return Err(malformed());
        }
        Ok(key)
    }

    /// Checks kind, form and strength.
    pub(super) fn check(spki: SubjectPublicKeyInfoOwned) -> Result<Self, ProofError> {
        let spki_der = spki.to_der().map_err(|_| malformed())?;
        let algorithm = KeyAlgorithm::of(&spki.algorithm)?;
        let bits = spki.subject_public_key.as_bytes().ok_or_else(malformed)?;
        match algorithm {
            KeyAlgorithm::EcdsaP256 => check_point_form(bits, 32)?,
            KeyAlgorithm::EcdsaP384 => check_point_form(bits, 48)?,
            KeyAlgorithm::EcdsaP521 => check_point_form(bits, 66)?,
            KeyAlgorithm::Rsa => RsaPublicKey::from_der(bits).map_err(|_| malformed())?.check()?,
            KeyAlgorithm::Ed25519 => check_ed25519(bits)?,
        }
        // What this still refuses is points off the curve, and coordinates that are not below the field's prime.
        let parsed = ParsedPublicKey::new(Scheme::of_challenge(algorithm).verification(), bits)
            .map_err(|_| ProofError::KeyTooWeak("its point is not on its curve"))?;
        Ok(Self {
            spki,
            spki_der,
            algorithm,
            parsed,
        })
    }

    pub(super) fn spki(&self) -> &SubjectPublicKeyInfoOwned {
        &self.spki
    }

    pub(super) fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    pub(super) fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// How long an RSA key is; 0 for others.
    pub(super) fn bits(&self) -> usize {
        match self.algorithm {
            KeyAlgorithm::Rsa => RsaPublicKey::from_der(self.spki.subject_public_key.raw_bytes())
                .map_or(0, |key| key.numbers().0.len().saturating_mul(8)),
            _ => 0,
        }
    }

    /// Whether this key made the signature, in the scheme that challenges are signed with.
    pub(super) fn signed_challenge(&self, challenge: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(challenge, signature).is_ok()
    }

    /// Whether this key made the signature, in the scheme that its request names.
    pub(super) fn signed_request(&self, scheme: Scheme, info: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(scheme.verification(), self.spki.subject_public_key.raw_bytes())
            .verify(info, signature)
            .is_ok()
    }
}

/// RFC 3279 section 2.3.1: `rsaEncryption` with NULL parameters.
fn spki_of_rsa(pkcs1: &[u8]) -> Result<SubjectPublicKeyInfoOwned, ProofError> {
    let algorithm = AlgorithmIdentifierOwned {
        oid: rfc5912::RSA_ENCRYPTION,
        parameters: Some(Any::null()),
    };
    let subject_public_key = BitString::from_bytes(pkcs1).map_err(|_| malformed())?;
    Ok(SubjectPublicKeyInfoOwned {
        algorithm,
        subject_public_key,
    })
}

/// SEC 1 section 2.3.3, the uncompressed form only: 04, x, y.
fn check_point_form(point: &[u8], field_len: usize) -> Result<(), ProofError> {
    match point {
        [0] => Err(ProofError::KeyTooWeak("its point is the point at infinity")),
        [4, coordinates @ ..] if coordinates.len() == 2 * field_len => Ok(()),
        [2 | 3 | 6 | 7, ..] => Err(ProofError::KeyUnsupported("its point is compressed or hybrid")),
        _ => Err(ProofError::PublicKeyMalformed(
            "its point is not of its curve's length",
        )),
    }
}

/// RFC 8032 section 5.1.3 decoding, strictly; points of small order verify signatures that nobody made.
fn check_ed25519(bits: &[u8]) -> Result<(), ProofError> {
    let encoded = CompressedEdwardsY::from_slice(bits)
        .map_err(|_| ProofError::PublicKeyMalformed("an Ed25519 key has 32 bytes"))?;
    let point = encoded
        .decompress()
        .ok_or(ProofError::KeyTooWeak("its point is not on its curve"))?;
    if point.is_small_order() {
        return Err(ProofError::KeyTooWeak("its point is of small order"));
    }
    if point.compress() != encoded {
        return Err(ProofError::KeyTooWeak("its point is not canonically encoded"));
    }
    Ok(())
}

fn malformed() -> ProofError {
    ProofError::PublicKeyMalformed("it is not a SubjectPublicKeyInfo in PEM or strict DER")
}
