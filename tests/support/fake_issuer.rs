//! An OpenID provider on loopback, reduced to discovery and JWKS, that counts requests and misbehaves on demand; and
//! keys that sign tokens, well or badly.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses another part of this file"
)]

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Which of the two documents.
#[derive(Clone, Copy, Debug)]
pub enum Document {
    Discovery,
    Jwks,
}

/// What a document's requests are answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As a good provider does.
    Proper,
    /// The proper document under this status.
    Status(u16),
    RedirectTo(String),
    /// 200 with this body.
    Body(Vec<u8>),
    /// 200 with this body, said to be in this content coding.
    Encoded(&'static str, Vec<u8>),
    /// Never.
    Hang,
}

impl Answer {
    pub fn json(value: &Value) -> Self {
        Self::Body(value.to_string().into_bytes())
    }
}

/// The provider; it ends when dropped.
pub struct FakeIssuer {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    url: String,
    keys: Mutex<Vec<Value>>,
    cache_control: Mutex<Option<String>>,
    discovery: Mutex<Answer>,
    jwks: Mutex<Answer>,
    discovery_requests: AtomicUsize,
    jwks_requests: AtomicUsize,
    other_requests: AtomicUsize,
    authorizations: AtomicUsize,
    accepted_coding: Mutex<Option<String>>,
    requests: watch::Sender<usize>,
}

impl FakeIssuer {
    /// Serves on a free port of 127.0.0.1 and publishes `keys`.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        Self::start_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), keys)
    }

    /// Serves on that listener and publishes `keys`.
    pub fn start_on(listener: TcpListener, keys: &[&SigningKey]) -> Self {
        let shared = Arc::new(Shared {
            url: format!("http://{}", listener.local_addr().unwrap()),
            keys: Mutex::new(keys.iter().map(|key| key.jwk()).collect()),
            cache_control: Mutex::new(None),
            discovery: Mutex::new(Answer::Proper),
            jwks: Mutex::new(Answer::Proper),
            discovery_requests: AtomicUsize::new(0),
            jwks_requests: AtomicUsize::new(0),
            other_requests: AtomicUsize::new(0),
            authorizations: AtomicUsize::new(0),
            accepted_coding: Mutex::new(None),
            requests: watch::Sender::new(0),
        });
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route(
                "/{tenant}/.well-known/openid-configuration",
                get(tenant_discovery),
            )
            .route("/jwks", get(jwks))
            .route("/jwks-after/{redirects}", get(jwks_after))
            .fallback(other)
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { shared, server }
    }

    /// `iss`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Replaces the published keys.
    pub fn publish(&self, keys: &[&SigningKey]) {
        self.publish_jwks(keys.iter().map(|key| key.jwk()).collect());
    }

    /// Replaces the published keys by any JSON.
    pub fn publish_jwks(&self, keys: Vec<Value>) {
        *self.shared.keys.lock().unwrap() = keys;
    }

    /// `Cache-Control` of the JWKS.
    pub fn set_cache_control(&self, value: &str) {
        *self.shared.cache_control.lock().unwrap() = Some(value.to_owned());
    }

    pub fn answer(&self, document: Document, answer: Answer) {
        match document {
            Document::Discovery => *self.shared.discovery.lock().unwrap() = answer,
            Document::Jwks => *self.shared.jwks.lock().unwrap() = answer,
        }
    }

    pub fn discovery_requests(&self) -> usize {
        self.shared.discovery_requests.load(Ordering::SeqCst)
    }

    pub fn jwks_requests(&self) -> usize {
        self.shared.jwks_requests.load(Ordering::SeqCst)
    }

    /// Requests for a tenant's discovery document that carried credentials.
    pub fn authorizations(&self) -> usize {
        self.shared.authorizations.load(Ordering::SeqCst)
    }

    /// `Accept-Encoding` of the last request for the JWKS.
    pub fn accepted_coding(&self) -> Option<String> {
        self.shared.accepted_coding.lock().unwrap().clone()
    }

    /// All requests, also those for other paths.
    pub fn requests(&self) -> usize {
        self.discovery_requests() + self.jwks_requests() + self.shared.other_requests.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have arrived.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        requests.wait_for(|arrived| *arrived >= count).await.unwrap();
    }
}

impl Drop for FakeIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn count(&self, counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
        self.requests.send_modify(|count| *count += 1);
    }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    shared.count(&shared.discovery_requests);
    let answer = shared.discovery.lock().unwrap().clone();
    let url = &shared.url;
    let document =
        json!({"issuer": url, "jwks_uri": format!("{url}/jwks"), "response_types_supported": ["id_token"]});
    respond(answer, document.to_string().into_response()).await
}

