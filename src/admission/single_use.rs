//! `single-use:` — a token is good for one certificate. What is remembered is its hash, until somewhat after it
//! expires.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{clock::Timestamp, token::TokenHash};

/// How many tokens are remembered at the same time, of all issuers together; about 50 bytes each. While there are so
/// many, no further one is admitted: forgetting one would let it be used again.
pub const MAX_REMEMBERED_TOKENS: usize = 250_000;

/// For how many seconds after its expiry a token is remembered: longer than a request that was verified before may wait.
const LATE_SECONDS: u64 = 120;

/// The tokens that have been used, or are being used. The memory ends with the process, and each process has its own.
#[derive(Clone, Debug)]
pub struct UsedTokens {
    memory: Arc<Mutex<Memory>>,
    capacity: usize,
}

/// Tokens by the second of their expiry, which is part of what is hashed: the same token has the same one.
#[derive(Debug, Default)]
struct Memory(BTreeSet<(u64, TokenHash)>);

/// Why a token is not good for another certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It gave one already, or is giving one now.
    Used,
    /// Nobody could say later that it was used.
    MemoryFull,
}

impl Default for UsedTokens {
    fn default() -> Self {
        Self::with_capacity(MAX_REMEMBERED_TOKENS)
    }
}

impl UsedTokens {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            memory: Arc::default(),
            capacity,
        }
    }

    /// Marks a token as being used. It is usable again if the result is dropped without [`TokenUse::complete`].
    pub(super) fn begin(&self, token: TokenHash, expires: u64, now: Timestamp) -> Result<TokenUse, Unusable> {
        let mut memory = self.lock();
        memory.forget_expired(now.unix_seconds());
        let used = (expires, token);
        if memory.0.contains(&used) {
            return Err(Unusable::Used);
        }
        if memory.0.len() >= self.capacity {
            return Err(Unusable::MemoryFull);
        }
        memory.0.insert(used);
        Ok(TokenUse {
            tokens: self.clone(),
            used,
            completed: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Nothing under the lock can panic.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Of a token that expired so long ago, no request is under way.
    fn forget_expired(&mut self, now: u64) {
        while let Some((expires, _)) = self.0.first()
            && expires.saturating_add(LATE_SECONDS) <= now
        {
            self.0.pop_first();
        }
    }
}

/// The one use of a token, under way. Dropped, it has not happened: whoever got no certificate may try again.
pub(super) struct TokenUse {
    tokens: UsedTokens,
    used: (u64, TokenHash),
    completed: AtomicBool,
}

impl TokenUse {
    /// From now on the token is used up, whatever happens.
    pub(super) fn complete(&self) {
        self.completed.store(true, Ordering::Release);
    }
}

impl Drop for TokenUse {
    fn drop(&mut self) {
        if !self.completed.load(Ordering::Acquire) {
            self.tokens.lock().0.remove(&self.used);
        }
    }
}

impl fmt::Debug for TokenUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenUse")
            .field("completed", &self.completed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn token(number: u8) -> TokenHash {
        TokenHash::of(&[number])
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(Duration::from_secs(seconds))
    }

    fn use_up(tokens: &UsedTokens, number: u8, expires: u64, now: u64) -> Result<(), Unusable> {
        tokens
            .begin(token(number), expires, at(now))
            .map(|started| started.complete())
    }

    #[test]
    fn a_token_is_used_once() {
        let tokens = UsedTokens::default();
        assert_eq!(use_up(&tokens, 1, 100, 10), Ok(()));
        assert_eq!(use_up(&tokens, 1, 100, 99), Err(Unusable::Used));
        assert_eq!(use_up(&tokens, 2, 100, 10), Ok(()));
        // A request after its expiry, and then one that was verified before.
        assert_eq!(use_up(&tokens, 3, 300, 102), Ok(()));
        assert_eq!(use_up(&tokens, 1, 100, 99), Err(Unusable::Used));
    }

    #[test]
    fn a_use_under_way_counts_and_one_that_failed_does_not() {
        let tokens = UsedTokens::default();
        let first = tokens.begin(token(1), 100, at(10)).unwrap();
        assert_eq!(use_up(&tokens, 1, 100, 10), Err(Unusable::Used));
        drop(first);
        assert_eq!(use_up(&tokens, 1, 100, 10), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_forgets_what_has_expired() {
        let tokens = UsedTokens::with_capacity(2);
        assert_eq!(use_up(&tokens, 1, 100, 10), Ok(()));
        assert_eq!(use_up(&tokens, 2, 200, 10), Ok(()));
        let forgotten = 100 + LATE_SECONDS;
        assert_eq!(use_up(&tokens, 3, 500, forgotten - 1), Err(Unusable::MemoryFull));
        assert_eq!(use_up(&tokens, 3, 500, forgotten), Ok(()));
        assert_eq!(tokens.lock().0.len(), 2);
    }

    #[test]
    fn failed_uses_leave_nothing_behind() {
        let tokens = UsedTokens::default();
        for _ in 0..1000 {
            drop(tokens.begin(token(1), 100, at(10)).unwrap());
        }
        assert!(tokens.lock().0.is_empty());
    }
}
