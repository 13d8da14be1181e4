//! The cached keys of one issuer. Reading them is one atomic load; fetching them is one task at a time, at most one
//! per [`COOL_DOWN`], that outlives the request which started it and touches no other issuer.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use ct_log::acceptor::ClientAddress;
use tokio::{sync::watch, time::Instant};

use super::{
    fetch::{FetchError, FetchedKeys, Fetcher, IssuerUrl},
    keys::KeySet,
    waiting::Waiting,
};

/// The least time between the starts of two fetches from one issuer, whatever tokens arrive.
pub const COOL_DOWN: Duration = Duration::from_secs(10);

/// How long keys are fresh when the issuer's `Cache-Control` does not say: short enough that a withdrawn key dies soon,
/// long enough that fetching costs nothing.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The bounds within which an issuer's own `max-age` is believed.
pub const LIFETIME_BOUNDS: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));

/// How long keys are still used after their lifetime while the issuer cannot be reached.
pub const MAX_STALENESS: Duration = Duration::from_secs(6 * 60 * 60);

/// How long the background refresh waits after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Keys as fetched at one moment; replaced whole, so that a withdrawn key is gone.
#[derive(Debug)]
pub(super) struct CachedKeys {
    keys: KeySet,
    asked_at: Instant,
    fresh_until: Instant,
    refresh_at: Instant,
}

impl CachedKeys {
    fn new(fetched: FetchedKeys, asked_at: Instant, now: Instant) -> Self {
        let (least, most) = LIFETIME_BOUNDS;
        let lifetime = fetched
            .max_age
            .map_or(DEFAULT_LIFETIME, |max_age| max_age.clamp(least, most));
        Self {
            keys: fetched.keys,
            asked_at,
            fresh_until: now + lifetime,
            refresh_at: now + lifetime / 5 * 4,
        }
    }

    pub(super) fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Whether the issuer was asked for these after `moment`.
    pub(super) fn are_newer_than(&self, moment: Instant) -> bool {
        moment <= self.asked_at
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until
    }

    fn is_due(&self, now: Instant) -> bool {
        self.refresh_at <= now
    }

    fn is_usable(&self, now: Instant) -> bool {
        now < self.fresh_until + MAX_STALENESS
    }
}

/// The keys of one issuer and the state of their fetching.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    issuer: IssuerUrl,
    fetcher: Arc<Fetcher>,
    counts: Arc<FetchCounts>,
    cached: ArcSwapOption<CachedKeys>,
    progress: watch::Sender<Progress>,
    queues: Queues,
    is_verified: AtomicBool,
    is_kept_fresh: AtomicBool,
}

/// What the issuers behind one name of the issuer file have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetching {
    pub(super) counts: Arc<FetchCounts>,
    queues: Queues,
}

/// Where requests wait for keys.
#[derive(Clone, Debug, Default)]
struct Queues {
    verified: Arc<Waiting>,
    named: Arc<Waiting>,
}

/// In which queue requests wait for the keys of an issuer. They are apart, so that issuers that are made up do not take the
/// places of those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Of issuers that are configured, or of which a token was verified.
    Verified,
    /// Of issuers that match a pattern, and that a token names.
    Named,
}

/// How often keys were fetched, for one entry of the issuer file.
#[derive(Debug, Default)]
pub(super) struct FetchCounts {
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// How fetching stands.
#[derive(Debug)]
struct Progress {
    last_start: Option<Instant>,
    is_running: bool,
    /// Of the last fetch that ended.
    outcome: Result<(), Arc<FetchError>>,
}

/// What a search for newer keys found.
#[derive(Debug)]
pub(super) enum NewerKeys {
    /// These.
    Fetched(Arc<CachedKeys>),
    /// The issuer was asked, and has no others.
    None,
    /// The issuer was asked a moment ago and is not asked again before this has passed.
    NotAsked(Duration),
}

/// What is known about an issuer's keys without asking it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeyState {
    /// Fetched, and within their lifetime.
    Fresh,
    /// Past their lifetime, and used because the issuer cannot be reached just now.
    Stale,
    /// None: tokens of this issuer cannot be verified now.
    Unavailable(Arc<FetchError>),
    /// The issuer answers but publishes no key that could verify a token.
    NoUsableKey,
    /// Of a pattern: each issuer's keys are fetched when its first token arrives.
    OnDemand,
}

