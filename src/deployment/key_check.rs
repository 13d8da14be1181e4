//! Checks keys before a server needs them.

use super::{DeploymentError, load_issuer};
use crate::{config::Settings, key::KeySettings, log::embedded::ShardSettings, telemetry::KeyMetrics};

/// Unlocks the CA's key, wherever it is, and has it sign: whether it is the key of the chain, and `mayfly serve` could use it.
///
/// # Errors
/// What stands in the way.
pub async fn check_key(settings: &Settings, metrics: &KeyMetrics) -> Result<(), DeploymentError> {
    load_issuer(settings.ca(), metrics).await?;
    Ok(())
}

/// Unlocks the key of a shard of the log if that is in a file, and whether it could write the log in its directory. `None` if
/// there is no such file: the key is elsewhere, or is made with the log.
#[must_use]
pub fn check_log_key(shard: &ShardSettings) -> Option<(&KeySettings, Result<(), DeploymentError>)> {
    let (key, checked) = shard.check_key_file()?;
    let checked = checked.map_err(|source| DeploymentError::Log {
        origin: shard.origin.clone(),
        source,
    });
    Some((key, checked))
}
