//! When somebody else's service is left alone: after failures in a row, and for as long as it asked.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row after which a service is left alone.
const FAILURES: u32 = 5;
/// Longest wait that a service can ask for: it must not take itself out of service for a day by a mistake.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);
/// When to ask again while somebody else's probe is on its way.
const PROBE_RETRY: Duration = Duration::from_secs(1);

/// A circuit breaker: closed, open after [`FAILURES`] in a row, and half open once it has rested, when one attempt at a
/// time probes. An attempt that is given up without an outcome counts for nothing.
#[derive(Debug)]
pub(crate) struct Breaker {
    rests: Rests,
    state: Mutex<State>,
}

/// For how long a service is left alone; the time doubles with each probe that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rests {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    not_before: Option<Instant>,
    probing: bool,
}

/// Leave to make one attempt. Whoever drops it without an outcome has made none.
#[derive(Debug)]
pub(crate) struct Leave<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    pub(crate) fn new(rests: Rests) -> Self {
        let state = Mutex::default();
        Self { rests, state }
    }

    /// # Errors
    /// How long the service is to be left alone yet.
    pub(crate) fn ask(&self, now: Instant) -> Result<Leave<'_>, Duration> {
        let mut state = self.state();
        if let Some(wait) = state.not_before.and_then(|at| at.checked_duration_since(now))
            && !wait.is_zero()
        {
            return Err(wait);
        }
        let probe = state.is_open();
        if probe && state.probing {
            return Err(PROBE_RETRY);
        }
        state.probing |= probe;
        Ok(Leave { breaker: self, probe })
    }

    /// Whether the last attempts all failed, the number of which is [`FAILURES`] or more.
    pub(crate) fn is_open(&self) -> bool {
        self.state().is_open()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_open(&self) -> bool {
        self.failures >= FAILURES
    }

    fn rest(&mut self, until: Option<Instant>) {
        self.not_before = self.not_before.max(until);
    }
}

impl Leave<'_> {
    pub(crate) fn succeeded(self) {
        let mut state = self.breaker.state();
        state.failures = 0;
        state.not_before = None;
    }

    pub(crate) fn failed(self, now: Instant) {
        let mut state = self.breaker.state();
        // Attempts that began before the breaker opened say nothing new.
        if state.is_open() && !self.probe {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if let Some(opened) = state.failures.checked_sub(FAILURES) {
            let Rests { first, longest } = self.breaker.rests;
            let rest = first.saturating_mul(2_u32.saturating_pow(opened));
            state.rest(now.checked_add(rest.min(longest)));
        }
    }

    /// The service is there and does not want to be asked for a while.
    pub(crate) fn sent_away(self, now: Instant, retry_after: Duration) {
        let until = now.checked_add(retry_after.min(LONGEST_RETRY_AFTER));
        self.breaker.state().rest(until);
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FIRST_REST: Duration = Duration::from_secs(10);
    const LONGEST_REST: Duration = Duration::from_secs(160);

    fn closed() -> Breaker {
        Breaker::new(Rests {
            first: FIRST_REST,
            longest: LONGEST_REST,
        })
    }

    fn open(breaker: &Breaker, now: Instant) {
        for _ in 0..FAILURES {
            breaker.ask(now).unwrap().failed(now);
        }
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let (breaker, now) = (closed(), Instant::now());
        for _ in 0..3 {
            for _ in 1..FAILURES {
                breaker.ask(now).unwrap().failed(now);
            }
            breaker.ask(now).unwrap().succeeded();
        }
        assert!(!breaker.is_open());
        open(&breaker, now);
        assert!(breaker.is_open());
        assert_eq!(breaker.ask(now).unwrap_err(), FIRST_REST);
    }

    #[test]
    fn one_probe_at_a_time_closes_it_or_makes_the_rest_longer() {
        let (breaker, start) = (closed(), Instant::now());
        open(&breaker, start);
        let rested = start + FIRST_REST;
        let probe = breaker.ask(rested).unwrap();
        assert_eq!(breaker.ask(rested).unwrap_err(), PROBE_RETRY);
        probe.failed(rested);
        assert_eq!(breaker.ask(rested).unwrap_err(), 2 * FIRST_REST);
        let rested = rested + 2 * FIRST_REST;
        breaker.ask(rested).unwrap().succeeded();
        assert!(!breaker.is_open());
        breaker.ask(rested).unwrap();
    }

    #[test]
    fn rests_are_bounded_however_often_it_fails() {
        let (breaker, mut now) = (closed(), Instant::now());
        open(&breaker, now);
        for _ in 0..40 {
            now += LONGEST_REST;
            breaker.ask(now).unwrap().failed(now);
            assert!(breaker.ask(now).unwrap_err() <= LONGEST_REST);
        }
    }

    #[test]
    fn an_attempt_that_is_given_up_counts_for_nothing() {
        let (breaker, start) = (closed(), Instant::now());
        for _ in 0..FAILURES {
            drop(breaker.ask(start).unwrap());
        }
        assert!(!breaker.is_open());
        open(&breaker, start);
        drop(breaker.ask(start + FIRST_REST).unwrap());
        breaker.ask(start + FIRST_REST).unwrap();
    }

    #[test]
    fn a_service_is_left_alone_for_as_long_as_it_asks_up_to_a_limit() {
        let (breaker, now) = (closed(), Instant::now());
        breaker.ask(now).unwrap().sent_away(now, SECOND);
        assert_eq!(breaker.ask(now).unwrap_err(), SECOND);
        assert!(!breaker.is_open());
        let later = now + SECOND;
        breaker.ask(later).unwrap().sent_away(later, Duration::MAX);
        assert_eq!(breaker.ask(later).unwrap_err(), LONGEST_RETRY_AFTER);
    }
}
