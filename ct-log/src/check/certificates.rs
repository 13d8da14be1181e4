//! The issuers that entries name, and whether they vouch for each other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::{Depth, Problem, Source};
use crate::chain::IssuerCertificates;
use crate::leaf::Fingerprint;
use crate::tree::sha256;

/// Chains that are remembered. A log has a handful; the limit keeps a hostile one from filling memory.
const MAX_CHAINS: usize = 1024;

/// Shared by the tiles that are checked at the same time: each chain is read once.
pub(super) struct Chains<'a, S> {
    source: &'a S,
    depth: Depth,
    /// Only those who read tiles wait for it: they go on together.
    known: Mutex<Known>,
    /// Issuers that were read.
    issuers: AtomicU64,
}

struct Known {
    /// Chains that were read; nothing for one that is not good, which was reported when it was met.
    chains: HashMap<Vec<Fingerprint>, Option<Arc<IssuerCertificates>>>,
    /// Issuers that were read and counted.
    issuers: HashSet<Fingerprint>,
}

impl<'a, S: Source> Chains<'a, S> {
    pub(super) fn new(source: &'a S, depth: Depth) -> Self {
        let known = Known {
            chains: HashMap::new(),
            issuers: HashSet::new(),
        };
        Self {
            source,
            depth,
            known: Mutex::new(known),
            issuers: AtomicU64::new(0),
        }
    }

    /// Issuers that were read so far.
    pub(super) fn issuers(&self) -> u64 {
        self.issuers.load(Ordering::Relaxed)
    }

    /// The chain of the entry at `position`, if it is good and certificates are to be checked.
    pub(super) async fn of(
        &self,
        issuers: &[Fingerprint],
        position: u64,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<IssuerCertificates>> {
        let mut known = self.known.lock().await;
        if let Some(chain) = known.chains.get(issuers) {
            return chain.clone();
        }
        let chain = match self.read_chain(issuers, position, &mut known).await {
            Ok(chain) => chain,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        known.remember(issuers, chain.clone());
        chain
    }

    async fn read_chain(
        &self,
        issuers: &[Fingerprint],
        position: u64,
        known: &mut Known,
    ) -> Result<Option<Arc<IssuerCertificates>>, Problem> {
        let mut chain = Vec::with_capacity(issuers.len());
        for fingerprint in issuers {
            chain.push(self.read_issuer(*fingerprint).await?);
            if known.issuers.insert(*fingerprint) {
                self.issuers.fetch_add(1, Ordering::Relaxed);
            }
        }
        match self.depth {
            Depth::Structure => Ok(None),
            Depth::Certificates => match IssuerCertificates::new(&chain) {
                Ok(chain) => Ok(Some(Arc::new(chain))),
                Err(error) => Err(Problem::Certificate { position, error }),
            },
        }
    }

    async fn read_issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, Problem> {
        match self.source.issuer(fingerprint).await {
            Ok(der) if sha256(&der) == *fingerprint.as_bytes() => Ok(der),
            Ok(_) => Err(Problem::Issuer(fingerprint)),
            Err(error) => Err(Problem::Unreadable(error)),
        }
    }
}

impl Known {
    fn remember(&mut self, issuers: &[Fingerprint], chain: Option<Arc<IssuerCertificates>>) {
        if self.chains.len() >= MAX_CHAINS {
            self.chains.clear();
            self.issuers.clear();
        }
        self.chains.insert(issuers.to_vec(), chain);
    }
}
