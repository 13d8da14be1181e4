//! The wall clock under watch: a clock that was set while the process ran, or that nobody confirms who should, says nothing that a
//! timestamp could repeat.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Clock, SystemClock, Timestamp};

/// How far the wall clock may leave the steady one. NTP slews both alike, so that they part only when the clock is set; a leap
/// second is within it.
const TOLERANCE: Duration = Duration::from_secs(1);

/// For how long a confirmation counts, by the steady clock: in that time a bad quartz (500 ppm) is off by half a second.
const CONFIRMED_FOR: Duration = Duration::from_secs(15 * 60);

/// Time since an arbitrary moment, which nobody can set.
pub type SteadyClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A wall clock beside a steady one.
pub struct WatchedClock {
    wall: Arc<dyn Clock>,
    steady: SteadyClock,
    anchor: Mutex<Anchor>,
}

/// What the clock is held against.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Reading,
    confirmation: Confirmation,
}

/// Whether others say that the clock was right there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confirmation {
    NotNeeded,
    Awaited,
    Given,
}

/// What the wall clock said, between two moments of the steady one.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    before: Duration,
    wall: Timestamp,
    after: Duration,
}

impl WatchedClock {
    /// From now on `wall` must go as `steady` does.
    #[must_use]
    pub fn new(wall: Arc<dyn Clock>, steady: SteadyClock) -> Self {
        let anchor = Mutex::new(Anchor {
            at: Reading::of(wall.as_ref(), &steady),
            confirmation: Confirmation::NotNeeded,
        });
        Self { wall, steady, anchor }
    }

    /// From now on it says no time until it is [confirmed](Self::confirm), and none if that is too long ago.
    #[must_use]
    pub fn awaiting_confirmation(self) -> Self {
        self.lock().confirmation = Confirmation::Awaited;
        self
    }

    /// The clocks of this machine. The steady one counts while the machine sleeps, too.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(since_boot))
    }

    /// The time.
    ///
    /// # Errors
    /// [`ClockError::Stepped`] while the clock is not where it would be, had nobody set it; [`ClockError::Unconfirmed`].
    pub fn now(&self) -> Result<Timestamp, ClockError> {
        let Anchor { at, confirmation } = *self.lock();
        let now = self.read();
        match confirmation {
            Confirmation::NotNeeded => {}
            Confirmation::Given if now.after.saturating_sub(at.before) < CONFIRMED_FOR => {}
            Confirmation::Given | Confirmation::Awaited => return Err(ClockError::Unconfirmed),
        }
        now.follows(&at)?;
        Ok(now.wall)
    }

    /// What the clock says, for [`WatchedClock::confirm`].
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading::of(self.wall.as_ref(), &self.steady)
    }

    /// Others say that the clock was right at `then`, wherever it had been before.
    ///
    /// # Errors
    /// [`ClockStepped`] if it was set since then.
    pub fn confirm(&self, then: Reading) -> Result<(), ClockStepped> {
        self.read().follows(&then)?;
        *self.lock() = Anchor {
            at: then,
            confirmation: Confirmation::Given,
        };
        Ok(())
    }

    /// Others say that it is wrong: no time until they say that it is right.
    pub fn deny(&self) {
        self.lock().confirmation = Confirmation::Awaited;
    }

    fn lock(&self) -> MutexGuard<'_, Anchor> {
        // Nothing that is done under it stops half-way.
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// Whether the wall clock has gone as the steady one since `anchor`.
    fn follows(&self, anchor: &Self) -> Result<(), ClockStepped> {
        let at_least = self.before.saturating_sub(anchor.after);
        let at_most = self.after.saturating_sub(anchor.before);
        let earliest = anchor.wall.plus(at_least).minus(TOLERANCE);
        let latest = anchor.wall.plus(at_most).plus(TOLERANCE);
        if self.wall < earliest {
            let by = anchor.wall.plus(at_least).since_epoch();
            return Err(ClockStepped::back(by.saturating_sub(self.wall.since_epoch())));
        }
        if self.wall > latest {
            let by = self.wall.since_epoch();
            let expected = anchor.wall.plus(at_most).since_epoch();
            return Err(ClockStepped::forward(by.saturating_sub(expected)));
        }
        Ok(())
    }

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

/// Why the clock says no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// It was set.
    #[error(transparent)]
    Stepped(#[from] ClockStepped),
    /// Nobody has said for a while that it is right.
    #[error(
        "no time server confirms this machine's clock: see that it is right, and that the servers under `timestamp.ntp` answer"
    )]
    Unconfirmed,
}

/// The machine's clock was set while the process ran, and is not back where it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine's clock was set {direction} by {:.1} s: see that it is right; if no time servers under `timestamp.ntp` confirm \
     it, start again",
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
    fn a_clock_that_must_be_confirmed_is_refused_before_and_long_after() {
        let (hands, clock) = watched();
        let clock = clock.awaiting_confirmation();
        assert_eq!(clock.now(), Err(ClockError::Unconfirmed));
        clock.confirm(clock.read()).unwrap();
        clock.now().unwrap();
        after(&hands, 899_000, 899_000);
        clock.now().unwrap();
        after(&hands, 1_000, 1_000);
        assert_eq!(clock.now(), Err(ClockError::Unconfirmed));
    }

    #[test]
    fn a_clock_that_others_call_wrong_is_refused_at_once() {
        let (_, clock) = watched();
        let clock = clock.awaiting_confirmation();
        clock.confirm(clock.read()).unwrap();
        clock.now().unwrap();
        clock.deny();
        assert_eq!(clock.now(), Err(ClockError::Unconfirmed));
        clock.confirm(clock.read()).unwrap();
        clock.now().unwrap();
    }

    #[test]
    fn a_clock_that_was_set_right_counts_once_it_is_confirmed() {
        let (hands, clock) = watched();
        let clock = clock.awaiting_confirmation();
        clock.confirm(clock.read()).unwrap();
        after(&hands, 3_600_000, 0);
        assert!(matches!(clock.now(), Err(ClockError::Stepped(_))));
        clock.confirm(clock.read()).unwrap();
        clock.now().unwrap();
    }

    #[test]
    fn what_was_confirmed_before_the_clock_was_set_does_not_count() {
        let (hands, clock) = watched();
        let clock = clock.awaiting_confirmation();
        let then = clock.read();
        after(&hands, -3_600_000, 100);
        clock.confirm(then).unwrap_err();
        assert_eq!(clock.now(), Err(ClockError::Unconfirmed));
    }

    #[test]
    fn this_machines_clock_is_steady() {
        WatchedClock::of_this_machine().now().unwrap();
    }
}
