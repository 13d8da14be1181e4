//! The time in which a client is awaited: from the head of a request to the end of its body.
//!
//! It lasts as long as the client likes, so it takes no place among the requests that are answered.
//! A request takes that place when its body has ended, or when nobody reads the body any more. If
//! too many are awaited, the one that has been awaited for longest is refused: strangers that never
//! send their bodies make room for each other, and for everybody else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::account::{Account, Place};
use super::holdings::Overloaded;

/// The requests of one client, or of all, that are awaited, in the order in which they began.
#[derive(Debug)]
pub(super) struct Awaited {
    limit: usize,
    arrivals: Mutex<BTreeMap<u64, Arc<Arrival>>>,
}

/// How far one request is.
#[derive(Debug)]
pub(super) struct Arrival {
    account: Arc<Account>,
    number: u64,
    phase: Mutex<Phase>,
    changed: Notify,
}

#[derive(Debug)]
enum Phase {
    Awaited,
    Answered { _place: Place },
    Refused,
    Ended,
}

impl Awaited {
    pub(super) fn new(limit: usize) -> Self {
        let arrivals = Mutex::default();
        Self { limit, arrivals }
    }

    /// Adds one. If there are too many then, hands out the first.
    fn add(&self, arrival: &Arc<Arrival>) -> Option<Arc<Arrival>> {
        let mut arrivals = self.arrivals();
        arrivals.insert(arrival.number, Arc::clone(arrival));
        if arrivals.len() <= self.limit {
            return None;
        }
        arrivals.pop_first().map(|(_, first)| first)
    }

    fn arrivals(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Arrival>>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// A request whose body has ended already, or is awaited.
    pub(super) fn begin(account: &Arc<Account>, has_ended: bool) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);

        let arrival = Arc::new(Self {
            account: Arc::clone(account),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            phase: Mutex::new(Phase::Awaited),
            changed: Notify::new(),
        });
        if !has_ended {
            // A client that has its share makes room itself, before others have to.
            for holdings in account.holdings() {
                if let Some(first) = holdings.awaited.add(&arrival) {
                    first.settle(|| Phase::Refused);
                }
            }
            // It may have made room itself, before it was among all.
            if arrival.is_refused() {
                arrival.forget();
            }
        } else {
            arrival.end();
        }
        arrival
    }

    /// The body has ended, or nobody reads it. Whether there was a place.
    pub(super) fn end(&self) -> bool {
        self.settle(|| match Place::take(&self.account) {
            Ok(place) => Phase::Answered { _place: place },
            Err(Overloaded) => Phase::Refused,
        })
    }

    /// The answer has ended, or will not be made.
    pub(super) fn leave(&self) {
        self.settle(|| Phase::Ended);
        *self.phase() = Phase::Ended;
        self.changed.notify_waiters();
    }

    /// If it is awaited, it is not any more. Whether it has a place.
    fn settle(&self, next: impl FnOnce() -> Phase) -> bool {
        let mut phase = self.phase();
        if let Phase::Awaited = *phase {
            *phase = next();
            self.forget();
            self.changed.notify_waiters();
        }
        matches!(*phase, Phase::Answered { .. })
    }

    /// It is awaited no more.
    fn forget(&self) {
        for holdings in self.account.holdings() {
            holdings.awaited.arrivals().remove(&self.number);
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(*self.phase(), Phase::Refused)
    }

    fn has_ended(&self) -> bool {
        matches!(*self.phase(), Phase::Ended)
    }

    /// Resolves when it is refused.
    pub(super) async fn refused(&self) {
        self.until(Self::is_refused).await;
    }

    /// Resolves when its answer has ended.
    pub(super) async fn ended(&self) {
        self.until(Self::has_ended).await;
    }

    async fn until(&self, is_so: fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(self) {
                return;
            }
            changed.await;
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
