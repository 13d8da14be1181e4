//! `Precertificate` -> `Logged`: nothing is issued that is not in a log.
//!
//! ```text
//! submission   what is sent to logs elsewhere
//! choice       whose SCTs the certificate carries: one of the first log that answers, or one of each
//!   in_process   the embedded log: the shard that the certificate's end belongs to
//!     shards     which that is
//!   external     a log elsewhere: pinned key, one attempt, circuit breaker
//! informational  logs that are told and not waited for
//! self_audit     looks up in the public log what SCTs were given out for
//! ```

mod choice;
pub mod embedded;
mod external;
mod in_process;
mod informational;
mod sct;
pub mod self_audit;
mod shards;
mod submission;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use ct_log::StorageError;

pub(crate) use self::shards::written;
pub use self::{
    choice::{Embedding, Failure, NoSct},
    external::{AttemptError, EndpointError, ExternalLogSettings, Use},
    in_process::EmbeddedError,
    sct::{EMBEDDED, VerifiedSct},
    shards::{NOTICE, Outlook, Shards, ShardsError, path_of},
};
use self::{
    choice::{Request, Source},
    external::ExternalLog,
    in_process::EmbeddedLog,
    informational::Informational,
    submission::Submission,
};
use crate::{
    audit::AuditLog,
    clock::{Clock, Timestamp},
    issuer::{CertificateChain, Precertificate},
    telemetry::ExternalLogMetrics,
};

/// The CT logs, as the CA uses them.
#[derive(Clone)]
pub struct CertificateLog(Arc<Logs>);

enum Logs {
    /// The usual case, in which nothing is prepared for anybody else.
    EmbeddedOnly(EmbeddedLog),
    Several(Several),
}

struct Several {
    embedded: Option<Shards>,
    /// At least one.
    sources: Vec<Source>,
    embedding: Embedding,
    informational: Arc<[Informational]>,
    /// The chain above the leaf, DER in base64.
    issuers: Vec<String>,
    clock: Arc<dyn Clock>,
    metrics: ExternalLogMetrics,
}

/// The logs of a configuration, before they are put together.
#[derive(Clone, Debug)]
pub struct ExternalLogs {
    /// In the order in which they are asked.
    pub logs: Vec<ExternalLogSettings>,
    /// Whose SCTs certificates carry.
    pub embedding: Embedding,
    /// Where they count what they do.
    pub metrics: ExternalLogMetrics,
}

/// A precertificate that is in a log, with the promises that the certificate will carry. Only [`CertificateLog::submit`]
/// makes one, and signing the certificate consumes it.
#[derive(Debug)]
pub struct Logged {
    precertificate: Precertificate,
    /// At least one.
    scts: Vec<VerifiedSct>,
}

impl CertificateLog {
    /// The embedded log alone. Makes the CA's chain known to it, durably, before any entry refers to it.
    ///
    /// # Errors
    /// If the log cannot store the chain.
    pub fn new(log: impl Into<Shards>, chain: &CertificateChain) -> Result<Self, StorageError> {
        let embedded = EmbeddedLog::new(log.into(), chain)?;
        Ok(Self(Arc::new(Logs::EmbeddedOnly(embedded))))
    }

    /// Logs elsewhere, and the embedded one if there is one. What is configured as informational is told of certificates
    /// from now on.
    ///
    /// # Errors
    /// No log whose SCT certificates could carry, or one that can never be asked.
    pub fn with_external(
        embedded: Option<Shards>,
        external: ExternalLogs,
        chain: &CertificateChain,
        (audit, clock): (&AuditLog, &Arc<dyn Clock>),
    ) -> Result<Self, LogsError> {
        let ExternalLogs {
            logs,
            embedding,
            metrics,
        } = external;
        let mut sources = Vec::new();
        if let Some(shards) = &embedded {
            sources.push(Source::Embedded(EmbeddedLog::new(shards.clone(), chain)?));
        }
        let mut informational = Vec::new();
        for settings in logs {
            let (name, purpose) = (Arc::clone(&settings.name), settings.purpose);
            let log = ExternalLog::new(settings, &metrics, Arc::clone(clock));
            let log = Arc::new(log.map_err(|source| LogsError::Client { name, source })?);
            match purpose {
                Use::Embed if embedding != Embedding::Embedded => sources.push(Source::External(log)),
                Use::Embed => return Err(LogsError::NotEmbedded(Arc::clone(log.name()))),
                Use::Informational => {
                    informational.push(Informational::start(log, audit.clone(), Arc::clone(clock)));
                }
            }
        }
        if sources.is_empty() {
            return Err(LogsError::NoLog);
        }
        Ok(Self(Arc::new(Logs::Several(Several {
            embedded,
            sources,
            embedding,
            informational: informational.into(),
            issuers: encoded(chain),
            clock: Arc::clone(clock),
            metrics,
        }))))
    }

    /// The same logs for another chain of the CA, which is known to the embedded log, durably, on return; with these shards of it
    /// instead of the present ones, if any are given. Both may be used side by side.
    ///
    /// # Errors
    /// If the log cannot store the chain.
    pub fn with(&self, shards: Option<&Shards>, chain: &CertificateChain) -> Result<Self, StorageError> {
        let logs = match &*self.0 {
            Logs::EmbeddedOnly(embedded) => Logs::EmbeddedOnly(embedded.with(shards, chain)?),
            Logs::Several(several) => Logs::Several(several.with(shards, chain)?),
        };
        Ok(Self(Arc::new(logs)))
    }

