//! `log.v3.json`: the log's entry for a log list, in the members of the public log list schema, version 3.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::DateTime;
use serde::Serialize;

use super::{DYNAMIC, Service, headers};

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
}

#[derive(Serialize)]
struct TemporalInterval {
    start_inclusive: String,
    end_exclusive: String,
}

pub(super) async fn log_info(State(service): State<Service>) -> impl IntoResponse {
    let (origin, key) = (service.log.origin(), service.log.public_key());
    // The origin is the submission prefix without its scheme (C2SP static-ct-api).
    let url = format!("https://{origin}/");
    let info = LogInfo {
        description: origin.to_string(),
        log_id: STANDARD.encode(key.log_id().as_bytes()),
        key: STANDARD.encode(key.spki_der()),
        mmd: MAXIMUM_MERGE_DELAY,
        log_spec: "static-ct-api",
        tls_only: true,
        submission_url: url.clone(),
        monitoring_url: url,
        temporal_interval: service.temporal_interval(),
    };
    (headers("application/json", DYNAMIC), Json(info))
}

impl Service {
    fn temporal_interval(&self) -> Option<TemporalInterval> {
        let window = self.policy.window()?;
        let time = |time| DateTime::from_system_time(time).ok().map(|time| time.to_string());
        Some(TemporalInterval {
            start_inclusive: time(window.start)?,
            end_exclusive: time(window.end)?,
        })
    }
}
