//! The keys of one issuer: parsed once from its JWKS (RFC 7517), each bound to the algorithms that
//! fit it. A key that is taken is one that the verifier has parsed.

mod left_out;

use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use curve25519_dalek::edwards::CompressedEdwardsY;
use num_bigint::BigUint;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

pub(super) use self::left_out::LeftOut;
use self::left_out::Unusable;
use super::{
    algorithm::{Algorithm, OnCurve, RSA},
    envelope::{Jws, MAX_KEY_ID_BYTES},
    error::Quoted,
};

/// The most keys that an issuer may publish; the largest known set has about ten.
pub(super) const MAX_KEYS: usize = 100;

/// The most signature checks that one token may cost: more keys than this share a `kid` or fit a token without one
/// only by mistake.
const MAX_TRIED_KEYS: usize = 16;

/// RSA moduli, in bits: from RFC 7518 section 3.3 to what the verifier takes.
const RSA_MODULUS_BITS: std::ops::RangeInclusive<u64> = 2048..=8192;

/// The public signature keys that an issuer publishes.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<VerificationKey>,
    /// Of the issuer's tokens, by its own word; if there are none, those that the keys allow.
    algorithms: Vec<Algorithm>,
}

/// Why no key of the set verifies a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// No key has the token's `kid`; or it has none and no key fits its algorithm.
    UnknownKey,
    /// A key has the token's `kid` but is not for its algorithm.
    Algorithm,
    /// A key fits, but the issuer names other algorithms.
    AlgorithmNotNamed,
    /// The keys that could have signed it did not.
    Signature,
}

impl KeySet {
    /// The keys that can verify a token, and what is to be said about the others: they must not
    /// spoil the rest (RFC 7517 section 5).
    pub(super) fn from_jwks(jwks: &[Value], algorithms: Vec<Algorithm>) -> (Self, Option<LeftOut>) {
        let mut keys = Vec::new();
        let mut left_out = LeftOut::of(jwks.len());
        for jwk in jwks {
            match VerificationKey::from_jwk(jwk) {
                Ok(key) => keys.push(key),
                Err(reason) => left_out.add(jwk, &reason),
            }
        }
        (Self { keys, algorithms }, left_out.if_any())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The names of the algorithms that the issuer names.
    pub(super) fn algorithms(&self) -> String {
        let names: Vec<_> = self.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        names.join(", ")
    }

    /// Checks the signature with the key that the token names; without `kid`, with every key that fits.
    ///
    /// # Errors
    /// No key verifies it.
    pub(super) fn verify(&self, token: &Jws<'_>) -> Result<(), Mismatch> {
        let named = || self.keys.iter().filter(|key| key.is_named_by(token.key_id()));
        let mut fitting = named()
            .filter_map(|key| key.verifier(token.algorithm()))
            .peekable();
        if fitting.peek().is_none() {
            return Err(match token.key_id() {
                Some(_) if named().next().is_some() => Mismatch::Algorithm,
                _ => Mismatch::UnknownKey,
            });
        }
        if !self.algorithms.is_empty() && !self.algorithms.contains(&token.algorithm()) {
            return Err(Mismatch::AlgorithmNotNamed);
        }
        let (input, signature) = (token.signing_input(), token.signature());
        if fitting
            .take(MAX_TRIED_KEYS)
            .any(|key| key.verify_sig(input, signature).is_ok())
        {
            return Ok(());
        }
        Err(Mismatch::Signature)
    }
}

#[derive(Debug)]
struct VerificationKey {
    key_id: Option<String>,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl VerificationKey {
    fn from_jwk(value: &Value) -> Result<Self, Unusable> {
        if !value.is_object() {
            return Err(Unusable::NoJwk(Quoted::new("no JSON object")));
        }
        let jwk: Jwk = serde_path_to_error::deserialize(value)
            .map_err(|error| Unusable::NoJwk(Quoted::new(&error.to_string())))?;
        if !matches!(given(&jwk.public_key_use), None | Some("sig")) {
            return Err(Unusable::NotForSignatures);
        }
        let operations = jwk.key_ops.as_deref().unwrap_or_default();
        if !operations.is_empty() && !operations.iter().any(|operation| operation == "verify") {
            return Err(Unusable::KeyOps);
        }
        // "d" is private in every asymmetric key type (RFC 7518 section 6): a published private key proves nothing.
        if jwk.d.is_some() {
            return Err(Unusable::Private);
        }
        if jwk.kid.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err(Unusable::KeyId);
        }
        let mut verifiers = jwk.verifiers()?;
        if let Some(name) = given(&jwk.alg) {
            let algorithm = Algorithm::named(name);
            verifiers.retain(|(fitting, _)| algorithm == Some(*fitting));
            if verifiers.is_empty() {
                return Err(Unusable::Algorithm(Quoted::new(name)));
            }
        }
        Ok(Self {
            key_id: jwk.kid,
            verifiers,
        })
    }

