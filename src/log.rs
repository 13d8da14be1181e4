//! `Precertificate` -> `Logged`: nothing is issued that is not in a log.

pub mod embedded;
mod in_process;
mod sct;

use ct_log::{Log, StorageError, SubmitError};

use self::in_process::EmbeddedLog;
pub use self::sct::{EMBEDDED, VerifiedSct};
use crate::issuer::{CertificateChain, Precertificate};

/// The CT logs, as the CA uses them.
#[derive(Clone)]
pub struct CertificateLog {
    embedded: EmbeddedLog,
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
    /// Makes the CA's chain known to the log, durably, before any entry refers to it.
    ///
    /// # Errors
    /// If the log cannot store the chain.
    pub fn new(log: Log, chain: &CertificateChain) -> Result<Self, StorageError> {
        Ok(Self {
            embedded: EmbeddedLog::new(log, chain)?,
        })
    }

    /// The log itself.
    #[must_use]
    pub fn log(&self) -> &Log {
        self.embedded.log()
    }

    /// Logs a precertificate: it is sequenced and durable before this returns.
    ///
    /// # Errors
    /// If the log is busy or unavailable.
    pub async fn submit(&self, precertificate: Precertificate) -> Result<Logged, LogError> {
        let sct = self.embedded.submit(&precertificate).await?;
        Ok(Logged {
            precertificate,
            scts: vec![sct],
        })
    }
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
#[error("the certificate transparency log did not take the entry")]
pub struct LogError(#[from] pub SubmitError);
