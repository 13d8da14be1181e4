//! For each issuer, where its keys are: configured ones from the start, those that match a pattern as they turn up.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use ct_log::acceptor::ClientAddress;
use tokio::task::JoinSet;

use super::{
    FetchError, FetchPolicy, KeyState, TokenError, TokenVerifierError,
    cache::{Fetching, IssuerKeys, Queue},
    claims::UnverifiedIssuer,
    fetch::Fetcher,
    pattern::{PatternIssuer, PatternKeys},
    verified_issuers::VerifiedIssuers,
};
use crate::trusted_issuer::{TrustedIssuer, TrustedIssuers};

/// An issuer whose tokens can be verified.
#[derive(Debug)]
pub(super) enum Provider {
    /// Named in the issuer file.
    Configured(Arc<IssuerKeys>),
    /// Of a pattern there.
    OfPattern(PatternIssuer),
}

/// The keys of every trusted issuer, by the name in the issuer file.
#[derive(Debug)]
pub(super) struct Providers {
    sources: HashMap<String, Source>,
    /// Which issuers of patterns are remembered.
    record: Arc<VerifiedIssuers>,
}

/// What stands behind one name.
#[derive(Debug)]
struct Source {
    /// From the file: with either of them, the way to the keys changes.
    access: (Option<Arc<str>>, String),
    fetching: Fetching,
    keys: Keys,
}

#[derive(Debug, Clone)]
enum Keys {
    One(Arc<IssuerKeys>),
    Pattern(Arc<PatternKeys>),
}

/// How one issuer or pattern stands.
#[derive(Clone, Debug)]
pub struct IssuerStatus {
    /// Its name in the issuer file.
    pub name: String,
    /// What is known about its keys.
    pub keys: KeyState,
    /// How often its keys were fetched since it was configured.
    pub fetched: u64,
    /// How often that failed.
    pub failed: u64,
}

impl Providers {
    /// The sources for `issuers`; those that `old` has already are taken from there.
    pub(super) fn new(
        issuers: &TrustedIssuers,
        policy: &FetchPolicy,
        old: Option<&Self>,
    ) -> Result<Self, TokenVerifierError> {
        let fetcher = Fetcher::new(policy.clone()).map_err(TokenVerifierError::HttpClient)?;
        let fetcher = Arc::new(fetcher);
        let record = old.map_or_else(Arc::default, |old| Arc::clone(&old.record));
        let mut sources = HashMap::new();
        for entries in issuers.groups() {
            let Some(entry) = entries.first() else { continue };
            let name = entry.name().as_str();
            let source = match old.and_then(|old| old.sources.get(name)) {
                Some(same) if same.access == access(entry) => same.again(),
                _ => Source::new(entry, &fetcher, &record)?,
            };
            sources.insert(name.to_owned(), source);
        }
        let new = Self { sources, record };
        let verified = new.record.issuers();
        new.record.hold(new.patterns().map(Arc::downgrade).collect());
        new.remember(issuers, verified);
        Ok(new)
    }

    /// Remembers in this file which issuers of patterns are verified, and takes those for verified that it has already.
    pub(super) fn remember_in(&self, path: PathBuf, issuers: &TrustedIssuers) {
        let verified = self.record.open(path);
        self.remember(issuers, verified);
    }

    /// Writes that file, if something in it is not as it should be by now.
    pub(super) async fn save_verified(&self) {
        self.record.save().await;
    }

    /// Takes these issuers for verified as far as they match a pattern, and no others.
    fn remember(&self, issuers: &TrustedIssuers, verified: Vec<String>) {
        let entry = |iss: &str| issuers.find(iss)?.first();
        for (name, source) in &self.sources {
            if let Keys::Pattern(pattern) = &source.keys {
                pattern.retain(|iss| entry(iss).is_some_and(|entry| entry.name().as_str() == name));
            }
        }
        for iss in verified {
            if let Some(entry) = entry(&iss)
                && let Some(Keys::Pattern(pattern)) = self.keys(entry)
            {
                pattern.remember(entry, &iss);
            }
        }
    }

