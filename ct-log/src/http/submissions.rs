//! Which submissions a log takes over HTTP, and how many.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::HttpError;
use crate::chain::Policy;

/// Most submissions in progress at once; the next is answered 503. Bounds memory and the threads that
/// check signatures, and is far below the queue that the CA in this process relies on.
const MAX_IN_PROGRESS: usize = 256;

/// Submissions in a second, unless the operator says otherwise: checking the signatures of one takes a
/// fraction of a millisecond, and a year of them fits the disk.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// The door of a log: whose certificates are taken, and how often. Clones are the same door. The CA in this
/// process does not go through it.
#[derive(Clone)]
pub struct Submissions {
    door: Arc<Door>,
}

struct Door {
    policy: ArcSwap<Policy>,
    /// Nothing: closed to everybody.
    limiter: Option<DefaultDirectRateLimiter>,
    in_progress: Arc<Semaphore>,
}

impl Submissions {
    /// What `policy` accepts, at most 20 in a second.
    pub fn new(policy: Policy) -> Submissions {
        Submissions::limited(policy, PER_SECOND, Duration::from_secs(1))
    }

    /// What `policy` accepts, at most so many in each period: all of them at once if need be, and growing back
    /// evenly. Beyond it the answer is 429 with `Retry-After`.
    pub fn limited(policy: Policy, submissions: NonZeroU32, period: Duration) -> Submissions {
        // `None` if one submission takes less than a nanosecond.
        let quota = Quota::with_period(period / submissions.get());
        let quota = quota.unwrap_or(Quota::per_second(submissions));
        Submissions::with(policy, Some(RateLimiter::direct(quota.allow_burst(submissions))))
    }

    /// None: the log is its CA's alone. `policy` says which roots are listed all the same.
    pub fn off(policy: Policy) -> Submissions {
        Submissions::with(policy, None)
    }

    fn with(policy: Policy, limiter: Option<DefaultDirectRateLimiter>) -> Submissions {
        Submissions {
            door: Arc::new(Door {
                policy: ArcSwap::from_pointee(policy),
                limiter,
                in_progress: Arc::new(Semaphore::new(MAX_IN_PROGRESS)),
            }),
        }
    }

    /// Accepts what this policy does from now on. Submissions in progress end by the one before.
    pub fn replace(&self, policy: Policy) {
        self.door.policy.store(Arc::new(policy));
    }

    pub(super) fn policy(&self) -> Arc<Policy> {
        self.door.policy.load_full()
    }

    /// Lets one submission in until the permit is dropped.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, HttpError> {
        let limiter = self.door.limiter.as_ref().ok_or(HttpError::Off)?;
        if self.policy().accepts_nothing() {
            return Err(HttpError::NoRoots);
        }
        let permit = Arc::clone(&self.door.in_progress).try_acquire_owned();
        let permit = permit.map_err(|_| HttpError::Crowded)?;
        limiter.check().map_err(|until| HttpError::TooMany {
            retry_after: until.wait_time_from(DefaultClock::default().now()),
        })?;
        Ok(permit)
    }
}

impl From<Policy> for Submissions {
    fn from(policy: Policy) -> Submissions {
        Submissions::new(policy)
    }
}

impl fmt::Debug for Submissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.door.limiter.is_some() { "on" } else { "off" };
        write!(f, "Submissions({state})")
    }
}
