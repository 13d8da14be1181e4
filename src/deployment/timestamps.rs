//! The timestamp authority that a configuration names.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time;

use super::{DeploymentError, read};
use crate::{
    clock::{Clock, SystemClock},
    config::{Settings, TimestampFiles},
    telemetry::{KeyMetrics, Metrics},
    timestamp::{
        TimestampAuthority, TimestampChain, TimestampSigner, WatchedClock,
        ntp::{self, Agreement, NtpServer, Verdict},
    },
};

/// Opens the timestamp authority of a configuration, if it has one. Its key has signed.
///
/// # Errors
/// What stands in the way.
pub async fn timestamp_authority(
    settings: &Settings,
    metrics: &KeyMetrics,
) -> Result<Option<Arc<TimestampAuthority>>, DeploymentError> {
    let Some(files) = settings.timestamp() else {
        return Ok(None);
    };
    let signer = load_signer(files, metrics).await?;
    let clock = WatchedClock::of_this_machine();
    let clock = match files.ntp().is_empty() {
        true => clock,
        false => clock.awaiting_confirmation(),
    };
    Ok(Some(Arc::new(TimestampAuthority::new(signer, clock))))
}

/// Who signs the time as it is configured. The key has signed.
pub(super) async fn load_signer(
    files: &TimestampFiles,
    metrics: &KeyMetrics,
) -> Result<TimestampSigner, DeploymentError> {
    let chain = load_chain(files.chain())?;
    let key = files.key().open("timestamp", metrics).await;
    let key = key.map_err(DeploymentError::TimestampKey)?;
    let signer = TimestampSigner::new(key, chain, files.policy()).await;
    signer.map_err(DeploymentError::Timestamp)
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

/// How often time servers are asked: NTP's own shortest interval (RFC 5905 section 7.2), and many times before a confirmation is
/// too old.
const ASK_EVERY: Duration = Duration::from_secs(64);

/// How often they are asked while the clock is not confirmed.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(8);

/// Has the servers confirm the authority's clock, from now on; ends only by being dropped.
pub async fn confirm_clock(
    authority: Arc<TimestampAuthority>,
    servers: Vec<NtpServer>,
    metrics: Arc<Metrics>,
) {
    let servers: Arc<[NtpServer]> = servers.into();
    let mut before = Vec::new();
    loop {
        let then = authority.clock().read();
        let asked = Arc::clone(&servers);
        // On its own: a clock of a year that the library cannot write makes it panic, and may be right again.
        let verdicts = tokio::spawn(async move { ntp::ask_all(&asked).await }).await;
        let verdicts = verdicts.unwrap_or_default();
        let confirmed = match Agreement::of(&verdicts) {
            Agreement::Right => authority.clock().confirm(then).is_ok(),
            Agreement::Wrong => {
                authority.clock().deny();
                false
            }
            // What they said before counts for a while.
            Agreement::None => false,
        };
        metrics.clock_confirmed(confirmed);
        if !are_like(&before, &verdicts) {
            report(confirmed, &verdicts);
        }
        before = verdicts;
        time::sleep(if confirmed { ASK_EVERY } else { ASK_AGAIN_AFTER }).await;
    }
}

fn are_like(before: &[(NtpServer, Verdict)], now: &[(NtpServer, Verdict)]) -> bool {
    let mut pairs = before.iter().zip(now);
    before.len() == now.len() && pairs.all(|((_, one), (_, other))| one.is_like(other))
}

fn report(confirmed: bool, verdicts: &[(NtpServer, Verdict)]) {
    for (server, verdict) in verdicts {
        match verdict {
            Verdict::Right(_) => tracing::info!(%server, %verdict, "time server"),
            Verdict::Wrong(_) | Verdict::None(_) => tracing::warn!(%server, %verdict, "time server"),
        }
    }
    match confirmed {
        true => tracing::info!("the clock of the timestamp authority is confirmed"),
        false => tracing::error!(
            "the time servers do not confirm the clock of the timestamp authority: soon, or already, it signs no time"
        ),
    }
}
