//! From what is configured to an authority that issues: loads each part, checks it, and puts them together
//! in the order of the request's path.

mod configuration;
mod elsewhere;
mod key_check;
mod log_service;
mod reload;
mod self_audits;
mod shard_reminder;
mod shards;
mod timestamps;
mod trust;
mod tuf;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    audit::{AuditError, AuditLog},
    clock::{Clock, SystemClock},
    config::{AlsoTrusted, CaFiles, Settings},
    issue::{Authority, Signing, SuccessionError},
    issuer::{CertificateChain, ChainError, Issuer, IssuerError},
    key::{KeySettings, OpenKeyError, SigningKey},
    log::{
        CertificateLog, ExternalLogs, LogsError, Shards, ShardsError,
        embedded::{EmbeddedLogError, EmbeddedLogSettings},
    },
    profile::ProfileError,
    telemetry::KeyMetrics,
    timestamp::{TimestampAuthority, TimestampChainError, TimestampError},
    token::{FetchPolicy, TokenVerifier, TokenVerifierError},
    trust::{PublicUrl, TrustError, TrustStatement, tuf::TufError},
    trusted_issuer::TrustedIssuers,
};

pub use self::{
    configuration::ConfigurationFollower,
    elsewhere::{external_logs, fetch_policy},
    key_check::{check_key, check_log_key},
    log_service::{AcceptedRootsError, LogService},
    reload::IssuerFileFollower,
    self_audits::SelfAudits,
    shard_reminder::remind_of_shards,
    timestamps::{confirm_clock, timestamp_authority},
    trust::{KeySource, PublicHalves, TrustMaterialError},
    tuf::TufService,
};

/// How often files that may change while the server runs are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// For how long changed files must stay the same before they are read: editors write in several steps, and files that belong
/// together are replaced one after the other.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// What an authority is made of, loaded and each by itself in order.
pub struct Parts {
    /// The CA's certificates.
    pub chain: CertificateChain,
    /// The key of the first of them.
    pub key: Arc<dyn SigningKey>,
    /// What clients are told besides, other CAs among it.
    pub trust: TrustStatement,
    /// The shards of the embedded CT log, if there is one.
    pub log: Option<Shards>,
    /// The logs elsewhere, if there are any.
    pub external_logs: Option<ExternalLogs>,
    /// The audit record.
    pub audit: AuditLog,
    /// Whom to trust.
    pub issuers: TrustedIssuers,
    /// The file that remembers the verified issuers of patterns, if any does.
    pub verified_issuers: Option<PathBuf>,
    /// Where their keys may be fetched from.
    pub fetch: FetchPolicy,
}

impl Parts {
    /// Checks that the parts fit together, and starts fetching the issuers' keys in the background.
    ///
    /// # Errors
    /// The first two parts that do not fit.
    pub async fn assemble(self, clock: Arc<dyn Clock>) -> Result<Authority, DeploymentError> {
        let Self {
            chain,
            key,
            trust,
            log,
            external_logs,
            audit,
            issuers,
            verified_issuers,
            fetch,
        } = self;
        let tokens = TokenVerifier::new(issuers, fetch)?;
        if let Some(path) = verified_issuers {
            tokens.remember_in(path);
        }
        tokens.warm_up();
        let issuer = Issuer::new(key, chain).await?;
        let log = match (log, external_logs) {
            (Some(log), None) => CertificateLog::new(log, issuer.chain()).map_err(LogsError::Storage)?,
            (log, Some(external)) => {
                CertificateLog::with_external(log, external, issuer.chain(), (&audit, &clock))?
            }
            (None, None) => return Err(LogsError::NoLog.into()),
        };
        let signing = Signing::new(issuer, log, audit)?.stating(trust);
        Ok(Authority::new(tokens, signing, clock))
    }
}

/// What signs now, and may be succeeded while the server runs.
#[derive(Clone)]
pub struct InForce {
    /// The CA and the logs.
    pub authority: Arc<Authority>,
    /// The timestamp authority, if there is one.
    pub timestamps: Option<Arc<TimestampAuthority>>,
}

