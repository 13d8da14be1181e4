//! A log behind its router, without a socket.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::chain::Policy;
use ct_log::http::Submissions;
use ct_log::{Log, LogKey, Origin};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Pki, precertificate_params};

pub(crate) const ORIGIN: &str = "log.example/ct";
pub(crate) const ADD_CHAIN: &str = "/ct/v1/add-chain";
pub(crate) const ADD_PRE_CHAIN: &str = "/ct/v1/add-pre-chain";

pub(crate) struct Harness {
    pub(crate) pki: Pki,
    pub(crate) log: Log,
    pub(crate) router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

impl Harness {
    pub(crate) fn new() -> Harness {
        let pki = Pki::new();
        let log = Log::in_memory(Origin::new(ORIGIN).unwrap(), LogKey::generate().unwrap()).unwrap();
        let policy = Policy::new([pki.root.der().as_slice()]).unwrap();
        // Tests submit faster than an operator lets others.
        let submissions = Submissions::limited(policy, NonZeroU32::MAX, Duration::from_secs(1));
        Harness::over(pki, log, submissions)
    }

    pub(crate) fn over(pki: Pki, log: Log, submissions: impl Into<Submissions>) -> Harness {
        let router = ct_log::http::router(log.clone(), submissions);
        Harness { pki, log, router }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    pub(crate) async fn submit(&self, path: &str, chain: &[Vec<u8>]) -> Answer {
        self.post(path, body_of(chain)).await
    }

    /// Adds a new precertificate, and waits until a checkpoint covers it.
    pub(crate) async fn add(&self, serial: u64) -> Answer {
        let answer = self
            .submit(ADD_PRE_CHAIN, &self.pki.chain(&precertificate_params(serial)))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        answer
    }

    pub(crate) async fn publish(&self) -> u64 {
        let size = self.log.size();
        loop {
            let note = self.get("/checkpoint").await.body;
            let published: u64 = String::from_utf8(note)
                .unwrap()
                .lines()
                .nth(1)
                .unwrap()
                .parse()
                .unwrap();
            if published == size {
                return size;
            }
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn body_of(chain: &[Vec<u8>]) -> String {
    let chain: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    json!({ "chain": chain }).to_string()
}
