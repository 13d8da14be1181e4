//! `log.v3.json`: the log's entry for a log list, in the members of the public log list schema, version 3.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::DateTime;
use serde::Serialize;

use super::{DYNAMIC, Service, headers};
use crate::{Checkpoint, LogPublicKey, Origin, Window};

/// Maximum merge delay in seconds: an SCT's entry is in a published checkpoint by then. Sunlight promises
/// the same; the publisher needs a fraction of a second.
const MAXIMUM_MERGE_DELAY: u32 = 60;

#[derive(Serialize)]
struct LogInfo {
    description: String,
    log_id: String,
    key: String,
    mmd: u32,
    log_spec: &'static str,
    tls_only: bool,
    submission_url: String,
    monitoring_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporal_interval: Option<TemporalInterval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<LogState>,
}

/// Nothing is said of a log that takes entries: whether its SCTs count is for the log list to say.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum LogState {
    ReadOnly {
        timestamp: String,
        final_tree_head: TreeHead,
    },
}

#[derive(Serialize)]
struct TreeHead {
    sha256_root_hash: String,
    tree_size: u64,
}

#[derive(Serialize)]
struct TemporalInterval {
    start_inclusive: String,
    end_exclusive: String,
}

pub(super) async fn log_info(State(service): State<Service>) -> impl IntoResponse {
    let (origin, key) = (service.log.origin(), service.log.public_key());
    let info = LogInfo {
        temporal_interval: service.temporal_interval(),
        state: service.state(),
        ..LogInfo::new(origin, key)
    };
    (headers("application/json", DYNAMIC), Json(info))
}

/// What can be said of a log that is not running.
#[cfg(feature = "tools")]
pub(crate) fn log_info_of(origin: &Origin, key: &LogPublicKey) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(&LogInfo::new(origin, key))
}

impl LogInfo {
    fn new(origin: &Origin, key: &LogPublicKey) -> Self {
        // The origin is the submission prefix without its scheme (C2SP static-ct-api).
        let url = format!("https://{origin}/");
        Self {
            description: origin.to_string(),
            log_id: STANDARD.encode(key.log_id().as_bytes()),
            key: STANDARD.encode(key.spki_der()),
            mmd: MAXIMUM_MERGE_DELAY,
            log_spec: "static-ct-api",
            tls_only: true,
            submission_url: url.clone(),
            monitoring_url: url,
            temporal_interval: None,
            state: None,
        }
    }
}

impl Service {
    fn temporal_interval(&self) -> Option<TemporalInterval> {
        let window = self.log.window()?;
        Some(TemporalInterval {
            start_inclusive: written(window.start())?,
            end_exclusive: written(window.end())?,
        })
    }

    /// Read-only since its window closed, or since its last tree head if that is older.
    fn state(&self) -> Option<LogState> {
        let last = self.log.final_checkpoint()?;
        let signed = UNIX_EPOCH.checked_add(Duration::from_millis(last.timestamp().get()))?;
        let closed = self.log.window().map(Window::closes_at);
        Some(LogState::ReadOnly {
            timestamp: written(closed.into_iter().fold(signed, SystemTime::min))?,
            final_tree_head: TreeHead::from(&last),
        })
    }
}

impl From<&Checkpoint> for TreeHead {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            sha256_root_hash: STANDARD.encode(checkpoint.root().as_bytes()),
            tree_size: checkpoint.size(),
        }
    }
}

/// RFC 3339, whole seconds.
fn written(time: SystemTime) -> Option<String> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    let time = DateTime::from_unix_duration(Duration::from_secs(since.as_secs())).ok()?;
    Some(time.to_string())
}
