//! A service that speaks as AWS KMS does, and follows a script where a real one cannot be made to fail.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::key::{SigningKey, SoftwareKey};

/// The only message that it signs, since software keys take no digests.
pub(super) const MESSAGE: &[u8] = b"to be signed";
pub(super) const ARN: &str = "arn:aws:kms:eu-west-2:111122223333:key/1234abcd";

/// What it does with one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    SignOther,
    Garble,
    Hang,
    Refuse(u16, &'static str, &'static str),
    Body(u16, &'static str),
}

struct Service {
    key: SoftwareKey,
    other: SoftwareKey,
    script: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<String>>,
}

pub(super) struct FakeKms {
    service: Arc<Service>,
    pub(super) address: SocketAddr,
    server: JoinHandle<()>,
}

impl FakeKms {
    pub(super) async fn start() -> Self {
        let service = Arc::new(Service {
            key: new_key(),
            other: new_key(),
            script: Mutex::default(),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&service));
        let server = tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        Self {
            service,
            address,
            server,
        }
    }

    /// What it does next, before it works again.
    pub(super) fn then<const N: usize>(&self, acts: [Act; N]) {
        self.service.script.lock().unwrap().extend(acts);
    }

    /// The keys that were asked for, the first when it was found.
    pub(super) fn asked_for(&self) -> Vec<String> {
        self.service.asked.lock().unwrap().clone()
    }

    /// Signatures that were asked for.
    pub(super) fn asked(&self) -> usize {
        self.asked_for().len() - 1
    }

    /// Where it was.
    pub(super) async fn stop(self) -> SocketAddr {
        self.server.abort();
        let _ = self.server.await;
        self.address
    }
}

fn new_key() -> SoftwareKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    SoftwareKey::from_pkcs8_der(pkcs8.unwrap().as_ref()).unwrap()
}

async fn answer(State(service): State<Arc<Service>>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let asked_for = request["KeyId"].as_str().unwrap().to_owned();
    service.asked.lock().unwrap().push(asked_for);
    let act = service.script.lock().unwrap().pop_front();
    let status = |code| StatusCode::from_u16(code).unwrap();
    match act {
        Some(Act::Hang) => std::future::pending().await,
        Some(Act::Refuse(code, kind, message)) => {
            (status(code), Json(json!({"__type": kind, "message": message}))).into_response()
        }
        Some(Act::Body(code, body)) => (status(code), body).into_response(),
        Some(Act::Garble) => signed(&request, &[0; 70]),
        Some(Act::SignOther) => signed(&request, &service.other.sign(MESSAGE).await.unwrap()),
        None if headers["x-amz-target"] == "TrentService.GetPublicKey" => Json(json!({
            "KeyId": ARN,
            "KeySpec": "ECC_NIST_P256",
            "KeyUsage": "SIGN_VERIFY",
            "PublicKey": BASE64_STANDARD.encode(service.key.spki_der()),
            "SigningAlgorithms": ["ECDSA_SHA_256"],
        }))
        .into_response(),
        None => signed(&request, &service.key.sign(MESSAGE).await.unwrap()),
    }
}

fn signed(request: &Value, signature: &[u8]) -> Response {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, MESSAGE);
    assert_eq!(request["Message"], BASE64_STANDARD.encode(digest));
    assert_eq!(request["MessageType"], "DIGEST");
    assert_eq!(request["SigningAlgorithm"], "ECDSA_SHA_256");
    let signature = BASE64_STANDARD.encode(signature);
    Json(json!({"KeyId": ARN, "Signature": signature, "SigningAlgorithm": "ECDSA_SHA_256"})).into_response()
}
