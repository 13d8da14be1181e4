//! What one connection holds, as a part of what its client and all together hold.
//!
//! Counters are atomics, and each request changes a handful of them. Whatever is taken is given
//! back by a drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::holdings::{Holdings, Overloaded, Pool, Pools};
use super::limits::{Limits, SMALL_ANSWER};

/// Generations of answers that are told apart: the running one, the one before, and older ones.
const GENERATIONS: usize = 3;

/// What one connection holds, and when it did something last.
#[derive(Debug)]
pub(super) struct Account {
    all: Arc<Holdings>,
    /// `None` behind a proxy.
    client: Option<Arc<Holdings>>,
    opened: Instant,
    connection_answers: usize,
    /// Bytes of answers.
    held: AtomicUsize,
    released: Notify,
    /// Requests that have a place.
    in_flight: AtomicUsize,
    /// Requests ever.
    begun: AtomicUsize,
    /// When a request began or an answer ended last, in milliseconds since `opened`.
    active: AtomicUsize,
    generation: AtomicUsize,
    /// Pieces of answers that wait to be sent, by the generation in which they last made progress.
    waiting: [AtomicUsize; GENERATIONS],
}

impl Account {
    pub(super) fn new(all: Arc<Holdings>, client: Option<Arc<Holdings>>, limits: &Limits) -> Self {
        Self {
            all,
            client,
            opened: Instant::now(),
            connection_answers: limits.connection_answers,
            held: AtomicUsize::new(0),
            released: Notify::new(),
            in_flight: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            waiting: Default::default(),
        }
    }

    /// How many requests there have been.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// When a request began or an answer ended last.
    pub(super) fn active(&self) -> Instant {
        let since = u64::try_from(self.active.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        self.opened + Duration::from_millis(since)
    }

    /// The same if there is neither a request, but for such whose bodies are awaited, nor an answer.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let busy = self.in_flight.load(Ordering::Relaxed) > 0 || self.is_sending();
        (!busy).then(|| self.active())
    }

    /// Whether an answer waits to be sent.
    pub(super) fn is_sending(&self) -> bool {
        self.waiting.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Begins the next generation of answers. Whether one made no progress in the two that ended:
    /// then nothing begins.
    pub(super) fn is_stalled(&self) -> bool {
        let next = self.generation().wrapping_add(1);
        // The slot of the next generation is the one of the oldest.
        if self.waiting_in(next).load(Ordering::Relaxed) > 0 {
            return true;
        }
        self.generation.store(next, Ordering::Relaxed);
        false
    }

    pub(super) fn generation(&self) -> usize {
        self.generation.load(Ordering::Relaxed)
    }

    pub(super) fn waiting_in(&self, generation: usize) -> &AtomicUsize {
        let [first, second, third] = &self.waiting;
        match generation % GENERATIONS {
            0 => first,
            1 => second,
            _ => third,
        }
    }

    pub(super) fn touch(&self) {
        let since = self.opened.elapsed().as_millis();
        let since = usize::try_from(since).unwrap_or(usize::MAX);
        self.active.store(since, Ordering::Relaxed);
    }

    /// What its client holds, and all together.
    pub(super) fn holdings(&self) -> impl Iterator<Item = &Holdings> {
        let client = self.client.as_deref();
        client.into_iter().chain([&*self.all])
    }

    pub(super) fn pools(&self, which: impl Fn(&Holdings) -> &Pool) -> Pools<'_> {
        Pools {
            client: self.client.as_deref().map(&which),
            all: which(&self.all),
        }
    }

    fn answers(&self) -> Pools<'_> {
        self.pools(|holdings| &holdings.answers)
    }

    pub(super) fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.answers().take(bytes);
    }

    pub(super) fn try_hold(&self, bytes: usize) -> Result<(), Overloaded> {
        let small = bytes <= SMALL_ANSWER;
        let more = |pool: &Pool| if small { pool.limit / 4 } else { 0 };
        self.answers().try_take_more(bytes, more)?;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.answers().give_back(bytes);
        self.released.notify_waiters();
    }

    /// Whether this connection may hold so many bytes more: anything if it holds nothing.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        held == 0 || held.saturating_add(bytes) <= self.connection_answers
    }

    /// Resolves when it may.
    pub(super) async fn room(&self, bytes: usize) {
        loop {
            let released = self.released.notified();
            if self.has_room(bytes) {
                return;
            }
            released.await;
        }
    }
}

/// One request, from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Flight(Arc<Account>);

impl Flight {
    pub(super) fn begin(account: &Arc<Account>) -> Self {
        account.touch();
        account.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(account))
    }

    pub(super) fn account(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.touch();
    }
}

/// The place of a request among those that are answered at the same time.
#[derive(Debug)]
pub(super) struct Place(Arc<Account>);

impl Place {
    pub(super) fn take(account: &Arc<Account>) -> Result<Self, Overloaded> {
        account.pools(|holdings| &holdings.requests).try_take(1)?;
        account.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::clone(account)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.pools(|holdings| &holdings.requests).give_back(1);
    }
}
