//! The one clock: read once per request and passed down, so that no step disagrees with another about "now".

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An instant as the time since the Unix epoch. Certificates use whole seconds of it, SCTs milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(Duration);

/// Rounded up: whoever comes back after so many seconds is not refused for having come too early.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

impl Timestamp {
    /// From the time since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The time since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// Whole seconds since the epoch, as in JWT `NumericDate` (RFC 7519 section 2) and X.509 times.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0.as_secs()
    }

    /// This instant moved forward; saturates at the end of representable time.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// This instant moved back; saturates at the epoch.
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

/// Where "now" comes from. Tests give a clock that they move themselves.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A system clock before 1970 reads as the epoch: every token is then "not yet valid", which fails closed.
    fn now(&self) -> Timestamp {
        Timestamp(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO),
        )
    }
}
