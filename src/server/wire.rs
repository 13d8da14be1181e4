//! Wire formats -> [`IssueRequest`]. Every way in ends here, so every rule about what clients may send stands once.
//!
//! The JSON is proto3 JSON as Fulcio's gateway reads it: camelCase or snake_case names, unknown
//! fields ignored, `null` is absent, bytes in either base64 alphabet, with or without padding and
//! line breaks. Named twice is refused.
//!
//! A JSON body may come with any `Content-Type` or none, as there (curl's own is that of forms). No
//! origin gains by that: all of them may ask (CORS), nothing but the token in the request says who
//! asks, and so there is nothing to forge.

use std::{fmt, marker::PhantomData};

use axum::http::{
    HeaderMap, HeaderName,
    header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, TE, USER_AGENT},
};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::ToSchema;

use super::{error::ApiError, proto};
use crate::{issue::IssueRequest, proof::KeyProof, token::RawToken};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_SAFE_BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
/// A field path longer than any of ours holds the caller's own text, which is not repeated.
const LONGEST_PATH: usize = 64;

/// Where Fulcio's gRPC server looks for a token that is not in the message.
const TOKEN_METADATA: HeaderName = HeaderName::from_static("oidcidentitytoken");

/// The headers that are read after the body: by us, and by the gRPC library.
const NEEDED: [HeaderName; 10] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    TE,
    USER_AGENT,
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-timeout"),
    TOKEN_METADATA,
];

/// Body of `POST /api/v2/signingCert`: `publicKeyRequest` or `certificateSigningRequest`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SigningRequest {
    /// Without it, the token is taken from `Authorization`.
    #[serde(default, deserialize_with = "optional_object")]
    credentials: Option<Credentials>,
    #[serde(default, alias = "public_key_request", deserialize_with = "optional_object")]
    public_key_request: Option<PublicKeyRequest>,
    /// A PKCS#10 request, PEM or DER, in base64. Only its key and signature count.
    #[serde(alias = "certificate_signing_request")]
    certificate_signing_request: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    /// An OpenID Connect ID token.
    #[serde(alias = "oidc_identity_token")]
    oidc_identity_token: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    #[serde(default, alias = "public_key", deserialize_with = "optional_object")]
    public_key: Option<PublicKey>,
    /// Signature over the value of the issuer's challenge claim, in base64.
    #[serde(alias = "proof_of_possession")]
    proof_of_possession: Option<String>,
}

/// The key says itself what it is: an `algorithm` beside it is ignored.
#[derive(Deserialize, ToSchema)]
struct PublicKey {
    /// v2: one PEM block. v1: the same, or DER, in base64.
    content: Option<String>,
}

/// Body of `POST /api/v1/signingCert`: `publicKey` with `signedEmailAddress`, or `certificateSigningRequest`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacySigningRequest {
    #[serde(default, alias = "public_key", deserialize_with = "optional_object")]
    public_key: Option<PublicKey>,
    /// Signature over the value of the issuer's challenge claim, in base64.
    #[serde(alias = "signed_email_address")]
    signed_email_address: Option<String>,
    /// A PKCS#10 request, PEM or DER, in base64. Only its key and signature count.
    #[serde(alias = "certificate_signing_request")]
    certificate_signing_request: Option<String>,
}

/// What every format comes down to; an empty field is an absent one, as in proto3.
struct Parts {
    token: Option<String>,
    public_key: Vec<u8>,
    proof: Vec<u8>,
    csr: Vec<u8>,
}

/// `POST /api/v2/signingCert`.
pub(super) fn parse_v2(headers: &HeaderMap, body: &[u8]) -> Result<IssueRequest, ApiError> {
    let request: SigningRequest = json(body)?;
    let (key, proof) = match request.public_key_request {
        Some(PublicKeyRequest {
            public_key,
            proof_of_possession,
        }) => (public_key, proof_of_possession),
        None => (None, None),
    };
    Parts {
        token: request.credentials.and_then(|given| given.oidc_identity_token),
        public_key: key.and_then(|key| key.content).unwrap_or_default().into_bytes(),
        proof: bytes(proof, "publicKeyRequest.proofOfPossession")?,
        csr: bytes(request.certificate_signing_request, "certificateSigningRequest")?,
    }
    .into_request(headers)
}

/// `POST /api/v1/signingCert`.
pub(super) fn parse_v1(headers: &HeaderMap, body: &[u8]) -> Result<IssueRequest, ApiError> {
    let request: LegacySigningRequest = json(body)?;
    Parts {
        token: None,
        public_key: bytes(
            request.public_key.and_then(|key| key.content),
            "publicKey.content",
        )?,
        proof: bytes(request.signed_email_address, "signedEmailAddress")?,
        csr: bytes(request.certificate_signing_request, "certificateSigningRequest")?,
    }
    .into_request(headers)
}

