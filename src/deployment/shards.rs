//! The shards of the embedded log as they are opened: with what is on record of them.

use ct_log::Log;

use super::{DeploymentError, Files};
use crate::{
    audit::given_out,
    log::{
        Shards,
        embedded::{EmbeddedLogSettings, PromiseSettings, ShardSettings},
    },
    telemetry::KeyMetrics,
};

impl Files {
    /// What the log promises, with what the audit record says that it gave out.
    pub(super) fn promise_of(&self, log: &EmbeddedLogSettings) -> Result<PromiseSettings, DeploymentError> {
        let given_out = given_out(&self.audit).map_err(|source| DeploymentError::Read {
            path: self.audit.clone(),
            source,
        })?;
        Ok(PromiseSettings {
            given_out,
            ..log.promise.clone()
        })
    }
}

/// Opens every shard of the embedded log.
pub(super) async fn open(
    settings: &EmbeddedLogSettings,
    promise: &PromiseSettings,
    metrics: &KeyMetrics,
) -> Result<Shards, DeploymentError> {
    let mut logs = Vec::new();
    for shard in &settings.shards {
        logs.push(open_one(shard, promise, metrics).await?);
    }
    Ok(Shards::new(logs)?)
}

pub(super) async fn open_one(
    shard: &ShardSettings,
    promise: &PromiseSettings,
    metrics: &KeyMetrics,
) -> Result<Log, DeploymentError> {
    let log = shard.open(promise, metrics).await;
    log.map_err(|source| DeploymentError::Log {
        origin: shard.origin.clone(),
        source,
    })
}
