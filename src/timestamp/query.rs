//! What is asked for: RFC 3161's request, or the JSON that sigstore's timestamp authority takes instead.

use std::fmt::Display;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use const_oid::db::rfc5912;
use der::{
    Decode, Tag, Tagged,
    asn1::{Int, ObjectIdentifier, OctetString},
};
use num_bigint::BigInt;
use serde::Deserialize;
use serde_json::value::RawValue;
use spki::AlgorithmIdentifierOwned;

use super::rfc3161::{FailureInfo, MessageImprint, TimeStampReq, VERSION};

/// Largest request in bytes, in either form: usual ones have less than 200.
pub const LARGEST_QUERY: usize = 4096;

/// The hash algorithms that are accepted, with sigstore's name, and their digests' lengths in bytes.
const ALGORITHMS: [(&str, ObjectIdentifier, usize); 3] = [
    ("sha256", rfc5912::ID_SHA_256, 32),
    ("sha384", rfc5912::ID_SHA_384, 48),
    ("sha512", rfc5912::ID_SHA_512, 64),
];

/// A request whose parts are in order; whether its policy is the authority's, the authority says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub(super) imprint: MessageImprint,
    pub(super) policy: Option<ObjectIdentifier>,
    pub(super) nonce: Option<Int>,
    pub(super) wants_certificates: bool,
}

/// Field names of sigstore's `JSONRequest`; unknown ones are ignored, null is absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonQuery<'a> {
    artifact_hash: Option<String>,
    hash_algorithm: Option<String>,
    certificates: Option<bool>,
    /// A whole number of any size, which no number type of JSON libraries holds.
    #[serde(borrow)]
    nonce: Option<&'a RawValue>,
    #[serde(rename = "tsaPolicyOID")]
    policy: Option<String>,
}

impl Query {
    /// Reads a TimeStampReq (RFC 3161 2.4.1), DER.
    ///
    /// # Errors
    /// What the request must have otherwise.
    pub fn from_der(der: &[u8]) -> Result<Self, QueryError> {
        let request = TimeStampReq::from_der(der).map_err(QueryError::format)?;
        if request.version.as_bytes() != [VERSION] {
            return Err(QueryError::Version);
        }
        check_digest(&request.message_imprint)?;
        if request.extensions.is_some() {
            return Err(QueryError::Extension);
        }
        Ok(Self {
            imprint: request.message_imprint,
            policy: request.req_policy,
            nonce: request.nonce,
            wants_certificates: request.cert_req,
        })
    }

    /// Reads the JSON form: `artifactHash` (Base64, padded), `hashAlgorithm` (such as `sha256`), and optionally `nonce` (a whole
    /// number), `certificates` (true or false) and `tsaPolicyOID`.
    ///
    /// # Errors
    /// What the request must have otherwise.
    pub fn from_json(json: &[u8]) -> Result<Self, QueryError> {
        let query: JsonQuery<'_> = serde_json::from_slice(json).map_err(QueryError::format)?;
        let digest = STANDARD
            .decode(query.artifact_hash.unwrap_or_default())
            .map_err(|error| QueryError::format(format_args!("artifactHash: {error}")))?;
        let imprint = MessageImprint {
            hash_algorithm: algorithm(&query.hash_algorithm.unwrap_or_default())?,
            hashed_message: OctetString::new(digest).map_err(QueryError::format)?,
        };
        check_digest(&imprint)?;
        Ok(Self {
            imprint,
            policy: query.policy.as_deref().and_then(policy).transpose()?,
            nonce: query.nonce.map(nonce).transpose()?,
            wants_certificates: query.certificates.unwrap_or_default(),
        })
    }
}

/// By sigstore's name, in any case, without parameters (RFC 5754 2).
fn algorithm(name: &str) -> Result<AlgorithmIdentifierOwned, QueryError> {
    let known = ALGORITHMS
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(name));
    let (_, oid, _) = known.ok_or(QueryError::Algorithm)?;
    Ok(AlgorithmIdentifierOwned {
        oid: *oid,
        parameters: None,
    })
}

/// Empty is absent, as in sigstore's authority.
fn policy(dotted: &str) -> Option<Result<ObjectIdentifier, QueryError>> {
    let policy = (!dotted.is_empty()).then(|| ObjectIdentifier::new(dotted))?;
    Some(policy.map_err(|error| QueryError::format(format_args!("tsaPolicyOID: {error}"))))
}

fn nonce(number: &RawValue) -> Result<Int, QueryError> {
    let not_whole = |error: &dyn Display| QueryError::format(format_args!("nonce: {error}"));
    let number: BigInt = number.get().parse().map_err(|error| not_whole(&error))?;
    Int::new(&number.to_signed_bytes_be()).map_err(|error| not_whole(&error))
}

/// The algorithm is known, its parameters are absent or NULL (RFC 5754 2), and the digest has its length.
fn check_digest(imprint: &MessageImprint) -> Result<(), QueryError> {
    let algorithm = &imprint.hash_algorithm;
    let known = ALGORITHMS.iter().find(|(_, oid, _)| *oid == algorithm.oid);
    let (_, _, length) = known.ok_or(QueryError::Algorithm)?;
    let parameters = algorithm.parameters.as_ref();
    if parameters.is_some_and(|parameters| parameters.tag() != Tag::Null) {
        return Err(QueryError::Algorithm);
    }
    match imprint.hashed_message.as_bytes().len() == *length {
        true => Ok(()),
        false => Err(QueryError::DigestLength),
    }
}

/// Why a request is refused; each with its own code in the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Neither DER of a TimeStampReq nor the JSON.
    #[error("it cannot be read: {0}")]
    Format(String),
    /// A version other than 1.
    #[error("its version is not 1")]
    Version,
    /// Another hash algorithm.
    #[error("its hash algorithm is not one of SHA-256, SHA-384 and SHA-512")]
    Algorithm,
    /// Not as long as digests of that algorithm are.
    #[error("its digest is not as long as its hash algorithm makes them")]
    DigestLength,
    /// An extension, critical or not.
    #[error("it has an extension, and none is supported")]
    Extension,
    /// Another policy than this authority's.
    #[error("it asks for a policy that is not this authority's")]
    Policy,
}

impl QueryError {
    /// The words of a parser, some of which repeat what they read as it was.
    fn format(problem: impl Display) -> Self {
        Self::Format(problem.to_string().replace(char::is_control, "?"))
    }

    /// The code in an answer.
    #[must_use]
    pub const fn failure(&self) -> FailureInfo {
        match self {
            Self::Format(_) | Self::DigestLength => FailureInfo::BadDataFormat,
            Self::Version => FailureInfo::BadRequest,
            Self::Algorithm => FailureInfo::BadAlgorithm,
            Self::Extension => FailureInfo::UnacceptedExtension,
            Self::Policy => FailureInfo::UnacceptedPolicy,
        }
    }

    /// Stable and machine-readable, for clients and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Format(_) => "timestamp_query_malformed",
            Self::Version => "timestamp_version_unsupported",
            Self::Algorithm => "timestamp_algorithm_unsupported",
            Self::DigestLength => "timestamp_digest_length",
            Self::Extension => "timestamp_extension_unsupported",
            Self::Policy => "timestamp_policy_unsupported",
        }
    }
}

#[cfg(test)]
mod tests;
