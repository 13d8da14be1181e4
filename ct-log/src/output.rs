//! What a program writes to standard error and standard output, so that no reader of either can stop, block or end it.
//!
//! Log lines and messages go to standard error through [`standard_error`]: a bounded queue and a thread that writes. A line that
//! cannot be written is dropped and counted, whatever the cause: a reader that went away, stands still, or a full disk. Once lines
//! can be written again, one line says how many were dropped.
//!
//! What a server says on standard output goes through [`announce`] in the same way. The results of a command that ends go to
//! [`StandardOutput`], which waits for its reader, and is content if it wants no more.

mod lines;
mod panics;
mod results;

use std::env;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

pub use lines::{LineWriter, Lines};
pub use panics::{panics, watch_panics};
pub(crate) use results::Deliveries;
pub use results::StandardOutput;

static STANDARD_ERROR: OnceLock<Lines> = OnceLock::new();
static STANDARD_OUTPUT: OnceLock<Lines> = OnceLock::new();

/// The lines of standard error, for `tracing_subscriber::fmt`'s `with_writer`. From the first call on panics are lines too.
///
/// # Errors
/// The system gives no thread.
pub fn standard_error() -> io::Result<Lines> {
    let lines = opened(&STANDARD_ERROR, || {
        Lines::start("log lines", io::stderr(), lines_dropped)
    })?;
    watch_panics();
    Ok(lines)
}

/// Whether log lines on standard error have colours: it is a terminal, and `NO_COLOR` is empty or
/// not set (<https://no-color.org>), as `clap` has it of its help.
#[must_use]
pub fn has_colors() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

/// Which log lines to write, as the variable says in the form of `RUST_LOG`; "info" if it is not set. What of it cannot be understood
/// is said and left out. (`EnvFilter` itself would say so with `eprintln!`, which panics if nobody reads.)
#[must_use]
pub fn filter(variable: &str) -> EnvFilter {
    let wanted = env::var(variable).unwrap_or_default();
    let understood = wanted.split(',').filter(|directive| {
        let wrong = directive.parse::<Directive>().err();
        let wrong = wrong.filter(|_| !directive.is_empty());
        wrong
            .inspect(|error| say(format_args!("{variable}: ignoring `{directive}`: {error}")))
            .is_none()
    });
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse_lossy(understood.collect::<Vec<_>>().join(","))
}

/// How many lines of standard error were dropped since the start.
#[must_use]
pub fn dropped_lines() -> u64 {
    STANDARD_ERROR.get().map_or(0, Lines::dropped)
}

/// Writes one line to standard error that is no log line: why a command failed, or a warning.
pub fn say(line: fmt::Arguments<'_>) {
    match STANDARD_ERROR.get() {
        Some(lines) => lines.push(format!("{line}\n").into_bytes()),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Writes to standard output what a server has to say, without waiting for it; if nobody can read it, nothing happens.
///
/// # Errors
/// The system gives no thread.
pub fn announce(text: String) -> io::Result<()> {
    let start = || Lines::start("standard output", io::stdout(), |_| {});
    opened(&STANDARD_OUTPUT, start)?.push(text.into_bytes());
    Ok(())
}

/// Waits until all that was handed in is written, and no longer than a reader makes progress, a few seconds at most.
pub fn flush() {
    for lines in [&STANDARD_OUTPUT, &STANDARD_ERROR] {
        lines.get().inspect(|lines| lines.flush());
    }
}

/// Does [`flush`] when it is dropped: at the end of `main`, also if that panics.
#[derive(Debug)]
pub struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush();
    }
}

fn opened(place: &OnceLock<Lines>, start: impl FnOnce() -> io::Result<Lines>) -> io::Result<Lines> {
    match place.get() {
        Some(lines) => Ok(lines.clone()),
        None => {
            let lines = start()?;
            Ok(place.get_or_init(|| lines).clone())
        }
    }
}

/// A log line, since it is written by the thread of the lines: the format is the one that was chosen.
fn lines_dropped(lines: u64) {
    tracing::warn!(lines, "log lines could not be written and were dropped");
}
