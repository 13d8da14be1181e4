//! The timestamp authority that a configuration names.

use std::{path::Path, sync::Arc};

use super::{DeploymentError, read};
use crate::{
    clock::{Clock, SystemClock},
    config::{Settings, TimestampFiles},
    telemetry::KeyMetrics,
    timestamp::{TimestampAuthority, TimestampChain, WatchedClock},
};

/// Opens the timestamp authority of a configuration, if it has one. Its key has signed.
///
/// # Errors
/// What stands in the way.
pub async fn timestamp_authority(
    settings: &Settings,
    metrics: &KeyMetrics,
) -> Result<Option<Arc<TimestampAuthority>>, DeploymentError> {
    match settings.timestamp() {
        Some(files) => Ok(Some(open(files, metrics).await?)),
        None => Ok(None),
    }
}

async fn open(
    files: &TimestampFiles,
    metrics: &KeyMetrics,
) -> Result<Arc<TimestampAuthority>, DeploymentError> {
    let chain = load_chain(files.chain())?;
    let key = files.key().open("timestamp", metrics).await;
    let key = key.map_err(DeploymentError::TimestampKey)?;
    let clock = WatchedClock::of_this_machine();
    let authority = TimestampAuthority::new(key, chain, files.policy(), clock).await;
    Ok(Arc::new(authority.map_err(DeploymentError::Timestamp)?))
}

/// As of now.
pub(super) fn load_chain(path: &Path) -> Result<TimestampChain, DeploymentError> {
    TimestampChain::from_pem(&read(path)?, SystemClock.now()).map_err(|source| {
        DeploymentError::TimestampChain {
            path: path.to_owned(),
            source,
        }
    })
}
