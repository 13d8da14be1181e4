//! What clients are to trust: as the operator says it, and all of it from the files of a configuration, without a
//! server that runs.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ct_log::{Log, LogPublicKey, OpenError};

use super::{DeploymentError, Files, fetch_policy, load_chain, read, timestamps};
use crate::{
    clock::{Clock, SystemClock},
    config::{AlsoTrusted, ConfigErrors, Settings, issuers},
    issuer::CertificateChain,
    key::KeyReference,
    log::embedded::{ShardKey, ShardSettings},
    telemetry::KeyMetrics,
    timestamp::TimestampChain,
    trust::{Logs, OwnLog, PublicUrl, TrustMaterial, TrustStatement, TrustedAuthority, TrustedTimestamps},
};

impl Files {
    /// What the operator says beside the CA and the timestamp authority that sign.
    pub(super) fn trust(
        &self,
        signing: &CertificateChain,
        timestamps: Option<Arc<TimestampChain>>,
    ) -> Result<TrustStatement, DeploymentError> {
        self.trust_beside(Some(signing), timestamps)
    }

    /// The same, also if it is not known which CA signs.
    pub(super) fn trust_beside(
        &self,
        signing: Option<&CertificateChain>,
        timestamps: Option<Arc<TimestampChain>>,
    ) -> Result<TrustStatement, DeploymentError> {
        let others = self.also_trusted.iter().map(|other| load(other, signing));
        let other_timestamps = self.timestamps_also_trusted.iter();
        let other_timestamps = other_timestamps.map(|other| load_timestamps(other, timestamps.as_deref()));
        let timestamps_also_trusted = other_timestamps.collect::<Result<_, _>>()?;
        let shards = self.log.iter().flat_map(|log| &log.shards);
        let until = shards.filter_map(|shard| Some((shard.origin.clone(), shard.trusted_until?)));
        Ok(TrustStatement {
            url: self.url.clone(),
            also_trusted: others.collect::<Result<_, _>>()?,
            timestamps,
            timestamps_also_trusted,
            logs_until: until.collect::<BTreeMap<_, _>>(),
        })
    }
}

/// A chain that need not be valid now: a CA may be announced before its time.
fn load(
    other: &AlsoTrusted,
    signing: Option<&CertificateChain>,
) -> Result<TrustedAuthority, DeploymentError> {
    let path = other.chain();
    let chain = CertificateChain::of_any_time(&read(path)?).map_err(|source| DeploymentError::Chain {
        path: path.to_owned(),
        source,
    })?;
    let (is_signing, until) = (
        signing.is_some_and(|signing| signing.der().first() == chain.der().first()),
        other.until(),
    );
    if is_signing && until.is_some() {
        return Err(DeploymentError::NotBelieved(path.to_owned()));
    }
    let now = SystemClock.now();
    if *chain.validity().end() < now.since_epoch() {
        tracing::warn!(path = %path.display(), "a CA under `also-trusted` has expired: it is left out of the trust bundle");
    }
    let other = TrustedAuthority {
        chain: Arc::new(chain),
        until,
    };
    if !other.is_believed(other.since()) {
        tracing::warn!(path = %path.display(), "a CA under `also-trusted` ends, by its `until`, before it begins");
    }
    Ok(other)
}

fn load_timestamps(
    other: &AlsoTrusted,
    own: Option<&TimestampChain>,
) -> Result<TrustedTimestamps, DeploymentError> {
    let path = other.chain();
    let chain =
        TimestampChain::of_any_time(&read(path)?).map_err(|source| DeploymentError::TimestampChain {
            path: path.to_owned(),
            source,
        })?;
    let is_own = own.is_some_and(|own| own.der().first() == chain.der().first());
    if is_own && other.until().is_some() {
        return Err(DeploymentError::TimestampsNotBelieved(path.to_owned()));
    }
    Ok(TrustedTimestamps {
        chain: Arc::new(chain),
        until: other.until(),
    })
}

/// Where the public half of a log's key was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In the log's own folder.
    Log(PathBuf),
    /// In a PEM file beside that, as `mayfly init` writes it.
    File(PathBuf),
    /// By opening the private key, since the entries are elsewhere.
    Key(KeyReference),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(folder) => write!(f, "{}", folder.join("log.json").display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Key(key) => write!(f, "the private key {key}, which was opened for that"),
        }
    }
}

/// What clients are to trust, from public halves.
#[derive(Debug)]
pub struct PublicHalves {
    /// All that the trust files are made from.
    pub material: TrustMaterial,
    /// The name of each log of this instance, and where its key was found.
    pub sources: Vec<(String, KeySource)>,
}

