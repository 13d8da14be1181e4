//! Which submissions the log takes: certificates and precertificates for code signing that chain to the
//! operator's own roots (RFC 6962 section 3.1).
//!
//! The chain check keeps strangers from filling the log and ties every entry to an authority that can be
//! held responsible for it. It is not certificate validation: the validity period, name constraints,
//! policies and revocation are deliberately ignored, so that a mis-issued or expired certificate can be
//! logged too.

mod certificate;
mod error;
mod issuers;

use certificate::Certificate;
pub use error::{ChainError, PolicyError};
pub(crate) use issuers::IssuerCertificates;

use crate::leaf::Entry;
use crate::lifecycle::Window;
use crate::tree::sha256;

/// Longest chain that is accepted, counting the submitted certificate and the root.
pub const MAX_CHAIN: usize = 4;

/// The two submission endpoints, which take different kinds of certificate (RFC 6962 sections 4.1, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `add-chain`: certificates without the poison extension.
    AddChain,
    /// `add-pre-chain`: precertificates, which carry the poison extension.
    AddPreChain,
}

/// Whose certificates a log takes.
#[derive(Clone, Debug)]
pub struct Policy {
    roots: Vec<Certificate>,
    intermediates: Vec<Certificate>,
}

impl Policy {
    /// Accepts what chains to the self-signed certificates among `certificates` (DER). The others are
    /// intermediates that a submitter may leave out of the chain.
    ///
    /// # Errors
    /// If a certificate does not parse, is not a CA's, or none of them is self-signed.
    pub fn new<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, PolicyError> {
        let mut policy = Self::accepting_nothing();
        for (position, der) in certificates.into_iter().enumerate() {
            let certificate = Certificate::parse(position, der)?;
            certificate.check_is_ca(position)?;
            let known = if certificate.is_self_signed() {
                &mut policy.roots
            } else {
                &mut policy.intermediates
            };
            if !known.contains(&certificate) {
                known.push(certificate);
            }
        }
        if policy.roots.is_empty() {
            return Err(PolicyError::NoRoot);
        }
        Ok(policy)
    }

    /// Accepts nothing: for a log that starts before its roots are known.
    pub fn accepting_nothing() -> Self {
        Self {
            roots: Vec::new(),
            intermediates: Vec::new(),
        }
    }

    /// Whether no chain can be accepted.
    pub fn accepts_nothing(&self) -> bool {
        self.roots.is_empty()
    }

    /// The accepted roots, DER, for `get-roots`.
    pub fn roots(&self) -> impl Iterator<Item = &[u8]> {
        self.roots.iter().map(Certificate::der)
    }

    /// Checks a submitted chain (DER, the certificate to log first) and gives the entry to be logged.
    ///
    /// # Errors
    /// The first rule that the chain breaks. All of them are the submitter's to mend.
    pub fn accept<D: AsRef<[u8]>>(
        &self,
        chain: &[D],
        endpoint: Endpoint,
    ) -> Result<AcceptedChain, ChainError> {
        self.accept_in(chain, endpoint, None)
    }

    /// As [`Policy::accept`] for a log that takes only what expires in its window.
    ///
    /// # Errors
    /// The first rule that the chain breaks.
    pub fn accept_in<D: AsRef<[u8]>>(
        &self,
        chain: &[D],
        endpoint: Endpoint,
        window: Option<&Window>,
    ) -> Result<AcceptedChain, ChainError> {
        if chain.len() > MAX_CHAIN {
            return Err(ChainError::TooLong);
        }
        let submitted = chain
            .iter()
            .enumerate()
            .map(|(position, der)| Certificate::parse(position, der.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        let leaf = submitted.first().ok_or(ChainError::Empty)?;
        check_leaf(leaf, endpoint)?;
        if window.is_some_and(|window| !window.covers(leaf.not_after())) {
            return Err(ChainError::OutsideWindow);
        }
        let path = self.complete(submitted)?;
        check_links(&path)?;
        accepted(&path)
    }

    /// Appends the certificates between the end of the submitted chain and a root, the root included.
    fn complete(&self, mut path: Vec<Certificate>) -> Result<Vec<Certificate>, ChainError> {
        while path.len() <= MAX_CHAIN {
            let last = path.last().ok_or(ChainError::Empty)?;
            if self.roots.contains(last) {
                return Ok(path);
            }
            let issuer = self
                .roots
                .iter()
                .chain(&self.intermediates)
                .find(|known| last.is_issued_by(known));
            path.push(issuer.ok_or(ChainError::NoPathToRoot)?.clone());
        }
        Err(ChainError::TooLong)
    }
}

fn check_leaf(leaf: &Certificate, endpoint: Endpoint) -> Result<(), ChainError> {
    match (endpoint, leaf.poison()?) {
        (Endpoint::AddChain, true) => return Err(ChainError::Precertificate),
        (Endpoint::AddPreChain, false) => return Err(ChainError::NotPrecertificate),
        _ => {}
    }
    leaf.check_is_code_signing_leaf()
}

/// Every certificate must be issued by the one after it, and that one must be allowed to.
fn check_links(path: &[Certificate]) -> Result<(), ChainError> {
    for (position, (subject, issuer)) in path.iter().zip(path.iter().skip(1)).enumerate() {
        if subject == issuer {
            return Err(ChainError::Repeated {
                position: position + 1,
            });
        }
        issuer.check_may_issue(position + 1)?;
        subject.check_issued_by(issuer, position)?;
    }
    Ok(())
}

fn accepted(path: &[Certificate]) -> Result<AcceptedChain, ChainError> {
    let (Some(leaf), Some(issuer)) = (path.first(), path.get(1)) else {
        return Err(ChainError::NoPathToRoot);
    };
    let issuers = path.iter().skip(1).map(|issuer| issuer.der().to_vec()).collect();
    Ok(AcceptedChain {
        entry: entry(leaf, issuer)?,
        issuers,
    })
}

/// What a log records of a certificate or precertificate (RFC 6962 section 3.2).
fn entry(leaf: &Certificate, issuer: &Certificate) -> Result<Entry, ChainError> {
    if !leaf.poison()? {
        return Ok(Entry::Certificate {
            der: leaf.der().to_vec(),
        });
    }
    Ok(Entry::Precertificate {
        issuer_key_hash: sha256(&issuer.public_key_info()?),
        tbs: leaf.tbs_without_poison()?,
        precertificate: leaf.der().to_vec(),
    })
}

/// An entry that may be logged, with the validated chain that vouches for it. Made only by
/// [`Policy::accept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedChain {
    entry: Entry,
    issuers: Vec<Vec<u8>>,
}

impl AcceptedChain {
    /// What will be logged.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The certificates above the entry, DER: its issuer first, the root last.
    pub fn issuers(&self) -> &[Vec<u8>] {
        &self.issuers
    }

    /// Gives up the entry.
    pub fn into_entry(self) -> Entry {
        self.entry
    }
}
