//! The bytes of bodies and answers, each counted for as long as they are in memory.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Response;

use super::account::Account;
use super::holdings::Overloaded;
use super::limits::{LEAST_PROGRESS, SMALL_ANSWER};

/// What the client of a request may hold, in the extensions of each request.
#[derive(Debug, Clone)]
pub struct Budget {
    account: Arc<Account>,
    /// Room for the answer to this request.
    kept: Arc<Mutex<Option<Reservation>>>,
}

impl Budget {
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self {
            account: Arc::clone(account),
            kept: Arc::default(),
        }
    }

    /// Keeps room for an answer of 16 KiB to this request: before work that would be in vain if its
    /// answer could not be held.
    ///
    /// # Errors
    /// The answers of this client, or of all clients, take all that they may.
    pub fn keep_small_answer(&self) -> Result<(), Overloaded> {
        let room = Reservation::try_take(&self.account, SMALL_ANSWER)?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
        Ok(())
    }

    pub(super) fn take_kept(&self) -> Option<Reservation> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes room for a large answer before it is made. Waits while the client has not read its
    /// other answers on the same connection.
    ///
    /// # Errors
    /// The answers of this client, or of all clients, take all that they may.
    pub async fn reserve_answer(&self, bytes: usize) -> Result<Reservation, Overloaded> {
        self.account.room(bytes).await;
        self.account.try_hold(bytes)?;
        let account = Arc::clone(&self.account);
        Ok(Reservation { account, bytes })
    }

    /// The part of a request's body that is held in memory: nothing yet.
    #[must_use]
    pub fn upload(&self) -> Upload {
        let account = Arc::clone(&self.account);
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

    /// Takes `bytes` of it off, which are to be sent now.
    pub(super) fn send(&mut self, bytes: usize) -> Unsent {
        let known = bytes.min(self.bytes);
        self.bytes -= known;
        self.account.hold(bytes - known);
        Unsent::counted(&self.account, bytes)
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
        let generation = account.generation();
        account.waiting_in(generation).fetch_add(1, Ordering::Relaxed);
        Self {
            account: Arc::clone(account),
            bytes,
            sent: 0,
            generation,
        }
    }

    /// So many bytes were handed to the system. They stay in memory until the last one is.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
        if self.sent >= LEAST_PROGRESS {
            self.note_progress();
        }
    }

    fn note_progress(&mut self) {
        self.sent = 0;
        let now = self.account.generation();
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
