//! Issuer certificates, stored before any entry may name them (C8).

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError};

use crate::leaf::Fingerprint;
use crate::storage::Objects;
use crate::threads::{Mutex, MutexGuard};
use crate::tree::sha256;

/// Most fingerprints that an entry can carry: they have a two-byte length (static-ct-api).
const MAX_CHAIN: usize = 2047;

/// Most fingerprints that are remembered as stored.
const MAX_KNOWN: usize = 4096;

/// The issuers of an entry, all of them stored by this log: the leaf's issuer first. Made only by
/// [`Log::store_issuers`](crate::Log::store_issuers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerChain {
    fingerprints: Arc<[Fingerprint]>,
}

impl IssuerChain {
    /// SHA-256 of each certificate, the leaf's issuer first.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }
}

/// Stores issuers, each once.
#[derive(Debug)]
pub(crate) struct Issuers {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// Those that this process knows to be durable.
    durable: BTreeSet<Fingerprint>,
    /// Whether the log is shut down, and the directory not this process's any more.
    closed: bool,
}

impl Issuers {
    pub(crate) fn new() -> Issuers {
        Issuers {
            known: Mutex::new(Known {
                durable: BTreeSet::new(),
                closed: false,
            }),
        }
    }

    /// Writes no more, also not by whoever is in [`Issuers::store`] now: on return that is over.
    pub(crate) fn close(&self) {
        self.known().closed = true;
    }

    /// Durable on return.
    pub(crate) fn store(&self, objects: &dyn Objects, chain: &[&[u8]]) -> io::Result<IssuerChain> {
        if chain.len() > MAX_CHAIN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the chain is too long",
            ));
        }
        let fingerprint = |der: &&[u8]| Fingerprint::new(sha256(der));
        let fingerprints: Arc<[_]> = chain.iter().map(fingerprint).collect();
        let mut known = self.known();
        let unknown = fingerprints
            .iter()
            .zip(chain)
            .filter(|(fingerprint, _)| !known.durable.contains(fingerprint));
        let files: Vec<_> = unknown
            .map(|(fingerprint, der)| (path(fingerprint), *der))
            .collect();
        if !files.is_empty() {
            if known.closed {
                return Err(io::Error::other("the log is shut down"));
            }
            objects.put_immutable(&files)?;
            if known.durable.len() >= MAX_KNOWN {
                known.durable.clear();
            }
            known.durable.extend(fingerprints.iter().copied());
        }
        Ok(IssuerChain { fingerprints })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path below the monitoring prefix.
pub(crate) fn path(fingerprint: &Fingerprint) -> String {
    format!("issuer/{fingerprint}")
}
