//! The query of a `GET` of RFC 6962: every one is answered 400, or with entries or a proof as the log has them; 404 is for a hash
//! that no entry has (C12). Each input is sent to every endpoint that takes parameters, with the hash of an entry for `LEAF`, because
//! that is another one in each run.
#![no_main]

use std::{
    num::NonZeroU32,
    sync::LazyLock,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ct_log::{
    Log, LogKey, Origin, PendingEntry, Submitter, Tile, TileKind, chain::Policy, http::Submissions,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

const ROOT: &[u8] = include_bytes!("../certificates/root.der");

/// More than one data tile.
const SIZE: u64 = 300;
const TILE: usize = 256;

/// Hashes of the longest proof of a log so small.
const LONGEST: usize = 10;

/// Bytes of an answer: a data tile of entries that are as small as these.
const LARGEST: usize = 64 * 1024;

type Check = fn(&Value);

/// Those that take parameters, and what must be true of their answers.
const ENDPOINTS: [(&str, Check); 4] = [
    ("get-entries", check_entries),
    ("get-sth-consistency", check_consistency),
    ("get-proof-by-hash", check_proof),
    ("get-entry-and-proof", check_entry_and_proof),
];

struct Served {
    runtime: Runtime,
    routes: Router,
    /// In base64, as in a URL.
    leaf: String,
}

#[expect(clippy::unwrap_used, reason = "does not depend on the input")]
static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let origin = Origin::new("log.example/fuzz").unwrap();
    let log = Log::in_memory(origin, LogKey::generate().unwrap()).unwrap();
    runtime.block_on(grow(&log));
    let leaf = runtime.block_on(leaf(&log));
    let submissions = Submissions::limited(
        Policy::new([ROOT]).unwrap(),
        NonZeroU32::MAX,
        Duration::from_secs(1),
    );
    let served = Served {
        runtime,
        routes: ct_log::http::router(log, submissions),
        leaf,
    };
    served.wait_for_index();
    served
});

#[expect(clippy::unwrap_used, reason = "does not depend on the input")]
async fn grow(log: &Log) {
    for number in 0..SIZE {
        let issuers = log.store_issuers(&[b"issuer"]).unwrap();
        let entry = PendingEntry::certificate(number.to_be_bytes().to_vec(), issuers);
        log.submit(entry, Submitter::Internal).await.unwrap();
    }
    while log.statistics().published.size() < SIZE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The hash of the last entry of the first tile.
#[expect(clippy::unwrap_used, reason = "does not depend on the input")]
async fn leaf(log: &Log) -> String {
    let tile = Tile::full(TileKind::Hashes { level: 0 }, 0).unwrap();
    let hashes = log.read_tile(tile).await.unwrap().unwrap();
    let last = hashes.last_chunk::<32>().unwrap();
    STANDARD.encode(last).replace('+', "%2B")
}

impl Served {
    /// Until it is there, a hash that is not found is answered 503.
    fn wait_for_index(&self) {
        let unknown = format!("hash={}&tree_size={SIZE}", STANDARD.encode([7; 32]));
        let began = Instant::now();
        while self.get("get-proof-by-hash", &unknown).map(|answer| answer.0) != Some(StatusCode::NOT_FOUND) {
            assert!(began.elapsed() < Duration::from_secs(20), "there is no index");
        }
    }

    /// Nothing if that cannot be part of a request.
    fn get(&self, endpoint: &str, query: &str) -> Option<(StatusCode, Value)> {
        let request = Request::get(format!("/ct/v1/{endpoint}?{query}"));
        let request = request.body(Body::empty()).ok()?;
        let Ok(answer) = self.runtime.block_on(self.routes.clone().oneshot(request));
        let status = answer.status();
        let body = self.runtime.block_on(to_bytes(answer.into_body(), LARGEST));
        let json = serde_json::from_slice(&body.unwrap_or_default());
        let json = json.unwrap_or_else(|error| unreachable!("{status}: {error}"));
        Some((status, json))
    }
}

fuzz_target!(|query: &str| {
    let query = &query.replace("LEAF", &SERVED.leaf);
    for (endpoint, check) in ENDPOINTS {
        let Some((status, answer)) = SERVED.get(endpoint, query) else {
            return;
        };
        match status {
            StatusCode::OK => check(&answer),
            StatusCode::NOT_FOUND if endpoint == "get-proof-by-hash" => check_refusal(&answer),
            StatusCode::BAD_REQUEST => check_refusal(&answer),
            status => unreachable!("{endpoint}: {status} {answer}"),
        }
    }
});

fn check_refusal(answer: &Value) {
    assert!(answer["error_message"].is_string());
}

fn check_entries(answer: &Value) {
    let entries = list(&answer["entries"]);
    assert!((1..=TILE).contains(&entries.len()));
    entries.iter().for_each(check_entry);
}

fn check_consistency(answer: &Value) {
    check_hashes(&answer["consistency"]);
}

fn check_proof(answer: &Value) {
    assert!(answer["leaf_index"].as_u64().is_some_and(|index| index < SIZE));
    check_hashes(&answer["audit_path"]);
}

fn check_entry_and_proof(answer: &Value) {
    check_entry(answer);
    check_hashes(&answer["audit_path"]);
}

fn check_entry(entry: &Value) {
    assert!(!decode(&entry["leaf_input"]).is_empty());
    assert!(!decode(&entry["extra_data"]).is_empty());
}

fn check_hashes(hashes: &Value) {
    let hashes = list(hashes);
    assert!(hashes.len() <= LONGEST);
    assert!(hashes.iter().all(|hash| decode(hash).len() == 32));
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn decode(value: &Value) -> Vec<u8> {
    let text = value.as_str().map(|text| STANDARD.decode(text));
    text.and_then(Result::ok).unwrap_or_default()
}
