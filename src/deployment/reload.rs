//! Keeps an authority's trust in step with its issuer file: on SIGHUP at once, otherwise soon after the file has changed.
//!
//! The file's content is what is compared, so that links, renames and the way in which Kubernetes replaces files all
//! look alike. A file that cannot be used is refused whole, and what was in force stays.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};

use super::{LOOK_EVERY, SETTLED_AFTER};
use crate::{
    config::{ConfigErrors, issuers},
    issue::Authority,
    telemetry::{Metrics, Reload},
    trusted_issuer::Changes,
};

/// Follows one issuer file.
pub struct IssuerFileFollower {
    path: Arc<PathBuf>,
    authority: Arc<Authority>,
    metrics: Arc<Metrics>,
    /// What was read last, whether it was taken or refused.
    seen: Content,
}

/// What a file holds, or why that is not known.
type Content = Result<String, ConfigErrors>;

impl IssuerFileFollower {
    /// Follows the file at `path`, of which `text` is in force already.
    #[must_use]
    pub fn new(path: PathBuf, text: String, authority: Arc<Authority>, metrics: Arc<Metrics>) -> Self {
        Self {
            seen: Ok(text),
            path: Arc::new(path),
            authority,
            metrics,
        }
    }

    /// Reads the file again whenever it has changed, and whenever `asked` changes; ends only by being dropped.
    pub async fn follow(mut self, mut asked: watch::Receiver<()>) {
        let mut look = time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Ok(()) = asked.changed() => {
                    tracing::info!(path = %self.path.display(), "asked to read the issuer file again");
                    self.seen = self.read().await;
                    self.apply().await;
                }
                _ = look.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let now = self.read().await;
        if now == self.seen {
            return;
        }
        time::sleep(SETTLED_AFTER).await;
        if self.read().await == now {
            self.seen = now;
            self.apply().await;
        }
    }

    async fn read(&self) -> Content {
        let path = Arc::clone(&self.path);
        let reading = tokio::task::spawn_blocking(move || issuers::read(&path));
        reading.await.unwrap_or_else(|_| self.seen.clone())
    }

    async fn apply(&self) {
        let (path, text, authority) = (
            Arc::clone(&self.path),
            self.seen.clone(),
            Arc::clone(&self.authority),
        );
        // Compiling a large file takes long enough to hold others up.
        let checked =
            tokio::task::spawn_blocking(move || issuers::parse(&path, &text?, authority.tokens().policy()));
        let checked = checked.await;
        let outcome = match checked {
            Ok(Ok(file)) => {
                for warning in &file.warnings {
                    tracing::warn!("{warning}");
                }
                self.authority
                    .trust(file.issuers)
                    .map_err(|error| vec![error.to_string()])
            }
            Ok(Err(errors)) => Err(errors.problems().iter().map(ToString::to_string).collect()),
            Err(_) => Err(vec!["reading it was interrupted".to_owned()]),
        };
        match outcome {
            Ok(changes) => {
                let Changes {
                    added,
                    removed,
                    altered,
                } = changes;
                self.metrics.reloaded(Reload::Applied);
                tracing::info!(?added, ?removed, ?altered, "the issuer file is in force");
            }
            Err(problems) => {
                self.metrics.reloaded(Reload::Refused);
                for problem in problems {
                    tracing::error!(problem, "the issuer file is refused, what was in force stays");
                }
            }
        }
    }
}
