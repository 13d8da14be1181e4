//! Submission to the embedded log.

use ct_log::{IssuerChain, Log, PendingEntry, StorageError, SubmitError, Submitter};

use super::VerifiedSct;
use crate::issuer::{CertificateChain, Precertificate};

/// The log in this process, with the CA's chain in it.
#[derive(Clone)]
pub(super) struct EmbeddedLog {
    log: Log,
    issuers: IssuerChain,
}

impl EmbeddedLog {
    /// Makes the CA's chain known to the log, durably, before any entry refers to it.
    pub(super) fn new(log: Log, chain: &CertificateChain) -> Result<Self, StorageError> {
        let der: Vec<&[u8]> = chain.der().iter().map(Vec::as_slice).collect();
        let issuers = log.store_issuers(&der)?;
        Ok(Self { log, issuers })
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Sequenced and durable before this returns.
    pub(super) async fn submit(&self, precertificate: &Precertificate) -> Result<VerifiedSct, SubmitError> {
        let entry = PendingEntry::precertificate(
            precertificate.bare_tbs().to_vec(),
            precertificate.der().to_vec(),
            precertificate.issuer_key_hash(),
            self.issuers.clone(),
        );
        let sct = self.log.submit(entry, Submitter::Internal).await?;
        Ok(VerifiedSct::embedded(&sct))
    }
}
