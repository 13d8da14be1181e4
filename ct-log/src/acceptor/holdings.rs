//! Numbers of things of which there is only so much, for a client and for all together.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::arrival::Awaited;
use super::limits::Limits;

/// There is no room for it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server has too much to do")]
pub struct Overloaded;

/// A number of things of which there is only so much.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) limit: usize,
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
    pub(super) awaited: Awaited,
    pub(super) requests: Pool,
    pub(super) answers: Pool,
    pub(super) uploads: Pool,
}

impl Holdings {
    /// Of all clients together.
    pub(super) fn of_all(limits: &Limits) -> Self {
        Self {
            awaited: Awaited::new(limits.awaited),
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
            awaited: Awaited::new(limits.of_client(limits.awaited)),
            requests: Pool::new(limits.of_client(limits.requests)),
            answers: Pool::new(limits.of_client(limits.answers)),
            uploads: Pool::new(limits.of_client(limits.uploads)),
        }
    }
}

/// The same pool of a client and of all together.
pub(super) struct Pools<'a> {
    pub(super) client: Option<&'a Pool>,
    pub(super) all: &'a Pool,
}

impl Pools<'_> {
    pub(super) fn take(&self, amount: usize) {
        self.all.take(amount);
        if let Some(client) = self.client {
            client.take(amount);
        }
    }

    pub(super) fn try_take(&self, amount: usize) -> Result<(), Overloaded> {
        self.try_take_more(amount, |_| 0)
    }

    /// As far beyond each limit as `more` says.
    pub(super) fn try_take_more(
        &self,
        amount: usize,
        more: impl Fn(&Pool) -> usize,
    ) -> Result<(), Overloaded> {
        if let Some(client) = self.client {
            client.try_take(amount, more(client))?;
        }
        let taken = self.all.try_take(amount, more(self.all));
        if let (Err(_), Some(client)) = (&taken, self.client) {
            client.give_back(amount);
        }
        taken
    }

    pub(super) fn give_back(&self, amount: usize) {
        self.all.give_back(amount);
        if let Some(client) = self.client {
            client.give_back(amount);
        }
    }
}