impl KeyState {
    /// Whether tokens can be verified now.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn usable(&self) -> Result<(), String> {
        match self {
            Self::Fresh | Self::Stale | Self::OnDemand => Ok(()),
            Self::Unavailable(error) => Err(error.to_string()),
            Self::NoUsableKey => Err("the issuer publishes no key that could verify a token".to_owned()),
        }
    }
}

impl IssuerKeys {
    pub(super) fn new(issuer: IssuerUrl, fetcher: Arc<Fetcher>, fetching: &Fetching, queue: Queue) -> Self {
        let progress = Progress {
            last_start: None,
            is_running: false,
            outcome: Err(Arc::new(FetchError::Interrupted)),
        };
        Self {
            issuer,
            fetcher,
            counts: Arc::clone(&fetching.counts),
            cached: ArcSwapOption::empty(),
            progress: watch::Sender::new(progress),
            queues: fetching.queues.clone(),
            is_verified: AtomicBool::new(queue == Queue::Verified),
            is_kept_fresh: AtomicBool::new(false),
        }
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// From now on a token of the issuer has been verified.
    pub(super) fn set_verified(&self) {
        self.is_verified.store(true, Ordering::Relaxed);
    }

    /// Keys to verify a token of `client` with, if that is known. While a fetch fails, keys past their lifetime serve on
    /// without any waiting.
    ///
    /// # Errors
    /// There are no keys young enough, and fetching them fails, or failed within the cool-down.
    pub(super) async fn current(
        self: &Arc<Self>,
        client: Option<ClientAddress>,
    ) -> Result<Arc<CachedKeys>, Arc<FetchError>> {
        let now = Instant::now();
        match self.cached.load_full() {
            Some(cached) if cached.is_fresh(now) => {
                // Where nobody keeps the keys fresh, whoever uses them does.
                if cached.is_due(now) && self.outcome().is_ok() {
                    self.start_refresh();
                }
                return Ok(cached);
            }
            Some(cached) if cached.is_usable(now) && self.outcome().is_err() => {
                self.start_refresh();
                return Ok(cached);
            }
            _ => {
                self.await_refresh(client).await?;
            }
        }
        match self.cached.load_full() {
            Some(cached) if cached.is_usable(Instant::now()) => Ok(cached),
            _ => Err(self
                .outcome()
                .err()
                .unwrap_or_else(|| Arc::new(FetchError::Interrupted))),
        }
    }

    /// Newer keys than `known`, for a token of `client` that `known` says nothing about.
    ///
    /// # Errors
    /// The fetch that would tell fails, or failed within the cool-down.
    pub(super) async fn newer_than(
        self: &Arc<Self>,
        known: &Arc<CachedKeys>,
        client: Option<ClientAddress>,
    ) -> Result<NewerKeys, Arc<FetchError>> {
        let cooling = self.await_refresh(client).await?;
        match (self.cached.load_full(), cooling) {
            (Some(cached), _) if !Arc::ptr_eq(&cached, known) => Ok(NewerKeys::Fetched(cached)),
            (_, None) => self.outcome().map(|()| NewerKeys::None),
            (_, Some(rest)) => self.outcome().map(|()| NewerKeys::NotAsked(rest)),
        }
    }

    pub(super) fn state(&self) -> KeyState {
        let now = Instant::now();
        match &*self.cached.load() {
            Some(cached) if cached.is_usable(now) && cached.keys.is_empty() => KeyState::NoUsableKey,
            Some(cached) if cached.is_fresh(now) => KeyState::Fresh,
            Some(cached) if cached.is_usable(now) => KeyState::Stale,
            _ => KeyState::Unavailable(
                self.outcome()
                    .err()
                    .unwrap_or_else(|| Arc::new(FetchError::Interrupted)),
            ),
        }
    }

    /// Whether keys have been fetched at least once.
    pub(super) fn has_keys(&self) -> bool {
        self.cached.load().is_some()
    }

    /// Fetches now and then ahead of every expiry, until the issuer is dropped.
    pub(super) fn keep_fresh(self: &Arc<Self>) {
        if self.is_kept_fresh.swap(true, Ordering::Relaxed) {
            return;
        }
        let issuer = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(next) = refresh_once(&issuer).await {
                tokio::time::sleep_until(next).await;
            }
        });
    }

    fn outcome(&self) -> Result<(), Arc<FetchError>> {
        self.progress.borrow().outcome.clone()
    }

    /// As [`Self::refresh`], for a request.
    async fn await_refresh(
        self: &Arc<Self>,
        client: Option<ClientAddress>,
    ) -> Result<Option<Duration>, Arc<FetchError>> {
        let queue = match self.is_verified.load(Ordering::Relaxed) {
            true => &self.queues.verified,
            false => &self.queues.named,
        };
        let _place = queue.enter(client)?;
        Ok(self.refresh().await)
    }

    /// Starts a fetch, unless one runs or the cool-down does, and waits until none runs.
    async fn refresh(self: &Arc<Self>) -> Option<Duration> {
        let cooling = self.start_refresh();
        let mut progress = self.progress.subscribe();
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = progress.wait_for(|progress| !progress.is_running).await;
        cooling
    }

    /// Starts a fetch unless one runs; during the cool-down it does not, and gives the rest of that.
    fn start_refresh(self: &Arc<Self>) -> Option<Duration> {
        let now = Instant::now();
        let mut cooling = None;
        let started = self.progress.send_if_modified(|progress| {
            if progress.is_running {
                return false;
            }
            cooling = progress
                .last_start
                .map(|start| (start + COOL_DOWN).saturating_duration_since(now))
                .filter(|rest| !rest.is_zero());
            if cooling.is_some() {
                return false;
            }
            progress.is_running = true;
            progress.last_start = Some(now);
            true
        });
        if started {
            tokio::spawn(Arc::clone(self).fetch());
        }
        cooling
    }

    async fn fetch(self: Arc<Self>) {
        let mut running = Running {
            issuer: &self,
            outcome: Err(Arc::new(FetchError::Interrupted)),
        };
        let asked_at = Instant::now();
        running.outcome = match self.fetcher.keys(&self.issuer).await {
            Ok(fetched) => {
                self.counts.succeeded.fetch_add(1, Ordering::Relaxed);
                if let Some(left_out) = &fetched.left_out {
                    tracing::warn!(issuer = self.issuer.as_str(), "{left_out}");
                }
                self.cached
                    .store(Some(Arc::new(CachedKeys::new(fetched, asked_at, Instant::now()))));
                Ok(())
            }
            Err(error) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                let cause = std::error::Error::source(&error);
                tracing::warn!(issuer = self.issuer.as_str(), %error, cause, "cannot fetch the issuer's keys");
                Err(Arc::new(error))
            }
        };
    }
}

async fn refresh_once(issuer: &Weak<IssuerKeys>) -> Option<Instant> {
    let issuer = issuer.upgrade()?;
    issuer.refresh().await;
    let retry_at = Instant::now() + RETRY_INTERVAL;
    Some(match (&*issuer.cached.load(), issuer.outcome()) {
        (Some(cached), Ok(())) => cached.refresh_at.max(retry_at),
        _ => retry_at,
    })
}

/// Marks the end of a fetch however it ends, so that a lost task does not block the next.
struct Running<'a> {
    issuer: &'a IssuerKeys,
    outcome: Result<(), Arc<FetchError>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        self.issuer.progress.send_modify(|progress| {
            progress.is_running = false;
            progress.outcome = outcome;
        });
    }
}
