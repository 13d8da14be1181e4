//! Submission to the embedded log.

use std::time::{Duration, SystemTime};

use ct_log::{IssuerChain, Log, PendingEntry, Phase, StorageError, SubmitError, Submitter};

use super::{
    VerifiedSct,
    shards::{Shards, written},
};
use crate::{
    clock::Timestamp,
    issuer::{CertificateChain, Precertificate},
    profile::LIFETIME,
};

/// The log in this process, with the CA's chain in every shard that can still get entries.
#[derive(Clone)]
pub(super) struct EmbeddedLog {
    shards: Shards,
    /// One for each shard; none for those that are read only.
    issuers: Vec<Option<IssuerChain>>,
}

/// Why the embedded log did not take an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The shard did not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// No shard takes certificates that end when this one does.
    #[error("no shard of the log takes certificates that end at {}", written(*.0))]
    NoShard(SystemTime),
}

impl EmbeddedLog {
    /// Makes the CA's chain known to the log, durably, before any entry refers to it.
    pub(super) fn new(shards: Shards, chain: &CertificateChain) -> Result<Self, StorageError> {
        let der: Vec<&[u8]> = chain.der().iter().map(Vec::as_slice).collect();
        let store = |log: &Log| match log.phase() {
            Phase::ReadOnly => Ok(None),
            Phase::Pending | Phase::Active => log.store_issuers(&der).map(Some),
        };
        let issuers = shards.iter().map(store).collect::<Result<_, _>>()?;
        Ok(Self { shards, issuers })
    }

    /// The same log, or these shards of it, for another chain.
    pub(super) fn with(
        &self,
        shards: Option<&Shards>,
        chain: &CertificateChain,
    ) -> Result<Self, StorageError> {
        Self::new(shards.unwrap_or(&self.shards).clone(), chain)
    }

    pub(super) fn shards(&self) -> &Shards {
        &self.shards
    }

    pub(super) fn covers(&self, not_after: Duration) -> bool {
        self.shard(Timestamp::from_unix(not_after)).is_some()
    }

    /// Whether a certificate that is issued now could be logged.
    pub(super) fn health(&self, now: Timestamp) -> Result<(), String> {
        let not_after = now.plus(LIFETIME);
        match self.shard(not_after) {
            Some((log, _)) => log.health().map_err(|error| error.to_string()),
            None => Err(no_shard(not_after).to_string()),
        }
    }

    /// Sequenced and durable before this returns.
    pub(super) async fn submit(&self, precertificate: &Precertificate) -> Result<VerifiedSct, EmbeddedError> {
        let not_after = precertificate.draft().validity().not_after.to_unix_duration();
        let not_after = Timestamp::from_unix(not_after);
        let (log, issuers) = self.shard(not_after).ok_or_else(|| no_shard(not_after))?;
        let entry = PendingEntry::precertificate(
            precertificate.bare_tbs().to_vec(),
            precertificate.der().to_vec(),
            precertificate.issuer_key_hash(),
            issuers.clone(),
        );
        let sct = log.submit(entry, Submitter::Internal).await?;
        Ok(VerifiedSct::embedded(&sct))
    }

    fn shard(&self, not_after: Timestamp) -> Option<(&Log, &IssuerChain)> {
        let position = self.shards.position(not_after)?;
        let issuers = self.issuers.get(position)?.as_ref()?;
        Some((self.shards.iter().nth(position)?, issuers))
    }
}

fn no_shard(not_after: Timestamp) -> EmbeddedError {
    let end = SystemTime::UNIX_EPOCH.checked_add(not_after.since_epoch());
    EmbeddedError::NoShard(end.unwrap_or(SystemTime::UNIX_EPOCH))
}
