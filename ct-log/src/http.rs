//! The log over HTTP: all of RFC 6962 section 4, and reads by C2SP static-ct-api, both under one prefix.
//!
//! | path | answer |
//! |---|---|
//! | `POST ct/v1/add-chain`, `POST ct/v1/add-pre-chain` | an SCT, once the entry is durable; 410 once the log is read-only |
//! | `GET ct/v1/get-roots` | the accepted roots |
//! | `GET ct/v1/get-sth`, `get-sth-consistency`, `get-proof-by-hash`, `get-entries`, `get-entry-and-proof` | the same log as RFC 6962 has it |
//! | `GET checkpoint` | the newest signed tree head |
//! | `GET checkpoint/witnessed` | the newest one that a quorum of the log's witnesses cosigned |
//! | `GET tile/<L>/<N>[.p/<W>]`, `GET tile/data/<N>[.p/<W>]` | a tile inside the published size, else 404 |
//! | `GET issuer/<sha256>` | an issuer certificate |
//! | `GET log.v3.json` | what a log list says of this log |
//!
//! Whatever can change is `no-store`: caches that kept such answers have made logs contradict themselves.

mod entries;
mod error;
mod info;
mod proofs;
mod query;
mod room;
mod shared_tiles;
mod submissions;
mod submit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tower_http::compression::{CompressionLayer, CompressionLevel};

use crate::{Fingerprint, Log, Tile};
use error::HttpError;
#[cfg(feature = "tools")]
pub(crate) use info::log_info_of;
use room::Client;
use shared_tiles::SharedTiles;
pub use submissions::Submissions;

/// Largest request body in bytes. Four certificates of the largest sensible size fit; CT logs for web
/// certificates take 128 KiB (Sunlight) to 512 KiB (TesseraCT).
pub const MAX_BODY: usize = 64 * 1024;

const ROOTS: &str = "/ct/v1/get-roots";
const STH: &str = "/ct/v1/get-sth";
const STH_CONSISTENCY: &str = "/ct/v1/get-sth-consistency";
const PROOF: &str = "/ct/v1/get-proof-by-hash";
const ENTRY_AND_PROOF: &str = "/ct/v1/get-entry-and-proof";
const ENTRIES: &str = "/ct/v1/get-entries";
const CHECKPOINT: &str = "/checkpoint";
const WITNESSED_CHECKPOINT: &str = "/checkpoint/witnessed";
const TILE: &str = "/tile/{*path}";
const DATA_TILE: &str = "/tile/data/{*path}";
const ISSUER: &str = "/issuer/{fingerprint}";
const LOG_INFO: &str = "/log.v3.json";

/// The routes by which a log is read, below its prefix.
pub const READ_PATHS: [&str; 12] = [
    ROOTS,
    STH,
    STH_CONSISTENCY,
    PROOF,
    ENTRY_AND_PROOF,
    ENTRIES,
    CHECKPOINT,
    WITNESSED_CHECKPOINT,
    TILE,
    DATA_TILE,
    ISSUER,
    LOG_INFO,
];

/// For answers that never change: a week, as other static logs say.
const IMMUTABLE: &str = "public, max-age=604800, immutable";

/// For answers that change.
const DYNAMIC: &str = "no-store";

const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, DYNAMIC)];

/// Counted for a data tile before it is read; most are smaller.
const DATA_TILE_ROOM: usize = 256 * 1024;

/// Answers with many entries that are made at the same time: each takes several times its size while it is.
const MADE_AT_ONCE: usize = 16;

/// What the handlers share.
#[derive(Clone)]
struct Service {
    log: Log,
    submissions: Submissions,
    /// A place for each answer with many entries while it is made. No client is waited for meanwhile.
    making: Arc<Semaphore>,
    tiles: SharedTiles,
}

