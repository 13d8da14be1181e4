//! The issuers that match one pattern, as far as tokens of theirs have arrived.
//!
//! Those of which a token was verified are kept apart from those that somebody only named: names alone, which anybody can
//! make up, neither push out an issuer that is used nor take its place in a queue.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use ct_log::acceptor::ClientAddress;

use super::{
    TokenError, UrlError,
    cache::{Fetching, IssuerKeys, Queue},
    claims::UnverifiedIssuer,
    error::Quoted,
    fetch::Fetcher,
    newcomers::Newcomers,
    verified_issuers::VerifiedIssuers,
};
use crate::trusted_issuer::TrustedIssuer;

/// How many issuers that match one pattern are remembered at the same time because a token of theirs was verified, and how
/// many besides because a token named them; each takes some kilobytes. Of the first, the one that was used longest ago is
/// forgotten; of the others, those whose keys were never had come before.
pub const MAX_ISSUERS_PER_PATTERN: usize = 1000;

/// The keys of a pattern's issuers.
#[derive(Debug)]
pub(super) struct PatternKeys {
    fetcher: Arc<Fetcher>,
    fetching: Fetching,
    known: RwLock<KnownIssuers>,
    newcomers: Newcomers,
    /// Counts uses, so that they have an order.
    uses: AtomicU64,
    record: Arc<VerifiedIssuers>,
}

#[derive(Debug, Default)]
struct KnownIssuers {
    /// A token of theirs was verified.
    verified: HashMap<String, Known>,
    /// A token named them.
    named: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    keys: Arc<IssuerKeys>,
    /// Of a verified issuer: when a token was verified. Of another: when a token named it.
    last_used: AtomicU64,
}

/// An issuer of a pattern, for one token.
#[derive(Debug)]
pub(super) struct PatternIssuer {
    pattern: Arc<PatternKeys>,
    pub(super) keys: Arc<IssuerKeys>,
    /// If the token is the first that names it: whose share it was admitted by, until the outcome is known.
    newcomer: Option<Option<ClientAddress>>,
}

impl PatternKeys {
    pub(super) fn new(fetcher: Arc<Fetcher>, fetching: Fetching, record: Arc<VerifiedIssuers>) -> Self {
        Self {
            fetcher,
            fetching,
            known: RwLock::default(),
            newcomers: Newcomers::default(),
            uses: AtomicU64::new(0),
            record,
        }
    }

    /// The issuer that a token of `client` names.
    ///
    /// # Errors
    /// It is new, and too many are.
    pub(super) fn issuer(
        self: &Arc<Self>,
        entry: &TrustedIssuer,
        iss: &UnverifiedIssuer<'_>,
        client: Option<ClientAddress>,
    ) -> Result<PatternIssuer, TokenError> {
        let of = |keys, newcomer| PatternIssuer {
            pattern: Arc::clone(self),
            keys,
            newcomer,
        };
        if let Some(keys) = self.known(iss.as_str()) {
            return Ok(of(keys, None));
        }
        let crowded = |source| TokenError::IssuerUnavailable {
            issuer: Quoted::new(iss.as_str()),
            source: Arc::new(source),
        };
        self.newcomers.admit(client).map_err(crowded)?;
        let new = self
            .keys(entry, iss.as_str(), Queue::Named)
            .map_err(|_| iss.not_trusted(None))?;
        let keys = self.write().name(self.used_now(new));
        Ok(of(keys, Some(client)))
    }

    /// Takes an issuer for one of which a token was verified before, as long as there is room.
    pub(super) fn remember(&self, entry: &TrustedIssuer, iss: &str) {
        let Ok(keys) = self.keys(entry, iss, Queue::Verified) else {
            return;
        };
        let mut known = self.write();
        if known.verified.len() < MAX_ISSUERS_PER_PATTERN {
            known
                .verified
                .entry(iss.to_owned())
                .or_insert_with(|| self.used_now(keys));
        }
    }

    /// Forgets the others.
    pub(super) fn retain(&self, matches: impl Fn(&str) -> bool) {
        self.write().verified.retain(|iss, _| matches(iss));
    }

    /// The issuers of which a token was verified, the one that was used last at the end.
    pub(super) fn verified(&self) -> Vec<String> {
        let known = self.read();
        let mut verified: Vec<_> = known
            .verified
            .iter()
            .map(|(iss, known)| (known.last_used.load(Ordering::Relaxed), iss.clone()))
            .collect();
        verified.sort_unstable();
        verified.into_iter().map(|(_, iss)| iss).collect()
    }

    fn known(&self, iss: &str) -> Option<Arc<IssuerKeys>> {
        let known = self.read();
        if let Some(verified) = known.verified.get(iss) {
            return Some(Arc::clone(&verified.keys));
        }
        let named = known.named.get(iss)?;
        named.last_used.store(self.next_use(), Ordering::Relaxed);
        Some(Arc::clone(&named.keys))
    }

    /// A token of the issuer was verified with these keys.
    fn verified_by(&self, keys: &Arc<IssuerKeys>) {
        let iss = keys.issuer();
        if let Some(verified) = self.read().verified.get(iss) {
            verified.last_used.store(self.next_use(), Ordering::Relaxed);
            return;
        }
        keys.set_verified();
        self.write().verify(self.used_now(Arc::clone(keys)));
        self.record.changed();
    }