    /// The shards of the log in this process, if there is one.
    #[must_use]
    pub fn embedded(&self) -> Option<Shards> {
        match &*self.0 {
            Logs::EmbeddedOnly(embedded) => Some(embedded.shards().clone()),
            Logs::Several(several) => several.embedded.clone(),
        }
    }

    /// The logs elsewhere whose SCTs certificates may carry.
    pub fn embedding_elsewhere(&self) -> impl Iterator<Item = &ExternalLogSettings> {
        let sources = match &*self.0 {
            Logs::EmbeddedOnly(_) => [].iter(),
            Logs::Several(several) => several.sources.iter(),
        };
        sources.filter_map(Source::external)
    }

    /// What the logs elsewhere count, if there are any.
    #[must_use]
    pub fn external_metrics(&self) -> Option<&ExternalLogMetrics> {
        match &*self.0 {
            Logs::EmbeddedOnly(_) => None,
            Logs::Several(several) => Some(&several.metrics),
        }
    }

    /// Whether a certificate could be logged now.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn health(&self, now: Timestamp) -> Result<(), String> {
        match &*self.0 {
            Logs::EmbeddedOnly(embedded) => embedded.health(now),
            Logs::Several(several) => several.health(now),
        }
    }

    /// Whether the log in this process can be read: each shard of it, those that take no more entries among them. `None` if
    /// there is no such log.
    #[must_use]
    pub fn reading(&self) -> Option<Result<(), String>> {
        self.embedded().map(|shards| shards.reading())
    }

    /// Whether the log in this process takes entries now, in one of its shards at least. `None` if there is no such log.
    #[must_use]
    pub fn submissions(&self) -> Option<Result<(), String>> {
        self.embedded().map(|shards| shards.submissions())
    }

    /// Logs a precertificate: the logs that the certificate will name have promised it before this returns, and where such a
    /// log is in this process, the entry is durable.
    ///
    /// # Errors
    /// If not all the SCTs can be had that the policy asks for.
    pub async fn submit(&self, precertificate: Precertificate) -> Result<Logged, LogError> {
        let scts = match &*self.0 {
            Logs::EmbeddedOnly(embedded) => vec![embedded.submit(&precertificate).await?],
            Logs::Several(several) => several.submit(&precertificate).await?,
        };
        Ok(Logged { precertificate, scts })
    }
}

impl Several {
    fn with(&self, shards: Option<&Shards>, chain: &CertificateChain) -> Result<Self, StorageError> {
        let source = |source: &Source| {
            Ok(match source {
                Source::Embedded(embedded) => Source::Embedded(embedded.with(shards, chain)?),
                Source::External(log) => Source::External(Arc::clone(log)),
            })
        };
        Ok(Self {
            sources: self.sources.iter().map(source).collect::<Result<_, _>>()?,
            embedded: shards.or(self.embedded.as_ref()).cloned(),
            embedding: self.embedding,
            informational: self.informational.clone(),
            issuers: encoded(chain),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
        })
    }

    async fn submit(&self, precertificate: &Precertificate) -> Result<Vec<VerifiedSct>, LogError> {
        let submission = Submission::new(precertificate, &self.issuers, self.clock.now())?;
        let request = Request {
            precertificate,
            submission: &submission,
        };
        let scts = choice::submit(&self.sources, self.embedding, request).await?;
        let submission = Arc::new(submission);
        for log in self.informational.iter() {
            log.offer(&submission);
        }
        Ok(scts)
    }

    fn health(&self, now: Timestamp) -> Result<(), String> {
        let mut states = self.sources.iter().map(|source| source.health(now));
        match self.embedding {
            Embedding::All => states.collect(),
            Embedding::Embedded | Embedding::First => {
                let failures: Vec<String> = states.by_ref().filter_map(Result::err).collect();
                match failures.len() < self.sources.len() {
                    true => Ok(()),
                    false => Err(failures.join("; ")),
                }
            }
        }
    }
}

fn encoded(chain: &CertificateChain) -> Vec<String> {
    chain.der().iter().map(|der| STANDARD.encode(der)).collect()
}

impl Logged {
    /// What was logged.
    #[must_use]
    pub fn precertificate(&self) -> &Precertificate {
        &self.precertificate
    }

    /// The SCTs that the certificate will carry, in this order: at least one.
    #[must_use]
    pub fn scts(&self) -> &[VerifiedSct] {
        &self.scts
    }
}

/// Why a precertificate was not logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The embedded log, which is the only one, did not take it.
    #[error("the certificate transparency log did not take the entry")]
    Embedded(#[from] EmbeddedError),
    /// Not all the SCTs that the policy asks for could be had.
    #[error(transparent)]
    NoSct(#[from] NoSct),
    /// The submission could not be written.
    #[error("the submission to the logs could not be encoded")]
    Encoding(#[from] serde_json::Error),
}

/// Why the logs could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    /// There would be no SCT in any certificate.
    #[error("no log is there whose SCT certificates could carry")]
    NoLog,
    /// A log is for embedding, and only the embedded log's SCT is to be embedded.
    #[error("the log {0} is to be embedded, but only the embedded log's SCT is")]
    NotEmbedded(Arc<str>),
    /// The CA's chain could not be stored in the embedded log.
    #[error("the CA's certificates could not be stored in the log")]
    Storage(#[from] StorageError),
    /// The HTTP client could not be made; most likely its certificates cannot be used.
    #[error("the log {name} can never be asked")]
    Client {
        /// Its name.
        name: Arc<str>,
        /// Why.
        source: EndpointError,
    },
}