/// The routes of a log, relative to its prefix: nest the router under the path of the log's origin.
/// `submissions` says which are taken; a [`Policy`](crate::chain::Policy) will do.
pub fn router(log: Log, submissions: impl Into<Submissions>) -> Router {
    let submissions = submissions.into();
    Router::new()
        .route("/ct/v1/add-chain", post(submit::add_chain))
        .route("/ct/v1/add-pre-chain", post(submit::add_pre_chain))
        .route(ROOTS, get(submit::get_roots))
        .route(STH, get(proofs::get_sth))
        .route(STH_CONSISTENCY, get(proofs::get_sth_consistency))
        .route(PROOF, get(proofs::get_proof_by_hash))
        .route(ENTRY_AND_PROOF, get(entries::get_entry_and_proof))
        .route(CHECKPOINT, get(checkpoint))
        .route(WITNESSED_CHECKPOINT, get(witnessed_checkpoint))
        .route(TILE, get(tile))
        .merge(compressed())
        .method_not_allowed_fallback(async || HttpError::Method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Service {
            log,
            submissions,
            making: Arc::new(Semaphore::new(MADE_AT_ONCE)),
            tiles: SharedTiles::default(),
        })
}

/// What is worth compressing: entries above all (static-ct-api: "SHOULD be compressed"), for clients that say they take it.
/// Hashes do not get smaller, and chains little else than cost time.
fn compressed() -> Router<Service> {
    Router::new()
        .route(ENTRIES, get(entries::get_entries))
        .route(DATA_TILE, get(data_tile))
        .route(ISSUER, get(issuer))
        .route(LOG_INFO, get(info::log_info))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
}

fn headers(content_type: &'static str, caching: &'static str) -> [(HeaderName, &'static str); 2] {
    [(CONTENT_TYPE, content_type), (CACHE_CONTROL, caching)]
}

async fn checkpoint(State(service): State<Service>) -> impl IntoResponse {
    (
        headers("text/plain; charset=utf-8", DYNAMIC),
        service.log.checkpoint().to_string(),
    )
}

async fn witnessed_checkpoint(State(service): State<Service>) -> Result<impl IntoResponse, HttpError> {
    let note = service.log.witnessed_checkpoint().ok_or(HttpError::NotFound)?;
    Ok((headers("text/plain; charset=utf-8", DYNAMIC), note.to_string()))
}

/// As [`tile`], with room for it before it is read.
async fn data_tile(client: Client, state: State<Service>, uri: Uri) -> Result<Response, HttpError> {
    let room = client.reserve(DATA_TILE_ROOM).await?;
    room.hold(tile(state, uri).await)
}

/// The path is read from the request target as it was sent, so that no tile has a second spelling by
/// percent-encoding.
async fn tile(State(service): State<Service>, uri: Uri) -> Result<impl IntoResponse, HttpError> {
    let path = uri.path().strip_prefix('/').ok_or(HttpError::NotFound)?;
    let tile: Tile = path.parse().map_err(|_| HttpError::NotFound)?;
    let body = service.tiles.read(&service.log, tile).await?;
    let body = body.ok_or(HttpError::NotFound)?;
    Ok((headers("application/octet-stream", IMMUTABLE), body))
}

async fn issuer(State(service): State<Service>, uri: Uri) -> Result<impl IntoResponse, HttpError> {
    let name = uri.path().strip_prefix("/issuer/").ok_or(HttpError::NotFound)?;
    let fingerprint = parse_fingerprint(name).ok_or(HttpError::NotFound)?;
    let body = service
        .log
        .read_issuer(fingerprint)
        .await?
        .ok_or(HttpError::NotFound)?;
    Ok((headers("application/pkix-cert", IMMUTABLE), body))
}

/// Lower-case hexadecimal only: one certificate, one URL.
fn parse_fingerprint(name: &str) -> Option<Fingerprint> {
    let mut digest = [0; 32];
    hex::decode_to_slice(name, &mut digest).ok()?;
    let fingerprint = Fingerprint::new(digest);
    (fingerprint.to_string() == name).then_some(fingerprint)
}
