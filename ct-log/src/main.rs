//! `ct-log`: a log's server, and what an operator or auditor does to a log from outside.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use ct_log::output;
use ct_log::tool::{self, LogCommand};

const AFTER_HELP: &str = "\
Environment:
  CT_LOG_LOG     which log lines to write, as in RUST_LOG; \"info\" if unset
  NO_COLOR       if set and not empty, no colours
";

/// A Certificate Transparency log: its server, and what an operator or auditor does to a log from outside
#[derive(Debug, Parser)]
#[command(name = "ct-log", version, after_help = format!("{AFTER_HELP}\n{}", tool::EXIT_CODES))]
struct Arguments {
    #[command(subcommand)]
    command: LogCommand,
}

fn main() -> ExitCode {
    let _written = output::FlushOnDrop;
    let matches = tool::named(Arguments::command(), "ct-log").get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match start_logging() {
        Ok(()) => tool::run(arguments.command),
        Err(error) => {
            output::say(format_args!("error: no log lines can be written: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn start_logging() -> io::Result<()> {
    let lines = output::standard_error()?;
    tracing_subscriber::fmt()
        .with_env_filter(output::filter("CT_LOG_LOG"))
        .with_writer(lines)
        .log_internal_errors(false)
        .with_ansi(output::has_colors())
        .with_target(false)
        .compact()
        .init();
    Ok(())
}
