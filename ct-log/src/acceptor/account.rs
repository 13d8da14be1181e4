//! What answers and requests hold, counted for each connection, each client and all together.
//!
//! Counters are atomics, and each request changes a handful of them. Whatever is taken is given
//! back by a drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Response;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::{Limits, SMALL_ANSWER};

/// Generations of answers that are told apart: the running one, the one before, and older ones.
const GENERATIONS: usize = 3;

/// There is no room for it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server has too much to do")]
pub struct Overloaded;

/// A number of things of which there is only so much.
#[derive(Debug)]
struct Pool {
    limit: usize,
    held: AtomicUsize,
}

impl Pool {
    fn new(limit: usize) -> Self {
        let held = AtomicUsize::new(0);
        Self { limit, held }
    }

    fn take(&self, amount: usize) {
        self.held.fetch_add(amount, Ordering::Relaxed);
    }

    fn give_back(&self, amount: usize) {
        self.held.fetch_sub(amount, Ordering::Relaxed);
    }

    /// Takes it if it does not go beyond the limit and `more`.
    fn try_take(&self, amount: usize, more: usize) -> Result<(), Overloaded> {
        let before = self.held.fetch_add(amount, Ordering::Relaxed);
        if before.saturating_add(amount) <= self.limit.saturating_add(more) {
            return Ok(());
        }
        self.give_back(amount);
        Err(Overloaded)
    }
}

/// What one client holds, or all together.
#[derive(Debug)]
pub(super) struct Holdings {
    requests: Pool,
    answers: Pool,
    uploads: Pool,
}

impl Holdings {
    /// Of all clients together.
    pub(super) fn of_all(limits: &Limits) -> Self {
        Self {
            requests: Pool::new(limits.requests),
            answers: Pool::new(limits.answers),
            uploads: Pool::new(limits.uploads),
        }
    }

    /// Bytes of answers.
    #[cfg(test)]
    pub(super) fn held_answers(&self) -> usize {
        self.answers.held.load(Ordering::Relaxed)
    }

    /// Of one client.
    pub(super) fn of_client(limits: &Limits) -> Self {
        Self {
            requests: Pool::new(limits.of_client(limits.requests)),
            answers: Pool::new(limits.of_client(limits.answers)),
            uploads: Pool::new(limits.of_client(limits.uploads)),
        }
    }
}

/// The same pool of a client and of all together.
struct Pools<'a> {
    client: Option<&'a Pool>,
    all: &'a Pool,
}

