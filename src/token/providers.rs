//! For each issuer, where its keys are: configured ones from the start, those that match a pattern as they turn up.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::{task::JoinSet, time::Instant};

use super::{
    FetchError, FetchPolicy, KeyState, TokenError, TokenVerifierError,
    cache::{Fetching, IssuerKeys},
    claims::UnverifiedIssuer,
    error::Quoted,
    fetch::Fetcher,
};
use crate::trusted_issuer::{TrustedIssuer, TrustedIssuers};

/// How many issuers that match one pattern are remembered at the same time; each takes some kilobytes. Beyond it, those
/// whose keys were never had are forgotten first, then the one that was used longest ago.
pub const MAX_ISSUERS_PER_PATTERN: usize = 1000;

/// How many issuers that match one pattern may turn up in a second: whoever can write a token can make up names that
/// match, and each of them costs a connection.
pub const NEW_ISSUERS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How many may turn up at once.
const NEW_ISSUERS_BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// An issuer whose tokens can be verified: the entries of the issuer file for it, one for each audience, and its keys.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) iss: String,
    pub(super) entries: Arc<[Arc<TrustedIssuer>]>,
    pub(super) keys: Arc<IssuerKeys>,
}

/// The keys of every trusted issuer, by the name in the issuer file.
#[derive(Debug)]
pub(super) struct Providers(HashMap<String, Source>);

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
        let mut sources = HashMap::new();
        for entries in issuers.groups() {
            let Some(entry) = entries.first() else { continue };
            let name = entry.name().as_str();
            let source = match old.and_then(|old| old.0.get(name)) {
                Some(same) if same.access == access(entry) => same.again(),
                _ => Source::new(entry, &fetcher)?,
            };
            sources.insert(name.to_owned(), source);
        }
        Ok(Self(sources))
    }

    /// Fetches ahead of every token where the names are known.
    pub(super) fn warm_up(&self) {
        for source in self.0.values() {
            if let Keys::One(keys) = &source.keys {
                keys.keep_fresh();
            }
        }
    }

    pub(super) async fn fetch_all(&self) -> Vec<(String, Result<usize, Arc<FetchError>>)> {
        let mut fetching = JoinSet::new();
        for (name, source) in &self.0 {
            if let Keys::One(keys) = &source.keys {
                let (name, keys) = (name.clone(), Arc::clone(keys));
                fetching.spawn(async move { (name, keys.current().await.map(|cached| cached.keys().len())) });
            }
        }
        let mut fetched = fetching.join_all().await;
        fetched.sort_by(|(left, _), (right, _)| left.cmp(right));
        fetched
    }

    /// The provider of tokens with this `iss`.
    ///
    /// # Errors
    /// No entry names it; or it matches a pattern, and too many new ones turn up.
    pub(super) fn find(
        &self,
        issuers: &TrustedIssuers,
        iss: &UnverifiedIssuer<'_>,
    ) -> Result<Provider, TokenError> {
        let entries = issuers.find(iss.as_str()).ok_or_else(|| iss.not_trusted())?;
        let entry = entries.first().ok_or_else(|| iss.not_trusted())?;
        let source = self
            .0
            .get(entry.name().as_str())
            .ok_or_else(|| iss.not_trusted())?;
        let keys = match &source.keys {
            Keys::One(keys) => Arc::clone(keys),
            Keys::Pattern(pattern) => pattern.keys(entry, iss)?,
        };
        Ok(Provider {
            iss: iss.as_str().to_owned(),
            entries: Arc::clone(entries),
            keys,
        })
    }

    pub(super) fn status(&self) -> impl Iterator<Item = IssuerStatus> {
        self.0.iter().map(|(name, source)| IssuerStatus {
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
    fn new(entry: &TrustedIssuer, fetcher: &Arc<Fetcher>) -> Result<Self, TokenVerifierError> {
        let fetching = Fetching::default();
        let name = entry.name();
        let keys = if name.is_pattern() {
            Keys::Pattern(Arc::new(PatternKeys::new(Arc::clone(fetcher), fetching.clone())))
        } else {
            let issuer = fetcher.issuer(name.as_str(), entry);
            let issuer = issuer.map_err(|problem| TokenVerifierError::Issuer {
                url: name.to_string(),
                problem,
            })?;
            Keys::One(Arc::new(IssuerKeys::new(issuer, Arc::clone(fetcher), &fetching)))
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

/// The keys of the issuers that match one pattern, as far as tokens of theirs have arrived.
#[derive(Debug)]
struct PatternKeys {
    fetcher: Arc<Fetcher>,
    fetching: Fetching,
    known: RwLock<HashMap<String, Known>>,
    newcomers: DefaultDirectRateLimiter,
    started: Instant,
}

#[derive(Debug)]
struct Known {
    keys: Arc<IssuerKeys>,
    /// In seconds since the pattern was configured.
    last_used: AtomicU64,
}

impl PatternKeys {
    fn new(fetcher: Arc<Fetcher>, fetching: Fetching) -> Self {
        let quota = Quota::per_second(NEW_ISSUERS_PER_SECOND).allow_burst(NEW_ISSUERS_BURST);
        Self {
            fetcher,
            fetching,
            known: RwLock::default(),
            newcomers: RateLimiter::direct(quota),
            started: Instant::now(),
        }
    }

    fn keys(&self, entry: &TrustedIssuer, iss: &UnverifiedIssuer<'_>) -> Result<Arc<IssuerKeys>, TokenError> {
        let now = self.started.elapsed().as_secs();
        // Nothing under either lock can panic between two steps of a change.
        if let Some(known) = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(iss.as_str())
        {
            known.last_used.store(now, Ordering::Relaxed);
            return Ok(Arc::clone(&known.keys));
        }
        let crowded = |_| TokenError::IssuerUnavailable {
            issuer: Quoted::new(iss.as_str()),
            source: Arc::new(FetchError::Crowded),
        };
        self.newcomers.check().map_err(crowded)?;
        let url = self
            .fetcher
            .issuer(iss.as_str(), entry)
            .map_err(|_| iss.not_trusted())?;
        let keys = Arc::new(IssuerKeys::new(url, Arc::clone(&self.fetcher), &self.fetching));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_ISSUERS_PER_PATTERN {
            forget_one(&mut known);
        }
        let kept = known.entry(iss.as_str().to_owned()).or_insert_with(|| Known {
            keys,
            last_used: AtomicU64::new(now),
        });
        Ok(Arc::clone(&kept.keys))
    }
}

fn forget_one(known: &mut HashMap<String, Known>) {
    let least = known
        .iter()
        .min_by_key(|(_, known)| (known.keys.has_keys(), known.last_used.load(Ordering::Relaxed)))
        .map(|(iss, _)| iss.clone());
    if let Some(iss) = least {
        known.remove(&iss);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::address::LoopbackHttp, *};
    use crate::{
        identity::Rule,
        trusted_issuer::{ChallengeClaim, IssuerName},
    };

    #[tokio::test]
    async fn what_was_used_longest_ago_is_forgotten() {
        let name = IssuerName::pattern("https://idp.example.com/*").unwrap();
        let entry = TrustedIssuer::new(
            name,
            "sigstore".to_owned(),
            ChallengeClaim::Subject,
            Rule::email(),
        );
        let fetcher = Arc::new(Fetcher::new(FetchPolicy::new(LoopbackHttp::Refused)).unwrap());
        let mut known = HashMap::new();
        for (tenant, last_used) in [("a", 7), ("b", 3), ("c", 5)] {
            let iss = format!("https://idp.example.com/{tenant}");
            let url = fetcher.issuer(&iss, &entry).unwrap();
            let keys = Arc::new(IssuerKeys::new(url, Arc::clone(&fetcher), &Fetching::default()));
            known.insert(
                iss,
                Known {
                    keys,
                    last_used: AtomicU64::new(last_used),
                },
            );
        }
        forget_one(&mut known);
        assert!(!known.contains_key("https://idp.example.com/b") && known.len() == 2);
        forget_one(&mut known);
        assert!(known.contains_key("https://idp.example.com/a") && known.len() == 1);
    }
}