    fn keys(&self, entry: &TrustedIssuer, iss: &str, queue: Queue) -> Result<Arc<IssuerKeys>, UrlError> {
        let url = self.fetcher.issuer(iss, entry)?;
        let fetcher = Arc::clone(&self.fetcher);
        Ok(Arc::new(IssuerKeys::new(url, fetcher, &self.fetching, queue)))
    }

    fn used_now(&self, keys: Arc<IssuerKeys>) -> Known {
        Known {
            keys,
            last_used: AtomicU64::new(self.next_use()),
        }
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    // Nothing under either lock can panic between two steps of a change.
    fn read(&self) -> RwLockReadGuard<'_, KnownIssuers> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, KnownIssuers> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PatternIssuer {
    /// Its token was verified.
    pub(super) fn verified(mut self) {
        self.newcomer = None;
        self.pattern.verified_by(&self.keys);
    }

    /// Nothing can be said of its token, for a reason that is not the issuer's.
    pub(super) fn excuse(mut self) {
        self.newcomer = None;
    }
}

impl Drop for PatternIssuer {
    /// Also if the caller hangs up before the outcome is known.
    fn drop(&mut self) {
        if let Some(client) = self.newcomer {
            self.pattern.newcomers.failed(client);
        }
    }
}

impl KnownIssuers {
    /// A token names it: gives the keys that are there by now.
    fn name(&mut self, known: Known) -> Arc<IssuerKeys> {
        let iss = known.keys.issuer().to_owned();
        if let Some(verified) = self.verified.get(&iss) {
            return Arc::clone(&verified.keys);
        }
        if self.named.len() >= MAX_ISSUERS_PER_PATTERN {
            forget_one(&mut self.named);
        }
        Arc::clone(&self.named.entry(iss).or_insert(known).keys)
    }

    /// A token of it was verified.
    fn verify(&mut self, known: Known) {
        let iss = known.keys.issuer().to_owned();
        self.named.remove(&iss);
        if self.verified.len() >= MAX_ISSUERS_PER_PATTERN {
            forget_one(&mut self.verified);
        }
        self.verified.entry(iss).or_insert(known);
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
    use super::{
        super::{FetchPolicy, address::LoopbackHttp},
        *,
    };
    use crate::{
        identity::Rule,
        trusted_issuer::{ChallengeClaim, IssuerName},
    };

    fn pattern() -> (TrustedIssuer, Arc<PatternKeys>) {
        let name = IssuerName::pattern("https://idp.example.com/*").unwrap();
        let (audience, challenge) = ("sigstore".to_owned(), ChallengeClaim::Subject);
        let entry = TrustedIssuer::new(name, audience, challenge, Rule::email());
        let fetcher = Arc::new(Fetcher::new(FetchPolicy::new(LoopbackHttp::Refused)).unwrap());
        let pattern = PatternKeys::new(fetcher, Fetching::default(), Arc::default());
        (entry, Arc::new(pattern))
    }

    fn iss(tenant: &str) -> String {
        format!("https://idp.example.com/{tenant}")
    }

    /// As the first token of it does, without the limit on those.
    fn name(pattern: &PatternKeys, entry: &TrustedIssuer, tenant: &str) -> Arc<IssuerKeys> {
        let keys = pattern.keys(entry, &iss(tenant), Queue::Named).unwrap();
        let mut known = pattern.write();
        known.name(pattern.used_now(Arc::clone(&keys)));
        keys
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten() {
        let (entry, pattern) = pattern();
        for tenant in ["a", "b", "c"] {
            pattern.remember(&entry, &iss(tenant));
        }
        let keys = Arc::clone(&pattern.read().verified[&iss("a")].keys);
        pattern.verified_by(&keys);
        forget_one(&mut pattern.write().verified);
        assert_eq!(pattern.verified(), [iss("c"), iss("a")]);
    }

    #[test]
    fn names_push_out_nothing_but_names() {
        let (entry, pattern) = pattern();
        pattern.remember(&entry, &iss("old"));
        pattern.verified_by(&name(&pattern, &entry, "new"));
        for number in 0..2 * MAX_ISSUERS_PER_PATTERN {
            name(&pattern, &entry, &format!("made-up-{number}"));
        }
        assert_eq!(pattern.verified(), [iss("old"), iss("new")]);
        assert_eq!(pattern.read().named.len(), MAX_ISSUERS_PER_PATTERN);
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let (entry, pattern) = pattern();
        for number in 0..2 * MAX_ISSUERS_PER_PATTERN {
            pattern.remember(&entry, &iss(&format!("{number}")));
        }
        pattern.verified_by(&name(&pattern, &entry, "new"));
        let verified = pattern.verified();
        assert_eq!(verified.len(), MAX_ISSUERS_PER_PATTERN);
        assert_eq!(verified.last(), Some(&iss("new")));
        pattern.retain(|name| name == iss("new"));
        assert_eq!(pattern.verified(), [iss("new")]);
    }
}