/// Where the parts are that live in files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The CA's certificates, PEM.
    pub ca_chain: PathBuf,
    /// The CA's key.
    pub ca_key: KeySettings,
    /// Where clients reach the API, if that is known.
    pub url: Option<PublicUrl>,
    /// Chains of other CAs that clients are to trust.
    pub also_trusted: Vec<AlsoTrusted>,
    /// Chains of other timestamp authorities that clients are to trust.
    pub timestamps_also_trusted: Vec<AlsoTrusted>,
    /// The embedded log, if there is one.
    pub log: Option<EmbeddedLogSettings>,
    /// The audit record.
    pub audit: PathBuf,
    /// What remembers the verified issuers of patterns, if anything does.
    pub verified_issuers: Option<PathBuf>,
}

impl From<&Settings> for Files {
    fn from(settings: &Settings) -> Self {
        Self {
            ca_chain: settings.ca().chain().to_owned(),
            ca_key: settings.ca().key().clone(),
            url: settings.url().cloned(),
            also_trusted: settings.ca().also_trusted().to_vec(),
            timestamps_also_trusted: settings
                .timestamp()
                .map_or_else(Vec::new, |files| files.also_trusted().to_vec()),
            log: settings.log().cloned(),
            audit: settings.audit().to_owned(),
            verified_issuers: settings.verified_issuers().map(Path::to_owned),
        }
    }
}

impl Files {
    /// Loads them, for an instance with this timestamp authority. A log whose directory and key are both missing is made now.
    ///
    /// # Errors
    /// The first that cannot be used, with its path.
    pub async fn load(
        &self,
        (issuers, fetch): (TrustedIssuers, FetchPolicy),
        timestamps: Option<&TimestampAuthority>,
        metrics: &KeyMetrics,
    ) -> Result<Parts, DeploymentError> {
        let chain = load_chain(&self.ca_chain)?;
        warn_of(&chain, &self.ca_chain);
        let key = self.ca_key.open("ca", metrics).await?;
        let log = match &self.log {
            Some(log) => Some(shards::open(log, &self.promise_of(log)?, metrics).await?),
            None => None,
        };
        Ok(Parts {
            trust: self.trust(
                &chain,
                timestamps.map(|authority| Arc::clone(authority.signer().chain())),
            )?,
            chain,
            key,
            log,
            external_logs: None,
            audit: self.open_audit()?,
            issuers,
            verified_issuers: self.verified_issuers.clone(),
            fetch,
        })
    }

    fn open_audit(&self) -> Result<AuditLog, DeploymentError> {
        AuditLog::open(&self.audit).map_err(|source| DeploymentError::Audit {
            path: self.audit.to_owned(),
            source,
        })
    }
}

/// What is wrong with the chains of the CA and of the timestamp authority and with the TUF repository, as far as that shows
/// without their keys.
#[must_use]
pub fn check_files(settings: &Settings) -> Vec<DeploymentError> {
    let ca = settings.ca();
    let own = load_chain(ca.chain());
    let timestamps = settings.timestamp();
    let timestamps = timestamps.map(|files| timestamps::load_chain(files.chain()));
    let (timestamps, no_timestamps) = match timestamps.transpose() {
        Ok(chain) => (chain.map(Arc::new), None),
        Err(error) => (None, Some(error)),
    };
    let trust = Files::from(settings).trust_beside(own.as_ref().ok(), timestamps);
    let tuf = settings
        .tuf()
        .and_then(|files| tuf::published(files.directory()).err());
    own.err()
        .into_iter()
        .chain(trust.err())
        .chain(no_timestamps)
        .chain(tuf)
        .collect()
}

/// What works and a new CA should not have, of the chain of the CA that signs; nothing if it cannot
/// be used.
#[must_use]
pub fn chain_warnings(settings: &Settings) -> Vec<String> {
    let path = settings.ca().chain();
    let chain = load_chain(path).ok();
    let warnings = chain.iter().flat_map(CertificateChain::warnings);
    warnings
        .map(|warning| format!("{}: {warning}", path.display()))
        .collect()
}

