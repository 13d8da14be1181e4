//! The TUF repository that a configuration names: served, signed with its online key in time, and held against what is in force.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use serde_json::Value;
use tokio::{
    runtime::Handle,
    task,
    time::{self, Instant, MissedTickBehavior},
};

use super::{DeploymentError, LOOK_EVERY};
use crate::{
    causes,
    clock::{Clock, SystemClock},
    config::Settings,
    issue::Authority,
    server::tuf_routes,
    telemetry::{KeyMetrics, Metrics},
    trust::{
        TrustMaterial,
        tuf::{Published, Repository, Signer, Standing, TRUSTED_ROOT, TufError, public_folder},
    },
};

/// How long after a failure it is tried again; the timestamp is renewed so early that there is time for it.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// How often operators are reminded of what ends soon.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A TUF repository, and the key of its snapshot and timestamp if this server signs with it.
#[derive(Clone)]
pub struct TufService {
    folder: PathBuf,
    online: Option<Signer>,
}

/// What is published in the repository in this folder.
///
/// # Errors
/// If that cannot be read.
pub(super) fn published(folder: &Path) -> Result<Published, DeploymentError> {
    Published::read(folder).map_err(unusable(folder))
}

fn unusable(folder: &Path) -> impl Fn(TufError) -> DeploymentError + '_ {
    |source| DeploymentError::Tuf {
        folder: folder.to_owned(),
        source,
    }
}

impl TufService {
    /// Of a configuration, if it has one. Its key is one that signs the timestamp.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn open(settings: &Settings, metrics: &KeyMetrics) -> Result<Option<Self>, DeploymentError> {
        let Some(files) = settings.tuf() else {
            return Ok(None);
        };
        let mut service = Self {
            folder: files.directory().to_owned(),
            online: None,
        };
        let published = published(files.directory())?;
        if let Some(key) = files.key() {
            let key = key.open("tuf", metrics).await.map_err(DeploymentError::TufKey)?;
            service.online = Some(Signer::new(key).map_err(unusable(files.directory()))?);
        }
        service.check_key(&published)?;
        Ok(Some(service))
    }

    /// The key may have been replaced in the repository since.
    fn check_key(&self, published: &Published) -> Result<(), DeploymentError> {
        let Some(signer) = &self.online else {
            return Ok(());
        };
        let online = published.roles().map_err(unusable(&self.folder))?.online;
        match online.keys.contains(signer.public()) && online.threshold.get() == 1 {
            true => Ok(()),
            false => Err(DeploymentError::NotOnlineKey(self.folder.clone())),
        }
    }

    /// Serves what is public, as it is at each request.
    pub fn routes(&self) -> Router {
        tuf_routes(&public_folder(&self.folder))
    }

    /// Signs what is to be signed with the online key, and says in log and metrics how long each role still counts and whether
    /// clients are told of what is in force; ends only by being dropped.
    pub async fn follow(self, authority: Arc<Authority>, metrics: Arc<Metrics>) {
        let mut look = time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut reminded, mut failed): (Option<Instant>, Option<Instant>) = (None, None);
        loop {
            look.tick().await;
            if failed.is_some_and(|at| at.elapsed() < TRY_AGAIN_AFTER) {
                continue;
            }
            let signed = self.sign().await;
            let state = self.state(&authority);
            if let Ok(state) = &state {
                metrics.tuf_stands(&state.roles, state.unpublished);
                if reminded.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
                    reminded = Some(Instant::now());
                    state.remind();
                }
            }
            failed = signed.and(state.map(drop)).err().map(|error| {
                let (folder, cause) = (self.folder.display(), causes::in_one_line(&error));
                tracing::error!(%folder, cause, "the TUF repository is not kept current");
                Instant::now()
            });
        }
    }

    async fn sign(&self) -> Result<(), DeploymentError> {
        let Some(online) = self.online.clone().map(|signer| [signer]) else {
            return Ok(());
        };
        let service = self.clone();
        // Much of it waits for the disk.
        let signing = task::spawn_blocking(move || {
            service.check_key(&published(&service.folder)?)?;
            let attending = Repository::attend(&service.folder, &online, SystemClock.now());
            Handle::current()
                .block_on(attending)
                .map_err(unusable(&service.folder))
        });
        signing.await.map_err(|_| DeploymentError::Interrupted)?
    }

    fn state(&self, authority: &Authority) -> Result<State, DeploymentError> {
        let published = published(&self.folder)?;
        let told = published
            .target(&self.folder, TRUSTED_ROOT)
            .map_err(unusable(&self.folder))?;
        // Clients are told nothing by what is not JSON.
        let told = told
            .and_then(|file| serde_json::from_slice(&file).ok())
            .unwrap_or_default();
        let in_force = TrustMaterial::of(authority).trusted_root()?;
        let in_force = serde_json::to_value(in_force).unwrap_or_default();
        Ok(State {
            roles: published.standing(),
            unpublished: keys_in(&in_force).difference(&keys_in(&told)).count(),
        })
    }
}

/// How a repository stands.
struct State {
    roles: [Standing; 4],
    /// How many certificates and keys that are in force are not in the trusted root that clients get.
    unpublished: usize,
}

impl State {
    fn remind(&self) {
        let now = SystemClock.now();
        for warning in self.roles.iter().filter_map(|role| role.warning(now)) {
            tracing::warn!("{warning}");
        }
        if self.unpublished > 0 {
            tracing::warn!(
                "clients that take from TUF what they trust are not told of {} certificates or keys that are in force, and \
                 refuse what depends on them: run `mayfly trust export` and `mayfly trust tuf publish`",
                self.unpublished
            );
        }
    }
}

/// All certificates and public keys in a trusted root, base64.
fn keys_in(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Array(values) => values.iter().flat_map(keys_in).collect(),
        Value::Object(fields) => {
            let own = fields.get("rawBytes").and_then(Value::as_str);
            fields.values().flat_map(keys_in).chain(own).collect()
        }
        _ => BTreeSet::new(),
    }
}
