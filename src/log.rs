//! `Precertificate` -> `Logged`: nothing is issued that is not in the log.

pub mod embedded;

use ct_log::{IssuerChain, Log, PendingEntry, Sct, StorageError, SubmitError, Submitter};

use crate::issuer::{CertificateChain, Precertificate};

/// The embedded CT log, as the CA uses it.
#[derive(Clone)]
pub struct CertificateLog {
    log: Log,
    issuers: IssuerChain,
}

/// A precertificate that is durably in the log, with the log's promise. Only
/// [`CertificateLog::submit`] makes one, and signing the certificate consumes it.
#[derive(Debug)]
pub struct Logged {
    precertificate: Precertificate,
    sct: Sct,
}

impl CertificateLog {
    /// Makes the CA's chain known to the log, durably, before any entry refers to it.
    ///
    /// # Errors
    /// If the log cannot store the chain.
    pub fn new(log: Log, chain: &CertificateChain) -> Result<Self, StorageError> {
        let der: Vec<&[u8]> = chain.der().iter().map(Vec::as_slice).collect();
        let issuers = log.store_issuers(&der)?;
        Ok(Self { log, issuers })
    }

    /// The log itself.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Logs a precertificate: it is sequenced and durable before this returns.
    ///
    /// # Errors
    /// If the log is busy or unavailable.
    pub async fn submit(&self, precertificate: Precertificate) -> Result<Logged, LogError> {
        let entry = PendingEntry::precertificate(
            precertificate.bare_tbs().to_vec(),
            precertificate.der().to_vec(),
            precertificate.issuer_key_hash(),
            self.issuers.clone(),
        );
        // Not verified again: the log made it in this process, of this entry. The SCT of a log elsewhere must be.
        let sct = self.log.submit(entry, Submitter::Internal).await?;
        Ok(Logged { precertificate, sct })
    }
}

impl Logged {
    /// What was logged.
    #[must_use]
    pub fn precertificate(&self) -> &Precertificate {
        &self.precertificate
    }

    /// The log's promise.
    #[must_use]
    pub fn sct(&self) -> &Sct {
        &self.sct
    }
}

/// Why a precertificate was not logged.
#[derive(Debug, thiserror::Error)]
#[error("the certificate transparency log did not take the entry")]
pub struct LogError(#[from] pub SubmitError);