impl PublicHalves {
    /// Reads what `settings` name: the chains, the issuer file, and the public half of each log's key. Clients reach
    /// the CA at `url`, or where the settings say. A private key is opened only if its log is not on this machine and
    /// no file has its public half.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub async fn read(settings: &Settings, url: Option<PublicUrl>) -> Result<Self, TrustMaterialError> {
        let chain = load_chain(settings.ca().chain())?;
        let timestamps = settings.timestamp();
        let timestamps = timestamps.map(|files| timestamps::load_chain(files.chain()));
        let mut statement = Files::from(settings).trust(&chain, timestamps.transpose()?.map(Arc::new))?;
        statement.url = url.or(statement.url);
        let mut logs = Logs {
            own: Vec::new(),
            external: settings.external_logs().to_vec(),
        };
        let mut sources = Vec::new();
        for shard in settings.log().iter().flat_map(|log| &log.shards) {
            let (key, source) = public_key(shard).await?;
            logs.own.push(OwnLog {
                origin: shard.origin.clone(),
                public_key: key.spki_der().to_vec(),
                window: shard.window,
            });
            sources.push((shard.origin.clone(), source));
        }
        let issuers = issuers::load(settings.issuers(), &fetch_policy(settings))?.issuers;
        let material = TrustMaterial::new(Arc::new(chain), &statement, logs, &issuers);
        Ok(Self { material, sources })
    }
}

/// Of the log on this machine, or else of the file beside it, or else of its private key.
async fn public_key(shard: &ShardSettings) -> Result<(LogPublicKey, KeySource), TrustMaterialError> {
    let error = |source| TrustMaterialError::Log {
        origin: shard.origin.clone(),
        source,
    };
    for folder in shard.storage.folders() {
        match Log::identify(folder) {
            Ok((key, origin)) if origin.as_str() == shard.origin => {
                return Ok((key, KeySource::Log(folder.to_owned())));
            }
            Ok((_, origin)) => {
                return Err(TrustMaterialError::AnotherLog {
                    folder: folder.to_owned(),
                    found: origin.to_string(),
                    expected: shard.origin.clone(),
                });
            }
            Err(OpenError::Absent { .. }) => {}
            Err(source) => return Err(error(source.into())),
        }
        let file = beside(folder);
        if let Some(key) = public_key_in(&file) {
            return Ok((key, KeySource::File(file)));
        }
    }
    match &shard.key {
        ShardKey::Retired => Err(TrustMaterialError::NotMade(shard.origin.clone())),
        ShardKey::Signing(key) if key.reference.as_file().is_some_and(|path| !path.exists()) => {
            Err(TrustMaterialError::NotMade(shard.origin.clone()))
        }
        ShardKey::Signing(settings) => {
            let metrics = KeyMetrics::new().map_err(|source| error(source.into()))?;
            let opened = settings.open(&format!("log {}", shard.origin), &metrics).await;
            let opened = opened.map_err(|source| error(source.into()))?;
            let key =
                LogPublicKey::from_spki_der(opened.spki_der()).map_err(|source| error(source.into()))?;
            Ok((key, KeySource::Key(settings.reference.clone())))
        }
    }
}

/// `log.pem` of `log`.
fn beside(folder: &Path) -> PathBuf {
    let mut name = OsString::from(folder);
    name.push(".pem");
    name.into()
}

/// None also of a private key, which may be called so.
fn public_key_in(path: &Path) -> Option<LogPublicKey> {
    let block = pem::parse(fs::read(path).ok()?).ok()?;
    let key = Some(block).filter(|block| block.tag() == "PUBLIC KEY")?;
    LogPublicKey::from_spki_der(key.contents()).ok()
}

/// Why it cannot be told what clients are to trust.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustMaterialError {
    /// A chain cannot be used.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The issuer file has mistakes.
    #[error(transparent)]
    Issuers(#[from] ConfigErrors),
    /// The log's key cannot be read.
    #[error("the public key of the certificate log {origin} cannot be read")]
    Log {
        /// The log's name.
        origin: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder is that of another log.
    #[error("{} holds the log {found}, not {expected}", folder.display())]
    AnotherLog {
        /// Which folder.
        folder: PathBuf,
        /// The name in it.
        found: String,
        /// The name in the configuration.
        expected: String,
    },
    /// There is no log, and no key.
    #[error("the certificate log {0} has no key yet: start the server once, which makes both")]
    NotMade(String),
}
