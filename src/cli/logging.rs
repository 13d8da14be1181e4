//! Log lines, on standard error.

use std::io;

use clap::ValueEnum;
use ct_log::output;

const FILTER_VARIABLE: &str = "MAYFLY_LOG";

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For machines: one JSON object a line
    Json,
}

/// Starts logging for the whole process. Lines that cannot be written are dropped and counted.
pub(crate) fn start(format: LogFormat) -> io::Result<()> {
    let writer = output::standard_error()?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(output::filter(FILTER_VARIABLE))
        .with_writer(writer)
        .log_internal_errors(false)
        .with_ansi(output::has_colors());
    match format {
        LogFormat::Text => lines.with_target(false).compact().init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
