//! The one clock of a log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::leaf::UnixMillis;

/// How far the clock may be set ahead while a log is open. If it was right before, the log would have to wait that long once it is
/// set back: it never gives out a time before its last one.
const MAX_STEP: Duration = Duration::from_secs(10 * 60);

/// Where a log gets the time of entries and checkpoints.
pub(crate) trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> UnixMillis;

    /// Time since some moment. Nobody sets it, and it goes on while the machine sleeps.
    fn steady(&self) -> Duration;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::now()
    }

    fn steady(&self) -> Duration {
        let since_boot = clock_gettime(ClockId::Boottime);
        Duration::try_from(since_boot).unwrap_or_default()
    }
}

/// Notices when the clock is set far ahead. A time that is too late cannot be taken back: the log would be closed until that
/// time has come. So it waits for somebody to set the clock right, or to confirm it by opening the log again.
#[derive(Debug)]
pub(crate) struct Steps {
    wall: UnixMillis,
    steady: Duration,
    ahead: AtomicBool,
}

impl Steps {
    /// From now on.
    pub(crate) fn watch(clock: &dyn Clock) -> Steps {
        Steps {
            wall: clock.now(),
            steady: clock.steady(),
            ahead: AtomicBool::new(false),
        }
    }

    /// The time, or nothing while the clock is ahead.
    pub(crate) fn now(&self, clock: &dyn Clock) -> Option<UnixMillis> {
        let now = clock.now();
        let passed = clock.steady().saturating_sub(self.steady);
        let allowed = u64::try_from(passed.saturating_add(MAX_STEP).as_millis()).unwrap_or(u64::MAX);
        let ahead = now.get().saturating_sub(self.wall.get()) > allowed;
        if self.ahead.swap(ahead, Ordering::Relaxed) != ahead {
            if ahead {
                tracing::error!(
                    "the clock was set far ahead: the log waits until it is right, or opened again"
                );
            } else {
                tracing::info!("the clock is right again: the log goes on");
            }
        }
        (!ahead).then_some(now)
    }
}
