//! Panics: each is counted, on whatever thread, and is a log line.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::STANDARD_ERROR;

static PANICS: AtomicU64 = AtomicU64::new(0);
static WATCHED: Once = Once::new();

/// Counts panics from now on. The default hook would write to standard error, and wait there for a reader that stands still, so
/// that its place is taken once [`super::standard_error`] was called.
pub fn watch_panics() {
    WATCHED.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            match STANDARD_ERROR.get() {
                Some(_) => write(panic),
                None => default(panic),
            }
        }));
    });
}

/// How many there were since [`watch_panics`], also those that were caught.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

fn write(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map(tracing::field::display);
    let panic = panic.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(&backtrace);
    let backtrace = backtrace.map(tracing::field::display);
    tracing::error!(panic, place, thread, backtrace, "a thread panicked");
}
