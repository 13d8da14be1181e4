//! The issuers that entries name, and whether they vouch for the entries.

use std::collections::{HashMap, HashSet};

use super::{Depth, Problem, Report, Source};
use crate::chain::IssuerCertificates;
use crate::leaf::{Entry, Fingerprint, SequencedEntry};
use crate::tree::sha256;

/// Chains that are remembered. A log has a handful; the limit keeps a hostile one from filling memory.
const MAX_CHAINS: usize = 1024;

pub(super) struct Certificates<'a, S> {
    source: &'a S,
    depth: Depth,
    /// Chains that were read; nothing for one that is not good, which was reported when it was met.
    chains: HashMap<Vec<Fingerprint>, Option<IssuerCertificates>>,
    /// Issuers that were read and counted.
    issuers: HashSet<Fingerprint>,
}

impl<'a, S: Source> Certificates<'a, S> {
    pub(super) fn new(source: &'a S, depth: Depth) -> Self {
        Self {
            source,
            depth,
            chains: HashMap::new(),
            issuers: HashSet::new(),
        }
    }

    pub(super) async fn check(&mut self, entry: &SequencedEntry, report: &mut Report) {
        let position = report.entries();
        if !self.chains.contains_key(entry.issuers()) {
            let chain = self.read_chain(entry, report).await;
            self.remember(entry.issuers(), chain);
        }
        if let Some(Some(issuers)) = self.chains.get(entry.issuers()) {
            match issuers.expected_entry(submitted(entry.entry())) {
                Ok(expected) if expected == *entry.entry() => {}
                Ok(_) => report.add(Problem::Content { position }),
                Err(error) => report.add(Problem::Certificate { position, error }),
            }
        }
    }

    fn remember(&mut self, issuers: &[Fingerprint], chain: Option<IssuerCertificates>) {
        if self.chains.len() >= MAX_CHAINS {
            self.chains.clear();
            self.issuers.clear();
        }
        self.chains.insert(issuers.to_vec(), chain);
    }

    async fn read_chain(
        &mut self,
        entry: &SequencedEntry,
        report: &mut Report,
    ) -> Option<IssuerCertificates> {
        let mut chain = Vec::with_capacity(entry.issuers().len());
        for fingerprint in entry.issuers() {
            chain.push(self.read_issuer(*fingerprint, report).await?);
        }
        match self.depth {
            Depth::Structure => None,
            Depth::Certificates => match IssuerCertificates::new(&chain) {
                Ok(chain) => Some(chain),
                Err(error) => {
                    report.add(Problem::Certificate {
                        position: report.entries(),
                        error,
                    });
                    None
                }
            },
        }
    }

    async fn read_issuer(&mut self, fingerprint: Fingerprint, report: &mut Report) -> Option<Vec<u8>> {
        match self.source.issuer(fingerprint).await {
            Ok(der) if sha256(&der) == *fingerprint.as_bytes() => {
                if self.issuers.insert(fingerprint) {
                    report.count_issuer();
                }
                Some(der)
            }
            Ok(_) => {
                report.add(Problem::Issuer(fingerprint));
                None
            }
            Err(error) => {
                report.add(Problem::Unreadable(error));
                None
            }
        }
    }
}

/// The certificate as it was submitted.
fn submitted(entry: &Entry) -> &[u8] {
    match entry {
        Entry::Certificate { der } => der,
        Entry::Precertificate { precertificate, .. } => precertificate,
    }
}
