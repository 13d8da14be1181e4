//! The wall clock under watch: a clock that was set while the process ran says nothing that a timestamp could repeat.

use std::{sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Clock, SystemClock, Timestamp};

/// How far the wall clock may leave the steady one. NTP slews both alike, so that they part only when the clock is set; a leap
/// second is within it.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Time since an arbitrary moment, which nobody can set.
pub type SteadyClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A wall clock beside a steady one.
pub struct WatchedClock {
    wall: Arc<dyn Clock>,
    steady: SteadyClock,
    started: Reading,
}

/// What the wall clock said, between two moments of the steady one.
#[derive(Clone, Copy, Debug)]
struct Reading {
    before: Duration,
    wall: Timestamp,
    after: Duration,
}

impl WatchedClock {
    /// From now on `wall` must go as `steady` does.
    #[must_use]
    pub fn new(wall: Arc<dyn Clock>, steady: SteadyClock) -> Self {
        let started = Reading::of(wall.as_ref(), &steady);
        Self {
            wall,
            steady,
            started,
        }
    }

    /// The clocks of this machine. The steady one counts while the machine sleeps, too.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(since_boot))
    }

    /// The time.
    ///
    /// # Errors
    /// [`ClockStepped`] while the clock is not where it would be, had nobody set it.
    pub fn now(&self) -> Result<Timestamp, ClockStepped> {
        let now = Reading::of(self.wall.as_ref(), &self.steady);
        let at_least = now.before.saturating_sub(self.started.after);
        let at_most = now.after.saturating_sub(self.started.before);
        let earliest = self.started.wall.plus(at_least).minus(TOLERANCE);
        let latest = self.started.wall.plus(at_most).plus(TOLERANCE);
        if now.wall < earliest {
            let by = self.started.wall.plus(at_least).since_epoch();
            return Err(ClockStepped::back(by.saturating_sub(now.wall.since_epoch())));
        }
        if now.wall > latest {
            let by = now.wall.since_epoch();
            let expected = self.started.wall.plus(at_most).since_epoch();
            return Err(ClockStepped::forward(by.saturating_sub(expected)));
        }
        Ok(now.wall)
    }
}

impl Reading {
    fn of(wall: &dyn Clock, steady: &SteadyClock) -> Self {
        Self {
            before: steady(),
            wall: wall.now(),
            after: steady(),
        }
    }
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The machine's clock was set while the process ran, and is not back where it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine's clock was set {direction} by {:.1} s since the start: see that it is right, then start again",
    by.as_secs_f64()
)]
pub struct ClockStepped {
    direction: &'static str,
    by: Duration,
}

impl ClockStepped {
    const fn back(by: Duration) -> Self {
        Self {
            direction: "back",
            by,
        }
    }

    const fn forward(by: Duration) -> Self {
        Self {
            direction: "forward",
            by,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Both clocks, in milliseconds.
    #[derive(Clone)]
    struct Hands(Arc<Mutex<(u64, u64)>>);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(Duration::from_millis(self.0.lock().unwrap().0))
        }
    }

    fn watched() -> (Hands, WatchedClock) {
        let hands = Hands(Arc::new(Mutex::new((1_800_000_000_000, 5_000))));
        let steady = hands.clone();
        let steady = Arc::new(move || Duration::from_millis(steady.0.lock().unwrap().1));
        (hands.clone(), WatchedClock::new(Arc::new(hands), steady))
    }

    fn after(hands: &Hands, wall: i64, steady: u64) {
        let mut hands = hands.0.lock().unwrap();
        hands.0 = hands.0.checked_add_signed(wall).unwrap();
        hands.1 += steady;
    }

    #[test]
    fn time_that_passes_is_no_step() {
        let (hands, clock) = watched();
        clock.now().unwrap();
        after(&hands, 86_400_000, 86_400_000);
        assert_eq!(clock.now().unwrap().unix_seconds(), 1_800_086_400);
        // A leap second.
        after(&hands, 59_000, 60_000);
        clock.now().unwrap();
    }

    #[test]
    fn a_clock_that_is_set_is_refused_until_it_is_where_it_was() {
        for (step, said) in [
            (-1_001, "back by 1.0 s"),
            (-3_600_000, "back by 3600.0 s"),
            (1_001, "forward by 1.0 s"),
            (3_600_000, "forward by 3600.0 s"),
        ] {
            let (hands, clock) = watched();
            after(&hands, 10_000 + step, 10_000);
            let refusal = clock.now().unwrap_err().to_string();
            assert!(refusal.contains(said), "{refusal}");
            after(&hands, 10_000, 10_000);
            clock.now().unwrap_err();
            after(&hands, -step, 0);
            clock.now().unwrap();
        }
    }

    #[test]
    fn small_steps_add_up() {
        let (hands, clock) = watched();
        for _ in 0..2 {
            clock.now().unwrap();
            after(&hands, 700, 0);
        }
        clock.now().unwrap_err();
    }

    #[test]
    fn this_machines_clock_is_steady() {
        WatchedClock::of_this_machine().now().unwrap();
    }
}
