//! Keeps what signs in step with `mayfly.yaml` and the files that its `ca` and its `timestamp` name: another CA or timestamp
//! authority, or another key of it, takes over without a restart, and so do new shards of the log and what clients are told to
//! trust. Anything else in the file takes effect at the next start.
//!
//! What cannot be used is refused whole, and what was in force stays: a key without its certificate yet, a file written by half,
//! a service that does not answer.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{self, MissedTickBehavior},
};

use super::{
    DeploymentError, Files, InForce, LOOK_EVERY, SETTLED_AFTER, load_issuer, open_shard,
    timestamps::load_signer,
};
use crate::{
    causes,
    config::{AlsoTrusted, ConfigErrors, Settings},
    key::{KeySettings, passphrase::PassphraseSource},
    log::Shards,
    telemetry::{KeyMetrics, Metrics, Reload},
    timestamp::{TimestampAuthority, TimestampSigner},
};

/// Follows one `mayfly.yaml`.
pub struct ConfigurationFollower {
    path: PathBuf,
    in_force: InForce,
    keys: KeyMetrics,
    metrics: Arc<Metrics>,
    /// The files of the configuration that was read last, with that itself.
    files: Vec<PathBuf>,
    /// How they looked then, whether they were taken or refused.
    seen: Vec<Option<Stamp>>,
}

/// What changes when a file is written or replaced, also through links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl ConfigurationFollower {
    /// Follows the file at `path`, from which `settings` were read, and by which `in_force` signs already.
    #[must_use]
    pub fn new(
        (path, settings): (PathBuf, &Settings),
        in_force: InForce,
        keys: KeyMetrics,
        metrics: Arc<Metrics>,
    ) -> Self {
        let files = files(&path, settings);
        let follower = Self {
            seen: stamps(&files),
            path,
            in_force,
            keys,
            metrics,
            files,
        };
        follower.tell_ends();
        follower
    }

    /// Reads the files again whenever one of them has changed, and whenever `asked` changes; ends only by being dropped.
    pub async fn follow(mut self, mut asked: watch::Receiver<()>) {
        let mut look = time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Ok(()) = asked.changed() => self.apply().await,
                _ = look.tick() => {
                    if self.has_changed().await {
                        self.apply().await;
                    }
                }
            }
        }
    }

    async fn has_changed(&self) -> bool {
        let now = stamps(&self.files);
        if now == self.seen {
            return false;
        }
        time::sleep(SETTLED_AFTER).await;
        stamps(&self.files) == now
    }

    async fn apply(&mut self) {
        self.seen = stamps(&self.files);
        match self.read_and_sign().await {
            Ok(()) => {
                self.metrics.configuration_reloaded(Reload::Applied);
                self.tell_ends();
                tracing::info!(
                    path = %self.path.display(),
                    "the CA, the timestamp authority and the shards of the log are in force as configured; anything else that \
                     changed takes a restart"
                );
            }
            Err(refusal) => {
                self.metrics.configuration_reloaded(Reload::Refused);
                for problem in refusal.problems() {
                    tracing::error!(problem, "the configuration is refused, what was in force stays");
                }
            }
        }
    }

    fn tell_ends(&self) {
        let InForce {
            authority,
            timestamps,
        } = &self.in_force;
        self.metrics.signs_under(authority.signing().issuer().chain());
        if let Some(timestamps) = timestamps {
            self.metrics.signs_times_under(timestamps.signer().chain());
        }
    }

    async fn read_and_sign(&mut self) -> Result<(), Refusal> {
        let settings = Settings::load(&self.path)?;
        self.files = files(&self.path, &settings);
        self.seen = stamps(&self.files);
        let ca = settings.ca();
        let issuer = Arc::new(load_issuer(ca, &self.keys).await?);
        let trust = Files::from(&settings).trust(issuer.chain())?;
        let timestamps = self.timestamps(&settings).await?;
        let shards = self.shards(&settings).await?;
        let present = self.in_force.authority.signing();
        // The chain is written into the log.
        let next = spawn_blocking(move || present.succeeded_by(issuer, shards.as_ref())).await;
        let next = next.map_err(|_| DeploymentError::Interrupted)?;
        let next = next.map_err(DeploymentError::from)?;
        self.in_force.authority.sign_with(next.stating(trust));
        if let Some((authority, signer)) = timestamps {
            authority.sign_with(signer);
        }
        Ok(())
    }

    /// The timestamp authority and who is to sign for it. That there is one at all takes a restart.
    async fn timestamps(
        &self,
        settings: &Settings,
    ) -> Result<Option<(&TimestampAuthority, TimestampSigner)>, DeploymentError> {
        let (Some(authority), Some(files)) = (&self.in_force.timestamps, settings.timestamp()) else {
            return Ok(None);
        };
        Ok(Some((authority, load_signer(files, &self.keys).await?)))
    }

    /// The present shards and those that are new, if any are. One that is configured no more stays until the next start: its log
    /// has readers.
    async fn shards(&self, settings: &Settings) -> Result<Option<Shards>, DeploymentError> {
        let (Some(present), Some(log)) = (self.in_force.authority.log().embedded(), settings.log()) else {
            return Ok(None);
        };
        let mut logs: Vec<_> = present.iter().cloned().collect();
        for shard in &log.shards {
            if !present.iter().any(|log| log.origin().as_str() == shard.origin) {
                logs.push(open_shard(shard, &log.promise, &self.keys).await?);
            }
        }
        match logs.len() > present.iter().len() {
            true => Ok(Some(Shards::new(logs)?)),
            false => Ok(None),
        }
    }
}

/// Why the files are not in force.
enum Refusal {
    Configuration(ConfigErrors),
    Deployment(DeploymentError),
}

impl Refusal {
    fn problems(&self) -> Vec<String> {
        match self {
            Self::Configuration(errors) => errors.problems().iter().map(ToString::to_string).collect(),
            Self::Deployment(error) => {
                vec![causes::in_one_line(error)]
            }
        }
    }
}

impl From<ConfigErrors> for Refusal {
    fn from(errors: ConfigErrors) -> Self {
        Self::Configuration(errors)
    }
}

impl From<DeploymentError> for Refusal {
    fn from(error: DeploymentError) -> Self {
        Self::Deployment(error)
    }
}

fn files(path: &Path, settings: &Settings) -> Vec<PathBuf> {
    let ca = settings.ca();
    let timestamps = settings.timestamp().into_iter();
    let timestamps =
        timestamps.flat_map(|files| of_authority(files.chain(), files.key(), files.also_trusted()));
    std::iter::once(path)
        .chain(of_authority(ca.chain(), ca.key(), ca.also_trusted()))
        .chain(timestamps)
        .map(Path::to_owned)
        .collect()
}

fn of_authority<'a>(
    chain: &'a Path,
    key: &'a KeySettings,
    also_trusted: &'a [AlsoTrusted],
) -> impl Iterator<Item = &'a Path> {
    let passphrase = match &key.passphrase {
        Some(PassphraseSource::File(path)) => Some(path.as_path()),
        _ => None,
    };
    std::iter::once(chain)
        .chain(key.reference.as_file())
        .chain(passphrase)
        .chain(also_trusted.iter().map(AlsoTrusted::chain))
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|path| stamp(path).ok()).collect()
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}