    /// A token without `kid` may be by any key.
    fn is_named_by(&self, key_id: Option<&str>) -> bool {
        key_id.is_none() || self.key_id.as_deref() == key_id
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        let found = self.verifiers.iter().find(|(fitting, _)| *fitting == algorithm);
        found.map(|(_, key)| key)
    }
}

/// A JSON Web Key (RFC 7517 section 4), as far as it is read: `x5c` and its like are not.
#[derive(Deserialize)]
struct Jwk {
    #[serde(default)]
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<IgnoredAny>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    public_key_use: Option<String>,
    key_ops: Option<Vec<String>>,
}

impl Jwk {
    /// The key for each algorithm that its type and curve allow, if it is strong and well-formed.
    fn verifiers(&self) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Unusable> {
        let crv = self.crv.as_deref().unwrap_or_default();
        match (self.kty.as_str(), OnCurve::named(&self.kty, crv)) {
            ("RSA", _) => self.rsa(),
            (_, Some(curve)) => Ok(vec![self.on(&curve)?]),
            ("EC" | "OKP", None) => Err(Unusable::Curve(Quoted::new(crv))),
            (other, None) => Err(Unusable::KeyType(Quoted::new(other))),
        }
    }

    /// Numbers have no leading zeros (RFC 7518 section 2), but some issuers write one. They change
    /// nothing.
    fn rsa(&self) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Unusable> {
        let number = |encoded| Ok(BigUint::from_bytes_be(&decode(encoded)?));
        let (modulus, exponent) = (number(&self.n)?, number(&self.e)?);
        if !RSA_MODULUS_BITS.contains(&modulus.bits()) {
            return Err(Unusable::RsaBits(modulus.bits()));
        }
        let components = RsaPublicKeyComponents {
            n: modulus.to_bytes_be(),
            e: exponent.to_bytes_be(),
        };
        let parse = |(algorithm, parameters)| {
            let key = components.to_parsed_public_key(parameters).ok()?;
            // Only a key that is read from its encoding is checked.
            let key = ParsedPublicKey::new(parameters, key.as_ref()).ok()?;
            Some((algorithm, key))
        };
        let parsed: Option<Vec<_>> = RSA.into_iter().map(parse).collect();
        parsed.ok_or(Unusable::Numbers)
    }

    fn on(&self, curve: &OnCurve) -> Result<(Algorithm, ParsedPublicKey), Unusable> {
        let part = |encoded| decode(encoded).and_then(|part| exactly(curve.bytes, part));
        let key = match curve.algorithm {
            Algorithm::Ed25519 => part(&self.x)?,
            // Uncompressed (SEC 1 section 2.3.3).
            _ => [vec![4], part(&self.x)?, part(&self.y)?].concat(),
        };
        if curve.algorithm == Algorithm::Ed25519 && has_small_order(&key) {
            return Err(Unusable::Numbers);
        }
        let parsed = ParsedPublicKey::new(curve.verifier, key).map_err(|_| Unusable::Numbers)?;
        Ok((curve.algorithm, parsed))
    }
}

/// An optional parameter that is empty says as much as one that is absent.
fn given(parameter: &Option<String>) -> Option<&str> {
    parameter.as_deref().filter(|value| !value.is_empty())
}

fn decode(encoded: &Option<String>) -> Result<Vec<u8>, Unusable> {
    let encoded = encoded.as_deref().unwrap_or_default();
    BASE64_URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| Unusable::Numbers)
}

fn exactly(bytes: usize, part: Vec<u8>) -> Result<Vec<u8>, Unusable> {
    match part.len() == bytes {
        true => Ok(part),
        false => Err(Unusable::Numbers),
    }
}

/// Whether an Ed25519 key is one of the eight points for which anybody can make signatures; also true if it is none.
fn has_small_order(point: &[u8]) -> bool {
    CompressedEdwardsY::from_slice(point)
        .ok()
        .and_then(|point| point.decompress())
        .is_none_or(|point| point.is_small_order())
}

#[cfg(test)]
mod tests;