/// gRPC `CreateSigningCertificate`. The message cannot hold both a key and a request: the last one wins (proto3 oneof).
pub(super) fn parse_grpc(
    headers: &HeaderMap,
    request: proto::CreateSigningCertificateRequest,
) -> Result<IssueRequest, ApiError> {
    use proto::{create_signing_certificate_request::Key, credentials::Credentials};
    let token = request.credentials.and_then(|given| given.credentials);
    let token = token.map(|Credentials::OidcIdentityToken(token)| token);
    let in_metadata = || Some(headers.get(TOKEN_METADATA)?.to_str().ok()?.to_owned());
    let (public_key, proof, csr) = match request.key {
        Some(Key::PublicKeyRequest(key)) => {
            let content = key.public_key.map(|key| key.content).unwrap_or_default();
            (content.into_bytes(), key.proof_of_possession, Vec::new())
        }
        Some(Key::CertificateSigningRequest(csr)) => (Vec::new(), Vec::new(), csr),
        None => (Vec::new(), Vec::new(), Vec::new()),
    };
    Parts {
        token: token.filter(|token| is_given(token)).or_else(in_metadata),
        public_key,
        proof,
        csr,
    }
    .into_request(headers)
}

/// Of the headers, those that are read after the body; the first of each name.
pub(super) fn needed(headers: &HeaderMap) -> HeaderMap {
    let values = NEEDED.into_iter().filter_map(|name| {
        let value = headers.get(&name)?.clone();
        Some((name, value))
    });
    values.collect()
}

/// A compressed body never comes in.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => Err(ApiError::content_encoding()),
        _ => Ok(()),
    }
}

/// The media type without its parameters; empty if it cannot be read, nothing if there is none.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim())
}

impl Parts {
    fn into_request(self, headers: &HeaderMap) -> Result<IssueRequest, ApiError> {
        let token = self
            .token
            .filter(|token| is_given(token))
            .or_else(|| authorization(headers).map(str::to_owned))
            .ok_or_else(ApiError::token_missing)?;
        let given = (
            self.public_key.is_empty(),
            self.proof.is_empty(),
            self.csr.is_empty(),
        );
        let proof = match given {
            (true, true, false) => KeyProof::CertificateSigningRequest(self.csr),
            (false, false, true) => KeyProof::Challenge {
                public_key: self.public_key,
                signature: self.proof,
            },
            (false, true, true) => return Err(ApiError::proof_missing()),
            (true, _, true) => return Err(ApiError::key_missing()),
            (_, _, false) => return Err(ApiError::key_ambiguous()),
        };
        Ok(IssueRequest {
            token: RawToken::new(token),
            proof,
        })
    }
}

/// White space alone is no token.
fn is_given(token: &str) -> bool {
    !token.trim().is_empty()
}

/// The credentials of `Authorization: Bearer` (RFC 6750 section 2.1; the scheme in any case, RFC
/// 9110 section 11.1), or a token without a scheme, which Fulcio takes.
fn authorization(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let token = match value.split_once([' ', '\t']) {
        Some((scheme, token)) if is_bearer(scheme) => token.trim(),
        Some(_) => return None,
        None if is_bearer(value) => return None,
        None => value,
    };
    (!token.is_empty()).then_some(token)
}

fn is_bearer(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("bearer")
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let read: Result<Object<T>, _> = serde_json::from_slice(body);
    read.map(|object| object.0)
        .map_err(|error| explain::<T>(body, &error))
}

/// What stands in a JSON object: serde would also take an array of the members' values.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let object: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|object| object.0))
}

/// Says where the body is wrong, never what stands there: it may be a token.
fn explain<'a, T: Deserialize<'a>>(body: &'a [u8], error: &serde_json::Error) -> ApiError {
    let place = format!("at line {}, column {}", error.line(), error.column());
    if !error.is_data() {
        return ApiError::malformed(format_args!("not exactly one JSON document, {place}"));
    }
    let read: Result<Object<T>, _> =
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body));
    match read.err().map(|error| error.path().to_string()) {
        Some(path) if path.len() <= LONGEST_PATH => ApiError::malformed(format_args!(
            "`{path}` has the wrong type or is given twice, {place}"
        )),
        _ => ApiError::malformed(format_args!(
            "a field has the wrong type or is given twice, {place}"
        )),
    }
}

/// As Go's proto3 JSON reads bytes: either alphabet, padding or none, line breaks anywhere.
fn bytes(field: Option<String>, name: &str) -> Result<Vec<u8>, ApiError> {
    let mut text = field.unwrap_or_default();
    text.retain(|character| !matches!(character, '\r' | '\n'));
    let engine = match text.contains(['-', '_']) {
        true => URL_SAFE_BASE64,
        false => STANDARD_BASE64,
    };
    engine
        .decode(text.as_bytes())
        .map_err(|_| ApiError::malformed(format_args!("`{name}` is not base64")))
}
