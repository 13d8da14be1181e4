//! A log that answers as a test wants it. What it signs is put together here, byte by byte from RFC 6962 section 3.2, not
//! with the code under test.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{
        StatusCode,
        header::{LOCATION, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ct_log::{
    Entry,
    chain::{Endpoint, Policy},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::Shared;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Honest,
    /// As logs of RFC 6962 do it.
    NoExtensions,
    GarbageExtensions,
    TwoLeafIndices,
    WrongKey,
    OtherLogId,
    AnotherCertificate,
    Old,
    Future,
    Version2,
    OtherAlgorithm,
    Huge,
    Redirect,
    Hang,
    Drip,
    SentAway(&'static str),
    NotJson,
    Html,
    Nothing,
    Status(u16),
}

pub(crate) enum Key {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

pub(crate) struct FakeLog {
    url: String,
    state: Arc<FakeState>,
    server: JoinHandle<()>,
}

struct FakeState {
    key: Key,
    mood: Shared<Mood>,
    asked: AtomicUsize,
    accepted: AtomicUsize,
}

impl Key {
    pub(crate) fn p256() -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn spki_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ecdsa(key) => key.public_key().as_der().unwrap(),
            Self::Rsa(key) => key.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    /// `DigitallySigned` (RFC 5246 section 4.7).
    fn digitally_signed(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let (algorithm, signature) = match self {
            Self::Ecdsa(key) => (3, key.sign(&random, message).unwrap().as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                (1, signature)
            }
        };
        let length = u16::try_from(signature.len()).unwrap().to_be_bytes();
        [&[4, algorithm], &length[..], &signature].concat()
    }
}

impl FakeLog {
    pub(crate) async fn start(mood: Mood) -> Self {
        Self::start_with(Key::p256(), mood).await
    }

    pub(crate) async fn start_with(key: Key, mood: Mood) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/2027/", listener.local_addr().unwrap());
        let state = Arc::new(FakeState {
            key,
            mood: Arc::new(mood.into()),
            asked: AtomicUsize::default(),
            accepted: AtomicUsize::default(),
        });
        let routes = Router::new()
            .route("/2027/ct/v1/add-pre-chain", post(add_pre_chain))
            .route("/elsewhere", post(elsewhere))
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, state, server }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn spki_der(&self) -> Vec<u8> {
        self.state.key.spki_der()
    }

    pub(crate) fn log_id(&self) -> Vec<u8> {
        sha256(&self.spki_der())
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// How often anything was submitted.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

impl Drop for FakeLog {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// If redirects were followed, the SCT from here would be as good as any.
async fn elsewhere(State(log): State<Arc<FakeState>>, body: Bytes) -> Response {
    log.answer(&body, Mood::Honest)
}

async fn add_pre_chain(State(log): State<Arc<FakeState>>, body: Bytes) -> Response {
    log.asked.fetch_add(1, Ordering::SeqCst);
    let mood = *log.mood.lock().unwrap();
    match mood {
        Mood::Hang => std::future::pending().await,
        Mood::Drip => {
            let drip = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
            });
            Body::from_stream(drip).into_response()
        }
        Mood::Huge => vec![b' '; 64 * 1024 + 1].into_response(),
        Mood::Redirect => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/elsewhere")]).into_response(),
        Mood::SentAway(when) => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, when)]).into_response(),
        Mood::NotJson => "{\"sct_version\":0,".into_response(),
        Mood::Html => "<html>it works</html>".into_response(),
        Mood::Nothing => "".into_response(),
        Mood::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        honest_in_form => log.answer(&body, honest_in_form),
    }
}

impl FakeState {
    fn answer(&self, body: &[u8], mood: Mood) -> Response {
        let index = self.accepted.fetch_add(1, Ordering::SeqCst);
        let mut entry = entry(body);
        if mood == Mood::AnotherCertificate
            && let Entry::Precertificate { tbs, .. } = &mut entry
        {
            *tbs.last_mut().unwrap() ^= 1;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let time = match mood {
            Mood::Old => now - Duration::from_secs(90),
            Mood::Future => now + Duration::from_secs(90),
            _ => now,
        };
        let time = u64::try_from(time.as_millis()).unwrap();
        let [_, _, _, leaf_index @ ..] = u64::try_from(index).unwrap().to_be_bytes();
        let leaf_index = [&[0, 0, 5][..], &leaf_index].concat();
        let extensions = match mood {
            Mood::NoExtensions => Vec::new(),
            Mood::GarbageExtensions => b"garbage!".to_vec(),
            Mood::TwoLeafIndices => leaf_index.repeat(2),
            _ => leaf_index,
        };
        let signed = signed_bytes(&entry, time, &extensions);
        let signature = match mood {
            Mood::WrongKey => Key::p256().digitally_signed(&signed),
            _ => self.key.digitally_signed(&signed),
        };
        let mut sct = json!({
            "sct_version": 0, "id": STANDARD.encode(sha256(&self.key.spki_der())), "timestamp": time,
            "extensions": STANDARD.encode(extensions), "signature": STANDARD.encode(&signature),
        });
        match mood {
            Mood::OtherLogId => sct["id"] = STANDARD.encode([7; 32]).into(),
            Mood::Version2 => sct["sct_version"] = 1.into(),
            Mood::OtherAlgorithm => {
                sct["signature"] = STANDARD.encode([&[5], &signature[1..]].concat()).into();
            }
            _ => {}
        }
        Json(sct).into_response()
    }
}

/// What a log makes of a submission: the chain must lead to its last certificate.
fn entry(body: &[u8]) -> Entry {
    let request: Value = serde_json::from_slice(body).unwrap();
    let chain = request["chain"].as_array().unwrap().iter();
    let chain: Vec<Vec<u8>> = chain
        .map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(chain.len(), 3, "the precertificate, its issuer, and the root");
    let policy = Policy::new(chain[1..].iter().map(Vec::as_slice)).unwrap();
    policy.accept(&chain, Endpoint::AddPreChain).unwrap().into_entry()
}

/// `digitally-signed struct` of RFC 6962 section 3.2.
fn signed_bytes(entry: &Entry, time: u64, extensions: &[u8]) -> Vec<u8> {
    let Entry::Precertificate {
        issuer_key_hash, tbs, ..
    } = entry
    else {
        panic!("not a precertificate")
    };
    let [_, tbs_length @ ..] = u32::try_from(tbs.len()).unwrap().to_be_bytes();
    let extensions_length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    [
        &[0, 0],
        &time.to_be_bytes()[..],
        &[0, 1],
        issuer_key_hash,
        &tbs_length,
        tbs,
        &extensions_length,
        extensions,
    ]
    .concat()
}
