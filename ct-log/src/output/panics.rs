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

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::pipe;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::output;

    /// Set in a process of its own: the hook is the whole process's.
    const CHILD: &str = "CT_LOG_TEST_OF_PANICS";

    #[test]
    fn a_panic_is_a_line_and_counted_and_waits_for_nobody() {
        if env::var_os(CHILD).is_some() {
            panic_twice();
        }
        let (silent, full) = pipe().unwrap();
        rustix::io::ioctl_fionbio(&full, true).unwrap();
        while rustix::io::write(&full, &[0; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).unwrap();
        for stderr in [Stdio::piped(), full.into()] {
            let mut test = Command::new(env::current_exe().unwrap());
            test.args([
                "--exact",
                "--nocapture",
                "output::panics::tests::a_panic_is_a_line_and_counted_and_waits_for_nobody",
            ]);
            let child = test
                .env(CHILD, "1")
                .env("RUST_BACKTRACE", "0")
                .stdout(Stdio::null())
                .stderr(stderr);
            let output = child.spawn().unwrap().wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(2), "its number of panics");
            let said = String::from_utf8(output.stderr).unwrap();
            let lines = said
                .lines()
                .filter(|line| line.contains("ERROR") && line.contains("panics.rs"));
            assert!(said.is_empty() || lines.count() == 2, "{said}");
        }
        drop(silent);
    }

    fn panic_twice() {
        let lines = output::standard_error().unwrap();
        tracing_subscriber::fmt()
            .with_writer(lines)
            .with_ansi(false)
            .init();
        for _ in 0..2 {
            thread::spawn(|| panic!("of the test")).join().unwrap_err();
        }
        output::flush();
        std::process::exit(i32::try_from(panics()).unwrap());
    }
}