fn warn_of(chain: &CertificateChain, path: &Path) {
    for warning in chain.warnings() {
        tracing::warn!(path = %path.display(), "{warning}");
    }
}

/// The CA as it is configured. Its key has signed.
async fn load_issuer(ca: &CaFiles, metrics: &KeyMetrics) -> Result<Issuer, DeploymentError> {
    let chain = load_chain(ca.chain())?;
    Ok(Issuer::new(ca.key().open("ca", metrics).await?, chain).await?)
}

/// A CA's chain, checked as of now.
fn load_chain(path: &Path) -> Result<CertificateChain, DeploymentError> {
    let pem = read(path)?;
    CertificateChain::from_pem(&pem, SystemClock.now()).map_err(|source| DeploymentError::Chain {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, DeploymentError> {
    fs::read(path).map_err(|source| DeploymentError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Why an authority could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeploymentError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA's chain is not one that clients would accept.
    #[error("the CA's certificates in {} cannot be used", path.display())]
    Chain {
        /// Where they are.
        path: PathBuf,
        /// What is wrong.
        source: ChainError,
    },
    /// The CA signs, and what it signs is not believed.
    #[error(
        "the CA that signs is under `also-trusted` in {} as well, with `until`: nobody would believe what it signs",
        .0.display()
    )]
    NotBelieved(PathBuf),
    /// The timestamp authority signs, and what it signs is not believed.
    #[error(
        "the timestamp authority that signs is under its own `also-trusted` in {} as well, with `until`: nobody would believe \
         its timestamps",
        .0.display()
    )]
    TimestampsNotBelieved(PathBuf),
    /// The CA's key cannot be used.
    #[error("the CA has no key")]
    Key(#[from] OpenKeyError),
    /// The timestamp authority's chain is not one that clients would accept.
    #[error("the timestamp authority's certificates in {} cannot be used", path.display())]
    TimestampChain {
        /// Where they are.
        path: PathBuf,
        /// What is wrong.
        source: TimestampChainError,
    },
    /// The timestamp authority's key cannot be used.
    #[error("the timestamp authority has no key")]
    TimestampKey(#[source] OpenKeyError),
    /// The timestamp authority's key and chain do not fit, or the key does not sign.
    #[error("the timestamp authority does not start")]
    Timestamp(#[source] TimestampError),
    /// The TUF repository cannot be used.
    #[error("the TUF repository in {} cannot be used", folder.display())]
    Tuf {
        /// Where it is.
        folder: PathBuf,
        /// Why.
        source: TufError,
    },
    /// The key that is to renew the TUF repository's timestamp cannot be used.
    #[error("the TUF repository has no online key")]
    TufKey(#[source] OpenKeyError),
    /// The key is one that the repository's root does not name for snapshot and timestamp, or not alone.
    #[error(
        "the key for the TUF repository in {} is not one that signs its timestamp alone: name its online key, or leave \
         `key` out and run `mayfly trust tuf refresh` each day",
        .0.display()
    )]
    NotOnlineKey(PathBuf),
    /// What clients are to trust cannot be told.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The embedded log does not start.
    #[error("the certificate log {origin} does not start")]
    Log {
        /// Its name.
        origin: String,
        /// Why.
        source: EmbeddedLogError,
    },
    /// The audit record cannot be written.
    #[error("the audit record {} cannot be used", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AuditError,
    },
    /// The logs could not be put together.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// Key and chain do not fit, or the key does not sign.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// A trusted issuer's keys could never be fetched.
    #[error(transparent)]
    Tokens(#[from] TokenVerifierError),
    /// The chain lacks what leaves must repeat of it.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Another CA or log cannot take over.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// It was given up in the middle.
    #[error("the process is ending")]
    Interrupted,
    /// The shards are not those of one log.
    #[error(transparent)]
    Shards(#[from] ShardsError),
}
