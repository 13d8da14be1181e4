//! The keys of one issuer: parsed once from its JWKS (RFC 7517), each bound to the algorithms that fit it.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::aws_lc::DEFAULT_PROVIDER,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

use super::envelope::{Jws, MAX_KEY_ID_BYTES};

/// The most keys that an issuer may publish; the largest known set has about ten.
pub(super) const MAX_KEYS: usize = 100;

/// The most signature checks that one token may cost: more keys than this share a `kid` or fit a token without one
/// only by mistake.
const MAX_TRIED_KEYS: usize = 16;

/// RSA moduli, in bytes: 2048 bits (RFC 7518 section 3.3) to the 8192 bits that the verifier takes.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

const RSA_ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The public signature keys that an issuer publishes.
#[derive(Debug)]
pub(super) struct KeySet(Vec<VerificationKey>);

/// Why no key of the set verifies a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// No key has the token's `kid`; or it has none and no key fits its algorithm.
    UnknownKey,
    /// A key has the token's `kid` but is not for its algorithm.
    Algorithm,
    /// The keys that could have signed it did not.
    Signature,
}

impl KeySet {
    /// Keys that are private, symmetric, for encryption, too weak or of an unknown kind are left out: they verify
    /// nothing, and must not spoil the rest (RFC 7517 section 5).
    pub(super) fn from_jwks(keys: &[Value]) -> Self {
        Self(keys.iter().filter_map(VerificationKey::from_jwk).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks the signature with the key that the token names; without `kid`, with every key that fits.
    ///
    /// # Errors
    /// No key verifies it.
    pub(super) fn verify(&self, token: &Jws<'_>) -> Result<(), Mismatch> {
        let named = || self.0.iter().filter(|key| key.is_named_by(token.key_id()));
        let mut fitting = named().filter(|key| key.fits(token.algorithm())).peekable();
        if fitting.peek().is_none() {
            return Err(match token.key_id() {
                Some(_) if named().next().is_some() => Mismatch::Algorithm,
                _ => Mismatch::UnknownKey,
            });
        }
        if fitting.take(MAX_TRIED_KEYS).any(|key| key.verifies(token)) {
            return Ok(());
        }
        Err(Mismatch::Signature)
    }
}

#[derive(Debug)]
struct VerificationKey {
    key_id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl VerificationKey {
    fn from_jwk(value: &Value) -> Option<Self> {
        // "d" is private in every asymmetric key type (RFC 7518 section 6): a published private key proves nothing.
        if value.get("d").is_some() {
            return None;
        }
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let common = &jwk.common;
        let for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let for_verifying = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !for_signatures || !for_verifying {
            return None;
        }
        if common
            .key_id
            .as_ref()
            .is_some_and(|id| id.len() > MAX_KEY_ID_BYTES)
        {
            return None;
        }
        let (fitting, key) = usable_key(&jwk)?;
        let algorithms = match common.key_algorithm {
            None => fitting.to_vec(),
            Some(named) => vec![
                Algorithm::try_from(named)
                    .ok()
                    .filter(|named| fitting.contains(named))?,
            ],
        };
        Some(Self {
            key_id: jwk.common.key_id,
            algorithms,
            key,
        })
    }

    /// A token without `kid` may be by any key.
    fn is_named_by(&self, key_id: Option<&str>) -> bool {
        key_id.is_none() || self.key_id.as_deref() == key_id
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    fn verifies(&self, token: &Jws<'_>) -> bool {
        (DEFAULT_PROVIDER.verifier_factory)(&token.algorithm(), &self.key)
            .is_ok_and(|verifier| verifier.verify(token.signing_input(), token.signature()).is_ok())
    }
}

/// The algorithms that a key's type and curve allow, for a key that is strong and well-formed.
fn usable_key(jwk: &Jwk) -> Option<(&'static [Algorithm], DecodingKey)> {
    let key = DecodingKey::from_jwk(jwk).ok()?;
    match (&jwk.algorithm, key.kind()) {
        (AlgorithmParameters::RSA(_), DecodingKeyKind::RsaModulusExponent { n, .. }) => RSA_MODULUS_BYTES
            .contains(&n.len())
            .then_some((RSA_ALGORITHMS, key)),
        (AlgorithmParameters::EllipticCurve(parameters), DecodingKeyKind::SecretOrDer(point)) => {
            let (algorithms, verifier): (&[_], &'static dyn VerificationAlgorithm) = match parameters.curve {
                EllipticCurve::P256 => (&[Algorithm::ES256], &ECDSA_P256_SHA256_FIXED),
                EllipticCurve::P384 => (&[Algorithm::ES384], &ECDSA_P384_SHA384_FIXED),
                _ => return None,
            };
            ParsedPublicKey::new(verifier, point).ok()?;
            Some((algorithms, key))
        }
        (AlgorithmParameters::OctetKeyPair(parameters), DecodingKeyKind::SecretOrDer(point)) => {
            let usable = parameters.curve == EllipticCurve::Ed25519
                && ParsedPublicKey::new(&ED25519, point).is_ok()
                && !has_small_order(point);
            usable.then_some((&[Algorithm::EdDSA], key))
        }
        _ => None,
    }
}

/// Whether an Ed25519 key is one of the eight points for which anybody can make signatures; also true if it is none.
fn has_small_order(point: &[u8]) -> bool {
    CompressedEdwardsY::from_slice(point)
        .ok()
        .and_then(|point| point.decompress())
        .is_none_or(|point| point.is_small_order())
}
