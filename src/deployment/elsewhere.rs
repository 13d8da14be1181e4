//! What the settings say of logs and identity providers that are elsewhere.

use crate::{
    config::Settings,
    log::ExternalLogs,
    telemetry::ExternalLogMetrics,
    token::{FetchPolicy, LoopbackHttp},
};

/// The logs elsewhere that a configuration names, if it names any.
///
/// # Errors
/// Metrics that cannot be made.
pub fn external_logs(settings: &Settings) -> Result<Option<ExternalLogs>, prometheus::Error> {
    if settings.external_logs().is_empty() {
        return Ok(None);
    }
    Ok(Some(ExternalLogs {
        logs: settings.external_logs().to_vec(),
        embedding: settings.embedding(),
        metrics: ExternalLogMetrics::new()?,
    }))
}

/// Where an operator lets issuers' keys be fetched from: public addresses, and the private ones that are named.
#[must_use]
pub fn fetch_policy(settings: &Settings) -> FetchPolicy {
    let hosts = settings.private_identity_providers().iter().cloned();
    FetchPolicy::new(LoopbackHttp::Refused).with_private_hosts(hosts)
}
