//! A Transit engine with one key, by the documentation of its HTTP interface.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use der::pem::LineEnding;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{MESSAGE, TRIAL};
use crate::key::{SigningKey, SoftwareKey};

pub(super) const TOKEN: &str = "hvs.not-to-be-seen";

/// What it does with one request for a signature.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    SignOther,
    Answer(u16, &'static str),
    /// 429, and for how long.
    Throttle(&'static str),
    Redirect,
    Huge,
    Hang,
}

struct Vault {
    keys: [SoftwareKey; 2],
    script: Mutex<VecDeque<Act>>,
    token: Mutex<String>,
    versions: Mutex<Vec<u64>>,
    led_astray: Mutex<bool>,
}

pub(super) struct Fake {
    vault: Arc<Vault>,
    address: String,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let vault = Arc::new(Vault {
            keys: [new_key(), new_key()],
            script: Mutex::default(),
            token: Mutex::new(TOKEN.to_owned()),
            versions: Mutex::default(),
            led_astray: Mutex::default(),
        });
        let routes = Router::new()
            .route("/v1/transit/keys/{name}", get(key))
            .route("/v1/transit/sign/ca", post(sign))
            .route("/astray", any(astray))
            .with_state(Arc::clone(&vault));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        Self { vault, address }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What it does next, before it signs again.
    pub(super) fn then(&self, acts: &[Act]) {
        *self.vault.script.lock().unwrap() = acts.iter().copied().collect();
    }

    pub(super) fn change_token(&self, token: &str) {
        token.clone_into(&mut self.vault.token.lock().unwrap());
    }

    /// How often it was asked to sign, with the right token.
    pub(super) fn asked(&self) -> usize {
        self.vault.versions.lock().unwrap().len()
    }

    pub(super) fn last_version(&self) -> u64 {
        *self.vault.versions.lock().unwrap().last().unwrap()
    }

    pub(super) fn was_led_astray(&self) -> bool {
        *self.vault.led_astray.lock().unwrap()
    }
}

fn new_key() -> SoftwareKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    SoftwareKey::from_pkcs8_der(pkcs8.unwrap().as_ref()).unwrap()
}

impl Vault {
    fn refuses(&self, headers: &HeaderMap) -> Option<Response> {
        assert_eq!(headers.get("x-vault-request").unwrap(), "true");
        let allowed = headers.get("x-vault-token").unwrap() == self.token.lock().unwrap().as_str();
        let denied = || {
            (
                StatusCode::FORBIDDEN,
                Json(json!({"errors": ["permission denied"]})),
            )
        };
        (!allowed).then(|| denied().into_response())
    }

    async fn signed(&self, version: u64, request: &Value, key: &SoftwareKey) -> Response {
        let digest = BASE64_STANDARD
            .decode(request["input"].as_str().unwrap())
            .unwrap();
        let is_of = |message: &&[u8]| key.algorithm().digest(message).as_ref() == digest;
        let message = [TRIAL, MESSAGE].into_iter().find(is_of).unwrap();
        let signature = BASE64_STANDARD.encode(key.sign(message).await.unwrap());
        let signature = format!("vault:v{version}:{signature}");
        Json(json!({"data": {"key_version": version, "signature": signature}})).into_response()
    }
}

async fn key(State(vault): State<Arc<Vault>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refusal) = vault.refuses(&headers) {
        return refusal;
    }
    let public_key =
        |key: &SoftwareKey| der::pem::encode_string("PUBLIC KEY", LineEnding::LF, key.spki_der());
    let [first, second] = &vault.keys;
    let keys = match name.as_str() {
        "ca" => json!({
            "1": {"public_key": public_key(first).unwrap()},
            "2": {"public_key": public_key(second).unwrap()},
        }),
        "ed25519" => json!({"2": {"public_key": "Xv2UzzYLthMaWXMWxhZn5CWRqU2DjhF0LPPTyrW2k0k="}}),
        _ => return (StatusCode::NOT_FOUND, Json(json!({"errors": []}))).into_response(),
    };
    Json(json!({"data": {"latest_version": 2, "keys": keys}})).into_response()
}

async fn sign(State(vault): State<Arc<Vault>>, headers: HeaderMap, Json(request): Json<Value>) -> Response {
    if let Some(refusal) = vault.refuses(&headers) {
        return refusal;
    }
    let version = request["key_version"].as_u64().unwrap();
    assert_eq!(
        (
            &request["prehashed"],
            &request["hash_algorithm"],
            &request["marshaling_algorithm"]
        ),
        (&json!(true), &json!("sha2-256"), &json!("asn1"))
    );
    vault.versions.lock().unwrap().push(version);
    let [first, second] = &vault.keys;
    let (key, other) = if version == 1 {
        (first, second)
    } else {
        (second, first)
    };
    let act = vault.script.lock().unwrap().pop_front();
    match act {
        None => vault.signed(version, &request, key).await,
        Some(Act::SignOther) => vault.signed(version, &request, other).await,
        Some(Act::Answer(status, body)) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        Some(Act::Throttle(after)) => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", after)]).into_response()
        }
        Some(Act::Redirect) => (StatusCode::TEMPORARY_REDIRECT, [("location", "/astray")]).into_response(),
        Some(Act::Huge) => vec![b' '; 16 * 1024 * 1024].into_response(),
        Some(Act::Hang) => std::future::pending().await,
    }
}

async fn astray(State(vault): State<Arc<Vault>>) -> StatusCode {
    *vault.led_astray.lock().unwrap() = true;
    StatusCode::OK
}
