//! From what is configured to an authority that issues: loads each part, checks it, and puts them together
//! in the order of the request's path.

mod reload;

use std::{fs, io, path::PathBuf, sync::Arc};

use axum::Router;
use ct_log::{Log, LogSettings, Origin, chain::PolicyError};

use crate::{
    audit::{AuditError, AuditLog},
    clock::{Clock, SystemClock},
    config::Settings,
    issue::{Authority, Signing},
    issuer::{
        CertificateChain, ChainError, Issuer, IssuerError,
        key::{SigningKey, SoftwareKey},
    },
    key_file::KeyFileError,
    log::{
        CertificateLog, ExternalLogs, LogsError,
        embedded::{self, EmbeddedLogError},
    },
    profile::ProfileError,
    telemetry::ExternalLogMetrics,
    token::{FetchPolicy, LoopbackHttp, TokenVerifier, TokenVerifierError},
    trusted_issuer::TrustedIssuers,
};

pub use self::reload::IssuerFileFollower;

/// What an authority is made of, loaded and each by itself in order.
pub struct Parts {
    /// The CA's certificates.
    pub chain: CertificateChain,
    /// The key of the first of them.
    pub key: Box<dyn SigningKey>,
    /// The embedded CT log, if there is one.
    pub log: Option<Log>,
    /// The logs elsewhere, if there are any.
    pub external_logs: Option<ExternalLogs>,
    /// The audit record.
    pub audit: AuditLog,
    /// Whom to trust.
    pub issuers: TrustedIssuers,
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
            log,
            external_logs,
            audit,
            issuers,
            fetch,
        } = self;
        let tokens = TokenVerifier::new(issuers, fetch)?;
        tokens.warm_up();
        let issuer = Issuer::new(key, chain).await?;
        let log = match (log, external_logs) {
            (Some(log), None) => CertificateLog::new(log, issuer.chain()).map_err(LogsError::Storage)?,
            (log, Some(external)) => {
                CertificateLog::with_external(log, external, issuer.chain(), (&audit, &clock))?
            }
            (None, None) => return Err(LogsError::NoLog.into()),
        };
        Ok(Authority::new(tokens, Signing { issuer, log, audit }, clock)?)
    }
}

/// Where the parts are that live in files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The CA's certificates, PEM.
    pub ca_chain: PathBuf,
    /// The CA's key, PKCS#8 PEM.
    pub ca_key: PathBuf,
    /// The embedded log, if there is one.
    pub log: Option<LogFiles>,
    /// The audit record.
    pub audit: PathBuf,
}

/// Where the embedded log is.
#[derive(Clone, Debug)]
pub struct LogFiles {
    /// Its directory.
    pub directory: PathBuf,
    /// Its name, in every checkpoint (C2SP tlog-checkpoint).
    pub origin: String,
    /// Its key, PKCS#8 PEM.
    pub key: PathBuf,
}

impl From<&Settings> for Files {
    fn from(settings: &Settings) -> Self {
        Self {
            ca_chain: settings.ca().chain().to_owned(),
            ca_key: settings.ca().key().to_owned(),
            log: settings.log().map(|log| LogFiles {
                directory: log.directory().to_owned(),
                origin: log.origin().to_owned(),
                key: log.key().to_owned(),
            }),
            audit: settings.audit().to_owned(),
        }
    }
}

impl Files {
    /// Loads them. A log whose directory and key are both missing is made now.
    ///
    /// # Errors
    /// The first that cannot be used, with its path.
    pub fn load(&self, issuers: TrustedIssuers, fetch: FetchPolicy) -> Result<Parts, DeploymentError> {
        Ok(Parts {
            chain: self.load_chain()?,
            key: Box::new(self.load_key()?),
            log: self.log.as_ref().map(LogFiles::open).transpose()?,
            external_logs: None,
            audit: self.open_audit()?,
            issuers,
            fetch,
        })
    }

    fn load_chain(&self) -> Result<CertificateChain, DeploymentError> {
        let path = &self.ca_chain;
        let pem = fs::read(path).map_err(|source| DeploymentError::Read {
            path: path.to_owned(),
            source,
        })?;
        CertificateChain::from_pem(&pem, SystemClock.now()).map_err(|source| DeploymentError::Chain {
            path: path.to_owned(),
            source,
        })
    }

    fn load_key(&self) -> Result<SoftwareKey, DeploymentError> {
        SoftwareKey::from_pem_file(&self.ca_key).map_err(|source| DeploymentError::Key {
            path: self.ca_key.to_owned(),
            source,
        })
    }

    fn open_audit(&self) -> Result<AuditLog, DeploymentError> {
        AuditLog::open(&self.audit).map_err(|source| DeploymentError::Audit {
            path: self.audit.to_owned(),
            source,
        })
    }
}

impl LogFiles {
    /// Opens the log; makes it now if its directory and key are both missing.
    ///
    /// # Errors
    /// If it does not start.
    pub fn open(&self) -> Result<Log, DeploymentError> {
        let origin = Origin::new(&self.origin).map_err(|source| DeploymentError::Origin {
            origin: self.origin.to_owned(),
            source,
        })?;
        let settings = LogSettings::new(&self.directory, origin);
        embedded::open_or_create(settings, &self.key).map_err(|source| DeploymentError::Log {
            path: self.directory.to_owned(),
            source,
        })
    }
}

/// The logs elsewhere that a configuration names, if it names any.
///
/// # Errors
/// Metrics that cannot be made.
pub fn external_logs(settings: &Settings) -> Result<Option<ExternalLogs>, prometheus::Error> {
    if settings.external_logs().is_empty() {
        return Ok(None);
    }
    Ok(Some(ExternalLogs {
        logs: settings.external_logs().to_vec(),
        embedding: settings.embedding(),
        metrics: ExternalLogMetrics::new()?,
    }))
}

/// Where an operator lets issuers' keys be fetched from: public addresses, and the private ones that are named.
#[must_use]
pub fn fetch_policy(settings: &Settings) -> FetchPolicy {
    let hosts = settings.private_identity_providers().iter().cloned();
    FetchPolicy::new(LoopbackHttp::Refused).with_private_hosts(hosts)
}

/// The routes of the embedded log, under the path that its origin names; it takes submissions from this CA's
/// hierarchy only. None if there is no such log.
///
/// # Errors
/// If the log would not accept the CA's own chain.
pub fn log_routes(authority: &Authority) -> Result<Router, PolicyError> {
    let Some(log) = authority.log().embedded() else {
        return Ok(Router::new());
    };
    let certificates = authority.trust_bundle().der().iter().map(Vec::as_slice);
    let routes = ct_log::http::router(log.clone(), ct_log::chain::Policy::new(certificates)?);
    Ok(Router::new().nest(log_path(log), routes))
}

/// Where the log is served under the API's origin: the path of the log's own origin, which is its URL without the
/// scheme (C2SP static-ct-api); `/log` if that names a host only.
#[must_use]
pub fn log_path(log: &Log) -> &str {
    let origin = log.origin().as_str();
    origin.find('/').and_then(|at| origin.get(at..)).unwrap_or("/log")
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
    /// The CA's key cannot be used.
    #[error("the CA's key in {} cannot be used", path.display())]
    Key {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: KeyFileError,
    },
    /// The embedded log does not start.
    #[error("the certificate log in {} does not start", path.display())]
    Log {
        /// Its directory.
        path: PathBuf,
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
    /// The log's name is not one.
    #[error("log.origin {origin:?} is not a name for a log")]
    Origin {
        /// As configured.
        origin: String,
        /// Why not.
        source: ct_log::checkpoint::OriginError,
    },
}