/// Each path of one part is an issuer too, with the same keys.
async fn tenant_discovery(
    State(shared): State<Arc<Shared>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Response {
    shared.count(&shared.discovery_requests);
    if headers.contains_key(header::AUTHORIZATION) {
        shared.authorizations.fetch_add(1, Ordering::SeqCst);
    }
    let answer = shared.discovery.lock().unwrap().clone();
    let url = &shared.url;
    let document = json!({"issuer": format!("{url}/{tenant}"), "jwks_uri": format!("{url}/jwks")});
    respond(answer, document.to_string().into_response()).await
}

/// The JWKS after so many redirects on this host.
async fn jwks_after(
    State(shared): State<Arc<Shared>>,
    Path(redirects): Path<usize>,
    headers: HeaderMap,
) -> Response {
    match redirects.checked_sub(1) {
        None => jwks(State(shared), headers).await,
        Some(left) => (
            StatusCode::FOUND,
            [(header::LOCATION, format!("/jwks-after/{left}"))],
        )
            .into_response(),
    }
}

async fn jwks(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.count(&shared.jwks_requests);
    *shared.accepted_coding.lock().unwrap() = headers
        .get(header::ACCEPT_ENCODING)
        .map(|coding| coding.to_str().unwrap().to_owned());
    let answer = shared.jwks.lock().unwrap().clone();
    let keys = shared.keys.lock().unwrap().clone();
    let mut response = json!({"keys": keys}).to_string().into_response();
    if let Some(value) = &*shared.cache_control.lock().unwrap() {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, value.parse().unwrap());
    }
    respond(answer, response).await
}

async fn other(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.count(&shared.other_requests);
    StatusCode::NOT_FOUND
}

async fn respond(answer: Answer, proper: Response) -> Response {
    match answer {
        Answer::Proper => proper,
        Answer::Status(status) => (StatusCode::from_u16(status).unwrap(), proper).into_response(),
        Answer::RedirectTo(url) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
        Answer::Body(body) => body.into_response(),
        Answer::Encoded(coding, body) => ([(header::CONTENT_ENCODING, coding)], body).into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

/// A private key of an issuer, for one algorithm.
pub struct SigningKey {
    algorithm: &'static str,
    key_id: Option<&'static str>,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// A new key for `algorithm`, a JWS algorithm name (RFC 7518 section 3.1).
    pub fn generate(algorithm: &'static str, key_id: impl Into<Option<&'static str>>) -> Self {
        let pair = match algorithm {
            "ES256" => Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "ES384" => Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            "ES512" => Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap()),
            "EdDSA" | "Ed25519" => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        };
        Self {
            algorithm,
            key_id: key_id.into(),
            pair,
        }
    }

    /// As its issuer publishes it (RFC 7517).
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Ecdsa(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                let curve = match self.algorithm {
                    "ES256" => "P-256",
                    "ES384" => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())}),
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": encode(parts.n), "e": encode(parts.e)})
            }
        };
        jwk["alg"] = self.algorithm.into();
        jwk["use"] = "sig".into();
        if let Some(key_id) = self.key_id {
            jwk["kid"] = key_id.into();
        }
        jwk
    }

    /// The JOSE header that fits the key.
    pub fn header(&self) -> Value {
        let mut header = json!({"alg": self.algorithm, "typ": "JWT"});
        if let Some(key_id) = self.key_id {
            header["kid"] = key_id.into();
        }
        header
    }

    /// A token with the header that fits.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with_header(&self.header(), claims)
    }

    /// A token with any header.
    pub fn token_with_header(&self, header: &Value, claims: &Value) -> String {
        self.token_of_bytes(header.to_string(), claims.to_string())
    }

    /// A token of any bytes.
    pub fn token_of_bytes(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.token_of_parts(&encode(header), &encode(payload))
    }

    /// Any two parts, and a signature over them.
    pub fn token_of_parts(&self, header: &str, payload: &str) -> String {
        let input = format!("{header}.{payload}");
        let signature = self.sign(input.as_bytes());
        format!("{input}.{}", encode(signature))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(self.rsa_encoding(), &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    fn rsa_encoding(&self) -> &'static dyn RsaEncoding {
        match self.algorithm {
            "RS256" => &signature::RSA_PKCS1_SHA256,
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            "PS512" => &signature::RSA_PSS_SHA512,
            other => panic!("{other} is no RSA algorithm"),
        }
    }
}

/// base64url without padding (RFC 7515 section 2).
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
