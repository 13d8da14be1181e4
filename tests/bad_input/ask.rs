//! A request for a certificate, and how it is put to each interface.

use base64::{Engine, prelude::BASE64_STANDARD};
use der::{Decode, Encode};
use mayfly::server::proto::{
    CreateSigningCertificateRequest, Credentials, PublicKey, PublicKeyRequest,
    create_signing_certificate_request, credentials::Credentials::OidcIdentityToken,
};
use prost::Message;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use x509_cert::request::CertReq;

use crate::{frame::framed, instance::Holder};

/// Whose signature good proofs are over.
pub(crate) const ALICE: &str = "alice@example.com";

/// In the claims of every token of these tests.
pub(crate) const CLAIM_CANARY: &str = "canary-in-a-claim-5d1f";
/// In bodies that are no requests.
pub(crate) const BODY_CANARY: &str = "canary-in-a-body-c08e";

/// Parts of a token or key that are shorter may be a word of any message.
const LEAST_SECRET: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    JsonV2,
    JsonV1,
    Grpc,
}

impl Interface {
    pub(crate) const ALL: [Self; 3] = [Self::JsonV2, Self::JsonV1, Self::Grpc];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::JsonV2 => "/api/v2/signingCert",
            Self::JsonV1 => "/api/v1/signingCert",
            Self::Grpc => "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate",
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::JsonV2 | Self::JsonV1 => "application/json",
            Self::Grpc => "application/grpc",
        })
    }
}

/// What is asked, in no interface's terms.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) token: Option<String>,
    pub(crate) key: Key,
}

#[derive(Clone)]
pub(crate) enum Key {
    Challenge { public_key: String, proof: Vec<u8> },
    Request(Vec<u8>),
}

impl Key {
    /// A new key, proved as it should be.
    pub(crate) fn good() -> Self {
        let holder = Holder::new();
        Self::Challenge {
            public_key: holder.public_key_pem(),
            proof: holder.sign(ALICE),
        }
    }

    /// DER SubjectPublicKeyInfo of a good one.
    pub(crate) fn spki(&self) -> Vec<u8> {
        match self {
            Self::Challenge { public_key, .. } => pem::parse(public_key).unwrap().into_contents(),
            Self::Request(request) => {
                let request = CertReq::from_der(pem::parse(request).unwrap().contents()).unwrap();
                request.info.public_key.to_der().unwrap()
            }
        }
    }

    /// Of its lines, in case it is a private key in PEM, and of its base64.
    fn secrets(&self) -> Vec<String> {
        let parts = match self {
            Self::Challenge { public_key, proof } => vec![public_key.as_bytes(), proof],
            Self::Request(request) => vec![&request[..]],
        };
        let mut secrets = Vec::new();
        for part in parts {
            let text = String::from_utf8_lossy(part);
            secrets.extend(text.lines().flat_map(ends));
            secrets.extend(ends(&BASE64_STANDARD.encode(part)));
        }
        secrets
    }
}

impl Ask {
    pub(crate) fn new(token: impl Into<String>, key: Key) -> Self {
        Self {
            token: Some(token.into()),
            key,
        }
    }

    /// What nobody may see again: payload and signature, and the key.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let parts = self
            .token
            .iter()
            .flat_map(|token| token.split('.').skip(1).take(4));
        parts.flat_map(ends).chain(self.key.secrets()).collect()
    }

    /// `None` if the interface has no way to carry the token: v1 has it in a header.
    pub(crate) fn over(&self, interface: Interface) -> Option<Sent> {
        let sent = match interface {
            Interface::JsonV2 => Sent::new(interface, self.json_v2().to_string()),
            Interface::JsonV1 => Sent::new(interface, self.json_v1().to_string()),
            Interface::Grpc => Sent::new(interface, framed(&self.message().encode_to_vec())),
        };
        match (&self.token, interface) {
            (Some(token), Interface::JsonV1) => sent.bearer(token),
            _ => Some(sent),
        }
    }

    fn json_v2(&self) -> Value {
        let mut body = match &self.key {
            Key::Challenge { public_key, proof } => json!({"publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": public_key},
                "proofOfPossession": BASE64_STANDARD.encode(proof),
            }}),
            Key::Request(request) => json!({"certificateSigningRequest": BASE64_STANDARD.encode(request)}),
        };
        if let Some(token) = &self.token {
            body["credentials"] = json!({"oidcIdentityToken": token});
        }
        body
    }

    fn json_v1(&self) -> Value {
        match &self.key {
            Key::Challenge { public_key, proof } => json!({
                "publicKey": {"algorithm": "ecdsa", "content": BASE64_STANDARD.encode(public_key)},
                "signedEmailAddress": BASE64_STANDARD.encode(proof),
            }),
            Key::Request(request) => json!({"certificateSigningRequest": BASE64_STANDARD.encode(request)}),
        }
    }

    pub(crate) fn message(&self) -> CreateSigningCertificateRequest {
        use create_signing_certificate_request::Key as Wire;
        CreateSigningCertificateRequest {
            credentials: self.token.clone().map(|token| Credentials {
                credentials: Some(OidcIdentityToken(token)),
            }),
            key: Some(match &self.key {
                Key::Challenge { public_key, proof } => Wire::PublicKeyRequest(PublicKeyRequest {
                    public_key: Some(PublicKey {
                        algorithm: 0,
                        content: public_key.clone(),
                    }),
                    proof_of_possession: proof.clone(),
                }),
                Key::Request(request) => Wire::CertificateSigningRequest(request.clone()),
            }),
        }
    }
}

/// Both ends of a secret, so that a message that cuts it short tells it too; nothing of a short one.
fn ends(secret: &str) -> Vec<String> {
    if secret.len() < LEAST_SECRET || !secret.is_ascii() {
        return Vec::new();
    }
    let (start, end) = (&secret[..LEAST_SECRET], &secret[secret.len() - LEAST_SECRET..]);
    vec![start.to_owned(), end.to_owned()]
}

/// One HTTP request, right or wrong.
pub(crate) struct Sent {
    pub(crate) interface: Interface,
    pub(crate) headers: HeaderMap,
    pub(crate) body: reqwest::Body,
}

impl Sent {
    pub(crate) fn new(interface: Interface, body: impl Into<reqwest::Body>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, interface.content_type())]);
        Self {
            interface,
            headers,
            body: body.into(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// `None` if it does not fit into a header, whose values are visible ASCII.
    pub(crate) fn bearer(mut self, token: &str) -> Option<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.to_str().ok()?;
        self.headers.insert(AUTHORIZATION, value);
        Some(self)
    }
}
