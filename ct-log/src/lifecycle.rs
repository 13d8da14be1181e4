//! From when to when a log is there: by the notAfter of the certificates that it takes, and by its clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::leaf::UnixMillis;

/// How long after the end of its window a log still takes entries: for submitters that are late, or whose clocks are. Sunlight
/// waits as long.
pub const CLOSING_GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The notAfter times that a log takes (its temporal interval): from the start on, up to the end and without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    start: SystemTime,
    end: SystemTime,
}

/// A window in which no certificate expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window must end after it starts")]
pub struct EmptyWindow;

impl Window {
    /// From `start`, included, until `end`, excluded.
    ///
    /// # Errors
    /// The end is not after the start.
    pub fn new(start: SystemTime, end: SystemTime) -> Result<Window, EmptyWindow> {
        (start < end).then_some(Window { start, end }).ok_or(EmptyWindow)
    }

    /// The first notAfter inside.
    pub fn start(&self) -> SystemTime {
        self.start
    }

    /// The first notAfter past it.
    pub fn end(&self) -> SystemTime {
        self.end
    }

    /// Whether a certificate that expires then belongs into it.
    pub fn covers(&self, not_after: SystemTime) -> bool {
        (self.start..self.end).contains(&not_after)
    }

    /// Where a log of this window stands at `now`.
    pub fn phase(&self, now: SystemTime) -> Phase {
        if now < self.start {
            Phase::Pending
        } else if now < self.closes_at() {
            Phase::Active
        } else {
            Phase::ReadOnly
        }
    }

    /// [`CLOSING_GRACE`] after its end: from then on a log of this window is read-only.
    pub fn closes_at(&self) -> SystemTime {
        self.end.checked_add(CLOSING_GRACE).unwrap_or(self.end)
    }
}

/// Where a log stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its window has not begun. It is published, and takes the entries that are early: certificates that expire in its window.
    Pending,
    /// Certificates of its window are being issued.
    Active,
    /// It takes no entries any more, and its tree is fixed (C13).
    ReadOnly,
}

/// The life of one open log. Its end is noticed by the sequencer alone, between two batches: once it has, nothing follows.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    window: Option<Window>,
    closed: AtomicBool,
}

impl Lifecycle {
    pub(crate) fn new(window: Option<Window>) -> Lifecycle {
        Lifecycle {
            window,
            closed: AtomicBool::new(false),
        }
    }

    /// That of a log that nobody writes.
    pub(crate) fn closed(window: Option<Window>) -> Lifecycle {
        Lifecycle {
            window,
            closed: AtomicBool::new(true),
        }
    }

    pub(crate) fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// Whether the tree is fixed. A clock that goes back afterwards changes nothing.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes the log if its time is over. To be called by the sequencer, before it commits.
    pub(crate) fn close_if_due(&self, now: UnixMillis) -> bool {
        if self.phase_at(now) != Phase::ReadOnly {
            return false;
        }
        if !self.closed.swap(true, Ordering::AcqRel) {
            tracing::info!("the log's window is over: it takes no entries any more");
        }
        true
    }

    /// The clock is asked only if that matters.
    pub(crate) fn phase(&self, clock: &dyn Clock) -> Phase {
        match (self.is_closed(), &self.window) {
            (true, _) => Phase::ReadOnly,
            (false, None) => Phase::Active,
            (false, Some(_)) => self.phase_at(clock.now()),
        }
    }

    fn phase_at(&self, now: UnixMillis) -> Phase {
        if self.is_closed() {
            return Phase::ReadOnly;
        }
        let now = UNIX_EPOCH.checked_add(Duration::from_millis(now.get()));
        match (&self.window, now) {
            (Some(window), Some(now)) => window.phase(now),
            (Some(_), None) => Phase::ReadOnly,
            (None, _) => Phase::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// C14.
    #[test]
    fn a_window_has_its_start_and_not_its_end() {
        let window = Window::new(at(100), at(200)).unwrap();
        let covered = [99, 100, 101, 199, 200, 201].map(|second| window.covers(at(second)));
        assert_eq!(covered, [false, true, true, true, false, false]);
        assert!(!window.covers(at(100) - Duration::from_nanos(1)));
        assert!(window.covers(at(200) - Duration::from_nanos(1)));
        for (start, end) in [(200, 200), (200, 100)] {
            assert_eq!(Window::new(at(start), at(end)), Err(EmptyWindow));
        }
    }

    /// C13.
    #[test]
    fn a_log_closes_a_grace_after_its_window_and_stays_closed() {
        let grace = CLOSING_GRACE.as_secs();
        let lifecycle = Lifecycle::new(Some(Window::new(at(100), at(200)).unwrap()));
        let millis = |seconds: u64, less: u64| UnixMillis::new(seconds * 1000 - less);
        for (now, phase) in [
            (millis(100, 1), Phase::Pending),
            (millis(100, 0), Phase::Active),
            (millis(200 + grace, 1), Phase::Active),
            (millis(200 + grace, 0), Phase::ReadOnly),
        ] {
            assert_eq!(lifecycle.phase_at(now), phase);
        }
        assert!(!lifecycle.close_if_due(millis(200 + grace, 1)));
        assert!(!lifecycle.is_closed(), "asking for the phase closes nothing");
        assert!(lifecycle.close_if_due(millis(200 + grace, 0)));
        assert!(lifecycle.close_if_due(millis(100, 0)));
        assert_eq!(lifecycle.phase_at(millis(1, 0)), Phase::ReadOnly);
        assert_eq!(
            Lifecycle::new(None).phase_at(UnixMillis::new(u64::MAX)),
            Phase::Active
        );
    }
}
