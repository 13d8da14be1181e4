//! A key management service that follows a script, where a real one cannot be made to fail. It speaks as a [`Tongue`] says.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair},
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{FoundKey, Limits, RemoteKey};
use crate::{
    causes::in_one_line,
    key::{SigningKey, SoftwareKey},
    telemetry::KeyMetrics,
};

/// The only message that it signs, since software keys take no digests.
pub(crate) const MESSAGE: &[u8] = b"to be signed";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    /// Null if there is none.
    pub(crate) body: Value,
}

/// How one service says things.
pub(crate) trait Tongue: Send + Sync + 'static {
    fn wants_signature(&self, asked: &Asked) -> bool;
    fn public_half(&self, asked: &Asked, key: &SoftwareKey) -> Value;
    /// `signature` is DER.
    fn signed(&self, asked: &Asked, key: &SoftwareKey, signature: &[u8]) -> Value;
    /// The answer to a request that lacks credentials.
    fn challenge(&self, _: &Asked) -> Option<Response> {
        None
    }
    fn refusal(&self, status: u16, code: &str, message: &str) -> Value;
}

/// What it does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    SignOther,
    Garble,
    Hang,
    Refuse(u16, &'static str, &'static str),
    Body(u16, String),
}

struct Service {
    tongue: Box<dyn Tongue>,
    key: SoftwareKey,
    other: SoftwareKey,
    script: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Asked>>,
}

pub(crate) struct FakeService {
    service: Arc<Service>,
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl FakeService {
    pub(crate) async fn start(tongue: impl Tongue) -> Self {
        Self::with_key(tongue, new_p256()).await
    }

    pub(crate) async fn with_key(tongue: impl Tongue, key: SoftwareKey) -> Self {
        let service = Arc::new(Service {
            tongue: Box::new(tongue),
            key,
            other: new_p256(),
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
    pub(crate) fn then(&self, act: Act) {
        self.service.script.lock().unwrap().push_back(act);
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.service.asked.lock().unwrap().clone()
    }

    /// Signatures that were asked for.
    pub(crate) fn asked(&self) -> usize {
        let wants_signature = |asked: &&Asked| self.service.tongue.wants_signature(asked);
        self.requests().iter().filter(wants_signature).count()
    }

    /// What may pass is tried once more, and then the key has signed.
    pub(crate) async fn assert_asked_again_after(&self, act: Act, key: &RemoteKey) {
        self.then(act.clone());
        key.sign(MESSAGE).await.unwrap();
        assert_eq!(self.asked(), 2, "{act:?}");
    }

    /// A refusal is not repeated, and the operator is told the service's words.
    pub(crate) async fn assert_told_once(&self, refusal: Act, key: &RemoteKey, said: &str) -> String {
        self.then(refusal);
        let error = in_one_line(&key.sign(MESSAGE).await.unwrap_err());
        assert!(error.contains(said), "{error}");
        assert_eq!(self.asked(), 1);
        error
    }

    /// Where it was.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.server.abort();
        let _ = self.server.await;
        self.address
    }
}

async fn answer(State(service): State<Arc<Service>>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let body = serde_json::from_str(&body).unwrap_or_default();
    let asked = Asked { headers, uri, body };
    if let Some(challenge) = service.tongue.challenge(&asked) {
        return challenge;
    }
    service.asked.lock().unwrap().push(asked.clone());
    let act = service.script.lock().unwrap().pop_front();
    let Service {
        tongue, key, other, ..
    } = &*service;
    let status = |code| StatusCode::from_u16(code).unwrap();
    let answer = match act {
        Some(Act::Hang) => std::future::pending().await,
        Some(Act::Refuse(code, kind, message)) => {
            return (status(code), Json(tongue.refusal(code, kind, message))).into_response();
        }
        Some(Act::Body(code, body)) => {
            return (status(code), [("content-type", "application/json")], body).into_response();
        }
        Some(Act::Garble) => tongue.signed(&asked, key, &other.sign(b"another message").await.unwrap()),
        Some(Act::SignOther) => tongue.signed(&asked, key, &other.sign(MESSAGE).await.unwrap()),
        None if tongue.wants_signature(&asked) => {
            tongue.signed(&asked, key, &key.sign(MESSAGE).await.unwrap())
        }
        None => tongue.public_half(&asked, key),
    };
    Json(answer).into_response()
}

pub(crate) fn new_p256() -> SoftwareKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    SoftwareKey::from_pkcs8_der(pkcs8.unwrap().as_ref()).unwrap()
}

pub(crate) fn new_p384() -> SoftwareKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &SystemRandom::new());
    SoftwareKey::from_pkcs8_der(pkcs8.unwrap().as_ref()).unwrap()
}

pub(crate) fn new_rsa() -> SoftwareKey {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der},
        rsa::{KeyPair, KeySize},
    };
    let pkcs8 = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pkcs8).unwrap();
    SoftwareKey::from_pkcs8_der(pkcs8.as_ref()).unwrap()
}

/// With less patience than in production.
pub(crate) fn under_discipline(found: FoundKey) -> RemoteKey {
    let limits = Limits {
        attempt: Duration::from_millis(500),
        ..Limits::default()
    };
    let metrics = KeyMetrics::new().unwrap().of("ca", found.signer.backend());
    RemoteKey::new(found, limits, metrics).unwrap()
}

/// What every service may do and be asked again for: with `code` and status 503, and the rest by themselves.
pub(crate) fn passing(code: &'static str) -> [Act; 7] {
    [
        Act::Refuse(503, code, "later"),
        Act::Body(502, "<html>Bad Gateway</html>".to_owned()),
        Act::Body(200, "not JSON".to_owned()),
        Act::Body(200, "{}".to_owned()),
        Act::Hang,
        Act::SignOther,
        Act::Garble,
    ]
}
