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
    DeploymentError, Files, InForce, LOOK_EVERY, SETTLED_AFTER, load_issuer, shards, timestamps::load_signer,
    warn_of,
};
use crate::{
    causes,
    config::{AlsoTrusted, ConfigErrors, Settings, TimestampFiles},
    key::{KeySettings, passphrase::PassphraseSource},
    log::{Shards, embedded::ShardSettings},
    telemetry::{KeyMetrics, Metrics, Reload},
    timestamp::{TimestampChain, TimestampSigner, ntp::NtpServer},
};

/// Follows one `mayfly.yaml`.
pub struct ConfigurationFollower {
    path: PathBuf,
    in_force: InForce,
    keys: KeyMetrics,
    metrics: Arc<Metrics>,
    /// The key that signs times, as it was configured, and the time servers that are asked.
    timestamps: Option<(KeySettings, Vec<NtpServer>)>,
    /// The files of the configuration that was read last, with that itself.
    files: Vec<PathBuf>,
    /// How they looked then, whether they were taken or refused.
    seen: Vec<Option<Stamp>>,
    /// Whether the configuration has mistakes, which may also go by themselves: a file that it names appears.
    mistaken: bool,
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
            timestamps: settings
                .timestamp()
                .map(|files| (files.key().clone(), files.ntp().to_vec())),
            path,
            in_force,
            keys,
            metrics,
            files,
            mistaken: false,
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
        let mended = self.mistaken && Settings::load(&self.path).is_ok();
        if now == self.seen && !mended {
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
        let settings = Settings::load(&self.path);
        self.mistaken = settings.is_err();
        let settings = settings?;
        self.files = files(&self.path, &settings);
        self.seen = stamps(&self.files);
        let ca = settings.ca();
        let issuer = Arc::new(load_issuer(ca, &self.keys).await?);
        warn_of(issuer.chain(), ca.chain());
        let signer = self.timestamp_signer(&settings).await?;
        let chain = signer.as_deref().map(|signer| Arc::clone(signer.chain()));
        let trust = Files::from(&settings).trust(issuer.chain(), chain)?;
        let shards = self.shards(&settings).await?;
        let present = self.in_force.authority.signing();
        // The chain is written into the log.
        let next = spawn_blocking(move || present.succeeded_by(issuer, shards.as_ref())).await;
        let next = next.map_err(|_| DeploymentError::Interrupted)?;
        let next = next.map_err(DeploymentError::from)?;
        self.in_force.authority.sign_with(next.stating(trust));
        if let (Some(authority), Some(signer)) = (&self.in_force.timestamps, signer) {
            authority.sign_with(signer);
        }
        self.note_timestamps(settings.timestamp());
        Ok(())
    }

    /// Who is to sign times. Another CA must not have to wait for a key that is away, if only nothing else is said of that.
    async fn timestamp_signer(
        &self,
        settings: &Settings,
    ) -> Result<Option<Arc<TimestampSigner>>, DeploymentError> {
        let Some(authority) = &self.in_force.timestamps else {
            return Ok(None);
        };
        let present = authority.signer();
        let Some(files) = settings.timestamp() else {
            return Ok(Some(present));
        };
        match load_signer(files, &self.keys).await {
            Ok(signer) => Ok(Some(Arc::new(signer))),
            Err(error) if self.is_as_before(files, &present) => {
                let cause = causes::in_one_line(&error);
                tracing::error!(cause, "the timestamp authority stays as it is");
                Ok(Some(present))
            }
            Err(error) => Err(error),
        }
    }

    fn is_as_before(&self, files: &TimestampFiles, present: &TimestampSigner) -> bool {
        let key = self.timestamps.as_ref().map(|(key, _)| key);
        let chain = fs::read(files.chain()).ok();
        let chain = chain.and_then(|pem| TimestampChain::of_any_time(&pem).ok());
        key == Some(files.key())
            && files.policy() == present.policy()
            && chain.is_some_and(|chain| chain.der() == present.chain().der())
    }

    /// Remembers what is in force of the section `timestamp`, and says what is not until the next start.
    fn note_timestamps(&mut self, files: Option<&TimestampFiles>) {
        match (&mut self.timestamps, files) {
            (Some((key, ntp)), Some(files)) => {
                *key = files.key().clone();
                if ntp != files.ntp() {
                    tracing::warn!("another `timestamp.ntp` takes a restart");
                }
            }
            (None, Some(_)) => tracing::warn!("a first timestamp authority takes a restart"),
            (Some(_), None) => tracing::warn!("the timestamp authority goes on until the next start"),
            (None, None) => {}
        }
    }

    /// The present shards and those that are new, if any are. One that is configured no more stays until the next start: its log
    /// has readers.
    async fn shards(&self, settings: &Settings) -> Result<Option<Shards>, DeploymentError> {
        let (Some(present), Some(log)) = (self.in_force.authority.log().embedded(), settings.log()) else {
            return Ok(None);
        };
        let is_open =
            |shard: &&ShardSettings| present.iter().any(|log| log.origin().as_str() == shard.origin);
        let new: Vec<_> = log.shards.iter().filter(|shard| !is_open(shard)).collect();
        if new.is_empty() {
            return Ok(None);
        }
        let promise = Files::from(settings).promise_of(log)?;
        let mut logs: Vec<_> = present.iter().cloned().collect();
        for shard in new {
            logs.push(shards::open_one(shard, &promise, &self.keys).await?);
        }
        Ok(Some(Shards::new(logs)?))
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
