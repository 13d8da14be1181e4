//! Requests that are refused, at a steady rate, from a thread of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use mayfly::{
    clock::Timestamp,
    dev::{CLIENT_ID, Repository},
    token::{self, RawToken},
    trusted_issuer::TrustedIssuers,
};
use serde_json::{Value, json};
use tokio::{task::LocalSet, time};

use super::Beside;
use crate::cli::{
    bench::{load, target::Target},
    failure::Failure,
};

/// Connections of the strangers; each waits for its answers, so that a server that hangs holds up no more than these.
const CONNECTIONS: u32 = 32;

/// Requests a second, all together.
const RATE: u32 = 500;

/// How long tokens last that nobody verifies.
const LIFETIME: u64 = 600;

/// The strangers; they stop when this is dropped.
pub(super) struct Strangers {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Strangers {
    /// Starts them, if `beside` has any.
    pub(super) fn start(
        beside: Beside,
        target: &Target,
        troublemaker: Option<String>,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        if beside == Beside::Issuers {
            return Ok(Self { stop, thread: None });
        }
        let claims = match troublemaker {
            Some(iss) => {
                let now = now.unix_seconds();
                json!({"iss": iss, "aud": CLIENT_ID, "sub": "stranger", "iat": now, "exp": now.saturating_add(LIFETIME)})
            }
            None => {
                let repository: Repository = "octo-org/octo-repo".parse()?;
                let token = target.minter()?.github(&repository, CLIENT_ID, now)?;
                token::unverified_claims(&RawToken::new(token), &TrustedIssuers::new(Vec::new()))?.into()
            }
        };
        let authority = load::authority(target)?.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let local = LocalSet::new();
            for connection in 0..CONNECTIONS {
                let (authority, claims, stopped) = (authority.clone(), claims.clone(), Arc::clone(&stopped));
                local.spawn_local(async move {
                    ask_steadily(&authority, &claims, &stopped, connection).await;
                });
            }
            runtime.block_on(local);
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

async fn ask_steadily(authority: &str, claims: &Value, stop: &AtomicBool, connection: u32) {
    let mut pace = time::interval(Duration::from_secs(1) * CONNECTIONS / RATE);
    pace.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut open = None;
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        number = number.wrapping_add(1);
        let token = unsigned(claims, &format!("made-up-{connection}-{number}"));
        if let Ok(request) = load::request_with_token(authority, &token) {
            // Refusals are what is expected; a lost connection is made anew.
            let _refused = load::ask(authority, &mut open, request).await;
        }
    }
}

/// A token that nobody has signed.
fn unsigned(claims: &Value, key_id: &str) -> String {
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key_id}).to_string();
    let (header, claims) = (encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
    format!("{header}.{claims}.{}", encode(&[0x5a; 256]))
}
