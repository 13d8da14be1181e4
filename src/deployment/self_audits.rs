//! An auditor for each shard of the embedded log, also for those that come later.

use std::sync::Arc;

use ct_log::{Log, remote::RemoteError};
use tokio::task::JoinSet;

use crate::{
    issue::Authority,
    log::{
        Shards,
        self_audit::{self, OwnListener, SelfAudit},
    },
    telemetry::Metrics,
};

/// The auditors of one authority's log. They end when this is dropped.
pub struct SelfAudits {
    authority: Arc<Authority>,
    settings: SelfAudit,
    own: OwnListener,
    metrics: Arc<Metrics>,
    /// The origins of the shards that have one.
    audited: Vec<String>,
    running: JoinSet<()>,
}

impl SelfAudits {
    /// From now on the shards remember what they give SCTs for, and it is looked up.
    ///
    /// # Errors
    /// The configured URL is not one at which a log can be read.
    pub fn start(
        authority: Arc<Authority>,
        settings: SelfAudit,
        own: OwnListener,
        metrics: Arc<Metrics>,
    ) -> Result<Self, RemoteError> {
        let mut audits = Self {
            authority,
            settings,
            own,
            metrics,
            audited: Vec::new(),
            running: JoinSet::new(),
        };
        audits.audit_all()?;
        Ok(audits)
    }

    /// Starts one for each shard that has none yet, whenever there are new ones; ends only by being dropped.
    pub async fn follow(mut self) {
        let mut successions = self.authority.successions();
        while successions.changed().await.is_ok() {
            if let Err(error) = self.audit_all() {
                tracing::error!(%error, "a new shard of the log is not looked up");
            }
        }
    }

    fn audit_all(&mut self) -> Result<(), RemoteError> {
        let shards = self.authority.log().embedded();
        for log in shards.iter().flat_map(Shards::iter) {
            if !self.audited.iter().any(|origin| origin == log.origin().as_str()) {
                self.audit(log)?;
            }
        }
        Ok(())
    }

    fn audit(&mut self, log: &Log) -> Result<(), RemoteError> {
        let auditor = self.settings.auditor(log, self.own)?;
        let metrics = Arc::clone(&self.metrics);
        self.running
            .spawn(self_audit::run(auditor, self.settings.interval, metrics));
        self.audited.push(log.origin().to_string());
        Ok(())
    }
}
