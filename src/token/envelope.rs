//! The envelope: three base64url parts, a JSON header with an allowed algorithm, a JSON payload.
//!
//! Everything here is still unsigned. Of the header only `alg` and `kid` are used: `jku`, `x5u`, `jwk` and `x5c`
//! (RFC 7515 sections 4.1.2 to 4.1.6) would let a token bring its own key, so nothing reads them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    algorithm::Algorithm,
    error::{Quoted, TokenError},
    json,
    payload::Payload,
};

/// The longest token that is looked at, in bytes. Tokens of CI providers are about 2 KiB; Kubernetes and
/// directory tokens with many groups reach 16 KiB.
pub const MAX_TOKEN_BYTES: usize = 32 * 1024;

/// The longest key id; it is only ever compared with those that the issuer publishes.
pub(super) const MAX_KEY_ID_BYTES: usize = 256;

/// A compact JWS (RFC 7515 section 3.1), decoded; its signature is not yet checked.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    signing_input: &'a [u8],
    signature: Vec<u8>,
    payload: Payload,
}

impl<'a> Jws<'a> {
    /// White space round a token is no part of it, as in go-oidc.
    ///
    /// # Errors
    /// `Missing`, `Malformed` or `AlgorithmNotAllowed`.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let parts = Parts::split(token.trim())?;
        let header = decode_header(parts.header)?;
        let algorithm = algorithm(&header)?;
        let key_id = key_id(&header)?;
        refuse_extensions(&header)?;
        Ok(Self {
            algorithm,
            key_id,
            signing_input: parts.signing_input.as_bytes(),
            signature: decode(parts.signature, "its signature is not base64url without padding")?,
            payload: Payload::parse(&decode(
                parts.payload,
                "its payload is not base64url without padding",
            )?)?,
        })
    }

    /// `alg`: asymmetric, from the allow-list.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `kid`.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The bytes that the signature covers: header, dot, payload, as sent (RFC 7515 section 5.2).
    pub(super) fn signing_input(&self) -> &[u8] {
        self.signing_input
    }

    /// The signature's bytes; ECDSA as `r || s` (RFC 7518 section 3.4).
    pub(super) fn signature(&self) -> &Vec<u8> {
        &self.signature
    }

    /// The claims, unverified.
    pub(super) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The claims, for whoever verified the signature.
    pub(super) fn into_payload(self) -> Payload {
        self.payload
    }
}

struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signing_input: &'a str,
}

impl<'a> Parts<'a> {
    /// Looks at no more than four parts, however many dots there are (CVE-2025-66506).
    fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("it is longer than 32 KiB"));
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(NOT_THREE_PARTS)?;
        let (header, payload) = signing_input.split_once('.').ok_or(NOT_THREE_PARTS)?;
        if payload.contains('.') {
            return Err(NOT_THREE_PARTS);
        }
        Ok(Self {
            header,
            payload,
            signature,
            signing_input,
        })
    }
}

const NOT_THREE_PARTS: TokenError = TokenError::Malformed(
    "it is not three base64url parts with dots between them (an encrypted token, which has five, is not accepted)",
);

fn decode(part: &str, problem: &'static str) -> Result<Vec<u8>, TokenError> {
    match BASE64_URL_SAFE_NO_PAD.decode(part) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(TokenError::Malformed(problem)),
    }
}

fn decode_header(part: &str) -> Result<Map<String, Value>, TokenError> {
    const PROBLEM: &str = "its header is not one strict JSON object";
    json::parse_object(&decode(part, PROBLEM)?).map_err(|_| TokenError::Malformed(PROBLEM))
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, TokenError> {
    let Some(name) = header.get("alg").and_then(Value::as_str) else {
        return Err(TokenError::Malformed("its header has no alg string"));
    };
    Algorithm::named(name).ok_or_else(|| TokenError::AlgorithmNotAllowed {
        algorithm: Quoted::new(name),
    })
}

/// An empty `kid`, or `null`, names no key.
fn key_id(header: &Map<String, Value>) -> Result<Option<String>, TokenError> {
    match header.get("kid") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(kid)) if kid.is_empty() => Ok(None),
        Some(Value::String(kid)) if kid.len() <= MAX_KEY_ID_BYTES => Ok(Some(kid.clone())),
        Some(_) => Err(TokenError::Malformed(
            "its kid is not a string of at most 256 bytes",
        )),
    }
}

/// `crit` (RFC 7515 section 4.1.11) names extensions that must be understood, and none is; `b64` (RFC 7797) is one.
fn refuse_extensions(header: &Map<String, Value>) -> Result<(), TokenError> {
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(TokenError::Malformed(
            "its header demands a JWS extension (crit or b64)",
        ));
    }
    Ok(())
}