impl Pools<'_> {
    fn take(&self, amount: usize) {
        self.all.take(amount);
        if let Some(client) = self.client {
            client.take(amount);
        }
    }

    fn try_take(&self, amount: usize) -> Result<(), Overloaded> {
        self.try_take_more(amount, |_| 0)
    }

    /// As far beyond each limit as `more` says.
    fn try_take_more(&self, amount: usize, more: impl Fn(&Pool) -> usize) -> Result<(), Overloaded> {
        if let Some(client) = self.client {
            client.try_take(amount, more(client))?;
        }
        let taken = self.all.try_take(amount, more(self.all));
        if let (Err(_), Some(client)) = (&taken, self.client) {
            client.give_back(amount);
        }
        taken
    }

    fn give_back(&self, amount: usize) {
        self.all.give_back(amount);
        if let Some(client) = self.client {
            client.give_back(amount);
        }
    }
}

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
    /// Requests whose answers have not ended.
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

    /// The same if there is neither a request nor an answer now.
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
        let next = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        // The slot of the next generation is the one of the oldest.
        if self.waiting_in(next).load(Ordering::Relaxed) > 0 {
            return true;
        }
        self.generation.store(next, Ordering::Relaxed);
        false
    }

    fn waiting_in(&self, generation: usize) -> &AtomicUsize {
        let [first, second, third] = &self.waiting;
        match generation % GENERATIONS {
            0 => first,
            1 => second,
            _ => third,
        }
    }

    fn touch(&self) {
        let since = self.opened.elapsed().as_millis();
        let since = usize::try_from(since).unwrap_or(usize::MAX);
        self.active.store(since, Ordering::Relaxed);
    }

    fn pools(&self, which: impl Fn(&Holdings) -> &Pool) -> Pools<'_> {
        Pools {
            client: self.client.as_deref().map(&which),
            all: which(&self.all),
        }
    }

    fn answers(&self) -> Pools<'_> {
        self.pools(|holdings| &holdings.answers)
    }

    fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.answers().take(bytes);
    }

    fn try_hold(&self, bytes: usize) -> Result<(), Overloaded> {
        let small = bytes <= SMALL_ANSWER;
        let more = |pool: &Pool| if small { pool.limit / 4 } else { 0 };
        self.answers().try_take_more(bytes, more)?;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.answers().give_back(bytes);
        self.released.notify_waiters();
    }

    /// Whether this connection may hold so many bytes more: anything if it holds nothing.
    fn has_room(&self, bytes: usize) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        held == 0 || held.saturating_add(bytes) <= self.connection_answers
    }

    async fn room(&self, bytes: usize) {
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
    /// Counts it, and whether there is a place for it.
    pub(super) fn begin(account: &Arc<Account>) -> (Self, Result<Place, Overloaded>) {
        account.touch();
        account.begun.fetch_add(1, Ordering::Relaxed);
        account.in_flight.fetch_add(1, Ordering::Relaxed);
        (Self(Arc::clone(account)), Place::take(account))
    }

    pub(super) fn account(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.touch();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of a request among those that are answered at the same time.
#[derive(Debug)]
pub(super) struct Place(Arc<Account>);

impl Place {
    fn take(account: &Arc<Account>) -> Result<Self, Overloaded> {
        account.pools(|holdings| &holdings.requests).try_take(1)?;
        Ok(Self(Arc::clone(account)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.pools(|holdings| &holdings.requests).give_back(1);
    }
}

/// What the client of a request may hold, in the extensions of each request.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Account>);

impl Budget {
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self(Arc::clone(account))
    }

    /// Makes room for a large answer before it is made. Waits while the client has not read its
    /// other answers on the same connection.
    ///
    /// # Errors
    /// The answers of this client, or of all clients, take all that they may.
    pub async fn reserve_answer(&self, bytes: usize) -> Result<Reservation, Overloaded> {
        self.0.room(bytes).await;
        self.0.try_hold(bytes)?;
        let account = Arc::clone(&self.0);
        Ok(Reservation { account, bytes })
    }

    /// The part of a request's body that is held in memory: nothing yet.
    #[must_use]
    pub fn upload(&self) -> Upload {
        let account = Arc::clone(&self.0);
        Upload { account, bytes: 0 }
    }
}

/// Bytes of a request's body in memory.
#[derive(Debug)]
pub struct Upload {
    account: Arc<Account>,
    bytes: usize,
}

impl Upload {
    /// Counts so many bytes more.
    ///
    /// # Errors
    /// The bodies of this client, or of all clients, take all that they may.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Overloaded> {
        self.account.pools(|holdings| &holdings.uploads).try_take(bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let pools = self.account.pools(|holdings| &holdings.uploads);
        pools.give_back(self.bytes);
    }
}

/// Bytes of an answer that is being made, or that another layer (a compression) holds.
#[derive(Debug)]
pub struct Reservation {
    account: Arc<Account>,
    bytes: usize,
}

impl Reservation {
    /// For an answer that is there already.
    pub(super) fn try_take(account: &Arc<Account>, bytes: usize) -> Result<Self, Overloaded> {
        if !account.has_room(bytes) && bytes > SMALL_ANSWER {
            return Err(Overloaded);
        }
        account.try_hold(bytes)?;
        let account = Arc::clone(account);
        Ok(Self { account, bytes })
    }

    /// Keeps it until the answer was sent.
    pub fn attach<B>(self, answer: &mut Response<B>) {
        answer.extensions_mut().insert(Arc::new(self));
    }

    /// Makes it as large as the answer turned out to be.
    ///
    /// # Errors
    /// There is no room for so much.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Overloaded> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.account.try_hold(more)?,
            None => self.account.release(self.bytes.saturating_sub(bytes)),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The bytes as those of an answer that is being sent.
    pub(super) fn send(mut self) -> Unsent {
        Unsent::counted(&self.account, std::mem::take(&mut self.bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// Bytes of an answer that wait to be sent. Without progress the connection is cut.
#[derive(Debug)]
pub(super) struct Unsent {
    account: Arc<Account>,
    bytes: usize,
    /// Sent since the generation was noted.
    sent: usize,
    generation: usize,
}

impl Unsent {
    /// Counted whether there is room or not: the bytes are in memory already.
    pub(super) fn new(account: &Arc<Account>, bytes: usize) -> Self {
        account.hold(bytes);
        Self::counted(account, bytes)
    }

    fn counted(account: &Arc<Account>, bytes: usize) -> Self {
        let generation = account.generation.load(Ordering::Relaxed);
        account.waiting_in(generation).fetch_add(1, Ordering::Relaxed);
        Self {
            account: Arc::clone(account),
            bytes,
            sent: 0,
            generation,
        }
    }

    /// Takes `bytes` of it off as a piece of its own, which is progress of the rest.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let known = bytes.min(self.bytes);
        self.bytes -= known;
        self.account.hold(bytes - known);
        self.note_progress();
        Self::counted(&self.account, bytes)
    }

    /// So many bytes were handed to the system. They stay in memory until the last one is.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
        if self.sent >= super::limits::LEAST_PROGRESS {
            self.note_progress();
        }
    }

    fn note_progress(&mut self) {
        self.sent = 0;
        let now = self.account.generation.load(Ordering::Relaxed);
        if now != self.generation {
            self.account.waiting_in(now).fetch_add(1, Ordering::Relaxed);
            self.account
                .waiting_in(self.generation)
                .fetch_sub(1, Ordering::Relaxed);
            self.generation = now;
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.account.release(self.bytes);
        self.account
            .waiting_in(self.generation)
            .fetch_sub(1, Ordering::Relaxed);
        self.account.touch();
    }
}
