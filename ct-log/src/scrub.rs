//! The thread that audits the log from time to time, slowly, while it runs: what nobody reads is read, so that damage is found
//! while there are still copies.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use crate::check::{self, Depth, Source, SourceError};
use crate::issuers;
use crate::leaf::{Fingerprint, UnixMillis};
use crate::running::Shared;
use crate::threads::{Condvar, Instant, Mutex, MutexGuard};
use crate::tile::Tile;

/// From the start to the first audit at the earliest: a start has other things to do.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// Shortest rest before each tile.
const REST: Duration = Duration::from_millis(100);

/// An audit rests this many times as long as it works.
const REST_PER_WORK: u32 = 9;

/// Damages that are remembered by name.
const MAX_DAMAGES: usize = 1000;

/// What is known to be damaged, and whether the thread is to stop.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    damages: BTreeSet<String>,
    audited: Option<UnixMillis>,
}

impl Scrub {
    /// Something that was read is not what the log wrote.
    pub(crate) fn report_damage(&self, what: String) {
        let mut state = self.state();
        if state.damages.len() < MAX_DAMAGES && !state.damages.contains(&what) {
            tracing::error!(what, "the log is damaged; put the file back from a copy");
            state.damages.insert(what);
        }
    }

    /// Number of damages that are known, and the end of the last audit.
    pub(crate) fn read(&self) -> (usize, Option<UnixMillis>) {
        let state = self.state();
        (state.damages.len(), state.audited)
    }

    pub(crate) fn stop(&self) {
        self.state().stopping = true;
        self.stopped.notify_all();
    }

    /// Whether it is time to stop.
    fn rest(&self, duration: Duration) -> bool {
        let state = self.state();
        let rested = self
            .stopped
            .wait_timeout_while(state, duration, |state| !state.stopping);
        rested.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    /// What an audit of all found replaces what was known: it may have been repaired.
    fn end_audit(&self, problems: Vec<String>, now: UnixMillis) {
        let mut state = self.state();
        state.damages.retain(|known| problems.contains(known));
        state.audited = Some(now);
        drop(state);
        problems
            .into_iter()
            .for_each(|problem| self.report_damage(problem));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Audits until the log stops, one audit in each period.
pub(crate) fn run(shared: &Shared, period: Duration) {
    let first = FIRST_AFTER.min(period);
    if shared.scrub.rest(first) {
        return;
    }
    loop {
        let began = Instant::now();
        audit(shared);
        let left = period.saturating_sub(began.elapsed());
        if shared.scrub.rest(left.max(first)) {
            return;
        }
    }
}

/// All that `ct-log verify` does, at leisure.
fn audit(shared: &Shared) {
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::warn!(%error, "the log cannot be audited now"),
    };
    let source = Paced {
        shared,
        state: Mutex::new(Pace {
            worked_since: Instant::now(),
            interruption: None,
        }),
    };
    let whose = (&shared.origin, shared.key.public());
    let report = runtime.block_on(check::check(&source, whose, Depth::Certificates));
    match source.pace().interruption.take() {
        Some(why) => tracing::info!(why, "an audit of the log was not completed"),
        None => {
            let problems = report.problems().iter().map(ToString::to_string).collect();
            shared.scrub.end_audit(problems, shared.clock.now());
        }
    }
}

/// The log as its readers get it, at a pace that does not disturb them.
struct Paced<'a> {
    shared: &'a Shared,
    state: Mutex<Pace>,
}

struct Pace {
    worked_since: Instant,
    /// Why the audit says nothing.
    interruption: Option<String>,
}

impl Paced<'_> {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(
        &self,
        what: &str,
        read: impl FnOnce() -> std::io::Result<Option<Vec<u8>>>,
    ) -> Result<Vec<u8>, SourceError> {
        let worked = self.pace().worked_since.elapsed();
        let stopping = self
            .shared
            .scrub
            .rest(REST.max(worked.saturating_mul(REST_PER_WORK)));
        self.pace().worked_since = Instant::now();
        let failed = |reason: String| SourceError::Failed {
            what: what.to_owned(),
            reason,
        };
        if stopping {
            return Err(self.interrupt(failed("the log stops".to_owned())));
        }
        match read() {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(SourceError::Missing(what.to_owned())),
            Err(error) if is_damage(&error) => Err(failed(error.to_string())),
            Err(error) => Err(self.interrupt(failed(error.to_string()))),
        }
    }

    fn interrupt(&self, error: SourceError) -> SourceError {
        self.pace().interruption.get_or_insert(error.to_string());
        error
    }
}

/// Whether an error of reading says that the storage has not what was written, rather than that it did not answer.
pub(crate) fn is_damage(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData
}

impl Source for Paced<'_> {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        Ok(self.shared.published().note.to_string())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        self.read(&tile.to_string(), || self.shared.durable_tile(tile).map(Some))
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        let path = issuers::path(&fingerprint);
        self.read(&path, || self.shared.objects.read(&path))
    }
}