    fn patterns(&self) -> impl Iterator<Item = &Arc<PatternKeys>> {
        self.sources.values().filter_map(|source| match &source.keys {
            Keys::Pattern(pattern) => Some(pattern),
            Keys::One(_) => None,
        })
    }

    fn keys(&self, entry: &TrustedIssuer) -> Option<&Keys> {
        self.sources.get(entry.name().as_str()).map(|source| &source.keys)
    }

    /// Fetches ahead of every token where the names are known.
    pub(super) fn warm_up(&self) {
        for source in self.sources.values() {
            if let Keys::One(keys) = &source.keys {
                keys.keep_fresh();
            }
        }
    }

    pub(super) async fn fetch_all(&self) -> Vec<(String, Result<usize, Arc<FetchError>>)> {
        let mut fetching = JoinSet::new();
        for (name, source) in &self.sources {
            if let Keys::One(keys) = &source.keys {
                let (name, keys) = (name.clone(), Arc::clone(keys));
                fetching
                    .spawn(async move { (name, keys.current(None).await.map(|cached| cached.keys().len())) });
            }
        }
        let mut fetched = fetching.join_all().await;
        fetched.sort_by(|(left, _), (right, _)| left.cmp(right));
        fetched
    }

    /// The provider of a token of `client` with this `iss`, which this entry trusts.
    ///
    /// # Errors
    /// It matches a pattern, and too many new ones turn up.
    pub(super) fn find(
        &self,
        entry: &TrustedIssuer,
        iss: &UnverifiedIssuer<'_>,
        client: Option<ClientAddress>,
    ) -> Result<Provider, TokenError> {
        match self.keys(entry).ok_or_else(|| iss.not_trusted(None))? {
            Keys::One(keys) => Ok(Provider::Configured(Arc::clone(keys))),
            Keys::Pattern(pattern) => pattern.issuer(entry, iss, client).map(Provider::OfPattern),
        }
    }

    pub(super) fn status(&self) -> impl Iterator<Item = IssuerStatus> {
        self.sources.iter().map(|(name, source)| IssuerStatus {
            name: name.clone(),
            keys: match &source.keys {
                Keys::One(keys) => keys.state(),
                Keys::Pattern(_) => KeyState::OnDemand,
            },
            fetched: source.fetching.counts.succeeded.load(Ordering::Relaxed),
            failed: source.fetching.counts.failed.load(Ordering::Relaxed),
        })
    }
}

impl Source {
    fn new(
        entry: &TrustedIssuer,
        fetcher: &Arc<Fetcher>,
        record: &Arc<VerifiedIssuers>,
    ) -> Result<Self, TokenVerifierError> {
        let fetching = Fetching::default();
        let name = entry.name();
        let keys = if name.is_pattern() {
            let (fetcher, record) = (Arc::clone(fetcher), Arc::clone(record));
            Keys::Pattern(Arc::new(PatternKeys::new(fetcher, fetching.clone(), record)))
        } else {
            let issuer = fetcher.issuer(name.as_str(), entry);
            let issuer = issuer.map_err(|problem| TokenVerifierError::Issuer {
                url: name.to_string(),
                problem,
            })?;
            let fetcher = Arc::clone(fetcher);
            Keys::One(Arc::new(IssuerKeys::new(
                issuer,
                fetcher,
                &fetching,
                Queue::Verified,
            )))
        };
        Ok(Self {
            access: access(entry),
            fetching,
            keys,
        })
    }

    fn again(&self) -> Self {
        Self {
            access: self.access.clone(),
            fetching: self.fetching.clone(),
            keys: self.keys.clone(),
        }
    }
}

/// The certificates that are trusted for the issuer's sake, and its type, by which the cluster's own issuer is known.
fn access(entry: &TrustedIssuer) -> (Option<Arc<str>>, String) {
    (entry.ca_certificates().cloned(), entry.issuer_type().to_owned())
}
