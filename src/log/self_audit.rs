//! The auditor of the embedded log in its own process: whatever got an SCT is looked up where the world reads the log.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ct_log::{
    Log,
    auditor::{Alarm, Auditor},
    remote::{OwnScheme, RemoteError, RemoteLog, TlsTrust},
};
use tokio::time::{self, MissedTickBehavior};
use url::Url;

use super::path_of;
use crate::telemetry::Metrics;

/// Alarms of one round that are written one by one; the rest are counted.
const MAX_LINES: usize = 10;

/// How what SCTs were given out for is looked up in the public log.
#[derive(Clone, Debug)]
pub struct SelfAudit {
    /// The URL of this server, as others reach it; its own listener if there is none.
    pub url: Option<Url>,
    /// The time between two looks.
    pub interval: Duration,
}

/// Where this process listens.
#[derive(Clone, Copy, Debug)]
pub struct OwnListener {
    /// With or without TLS.
    pub scheme: OwnScheme,
    /// The address and port.
    pub address: SocketAddr,
}

impl SelfAudit {
    /// The auditor of one log that this process serves. From now on the log remembers what SCTs it gives out.
    ///
    /// # Errors
    /// The URL is not one at which a log can be read.
    pub fn auditor(&self, log: &Log, own: OwnListener) -> Result<Auditor<RemoteLog>, RemoteError> {
        let path = path_of(log.origin().as_str());
        let source = match &self.url {
            Some(url) => {
                let url = format!("{}{path}", url.as_str().trim_end_matches('/'));
                RemoteLog::new(&url, TlsTrust::System)?
            }
            None => RemoteLog::own_listener(own.scheme, own.address, path)?,
        };
        Ok(Auditor::new(log.clone(), source))
    }
}

/// Looks up, once in each interval, what SCTs were given out for. An alarm is a log line and a metric; issuance goes on, since
/// to stop it would help nobody: the log itself stops if it fails to write.
pub async fn run(mut auditor: Auditor<RemoteLog>, interval: Duration, metrics: Arc<Metrics>) {
    let mut ticks = time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is now, before there is anything to look up.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (round, alarms) = auditor.round().await;
        if round.ranged > 0 {
            tracing::warn!(
                entries = round.ranged,
                "too many SCTs waited for the self-audit: these entries were looked up, but not compared with their SCTs"
            );
        }
        report(&alarms);
        metrics.self_audited(auditor.log().origin().as_str(), &round, alarms.len());
    }
}

fn report(alarms: &[Alarm]) {
    for alarm in alarms.iter().take(MAX_LINES) {
        tracing::error!(%alarm, "the certificate log as published is not what SCTs were given out for");
    }
    if let Some(more) = alarms.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        tracing::error!(more, "further alarms of the self-audit");
    }
}
