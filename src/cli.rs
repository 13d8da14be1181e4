//! The command line: what was typed (`*Arguments`, by clap), then what it means (`*Settings`), then doing it.

mod bench;
mod config;
mod deployment;
mod dev;
mod dev_timestamps;
mod failure;
mod guide;
mod init;
mod intermediate;
mod log;
mod logging;
mod place;
mod serve;
mod signal;
mod terminal;
mod timestamp_authority;
mod token;
mod trust;
mod under_root;
mod unlock;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use ct_log::output;
use mayfly::key::memory;

use failure::Failure;
use logging::LogFormat;

const AFTER_HELP: &str = "\
Examples:
  mayfly dev                                         everything on this machine, to try it out
  mayfly dev token --email you@example.com           a token, without a browser
  mayfly init acme-ca                                a CA of your own: keys, log, configuration
  mayfly intermediate next --root root.pem --root-key root-key.pem
                                                     the CA's next key and certificate
  mayfly config check --config mayfly.yaml           what is wrong with it, all at once
  mayfly serve --config mayfly.yaml                  in earnest
  mayfly trust export --config mayfly.yaml --output clients
                                                     what clients need to sign and to verify
  mayfly trust tuf publish tuf --targets clients --key targets.pem --key online.pem
                                                     clients fetch what they trust by TUF
  mayfly log verify --key log.pem https://ca.example.com/log
                                                     is the log what it promises to be
  mayfly bench --connections 64                      how fast, and at what cost

Environment:
  MAYFLY_LOG     which log lines to write, as in RUST_LOG; \"info\" if unset
  NO_COLOR       if set and not empty, no colours

Exit codes:
  0  done; for a server: stopped by SIGINT or SIGTERM, after the requests in flight
  1  failed; the reason and its causes are on standard error
  2  the command line or the configuration is wrong
  3  the certificate log or the audit record could not be written, so the server stopped; the next
     start recovers
  4  of mayfly log: the log is not sound";

/// A keyless code-signing certificate authority.
///
/// Whoever proves who they are with an OpenID Connect token gets a certificate for a key of their
/// own: valid for ten minutes, and in a log that everybody can read before it is handed out.
/// cosign and the other Sigstore clients work with it unchanged.
#[derive(Debug, Parser)]
#[command(name = "mayfly", version = mayfly::VERSION, after_help = AFTER_HELP, arg_required_else_help = true, verbatim_doc_comment)]
struct Arguments {
    /// How log lines on standard error look
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        display_order = 100
    )]
    log_format: LogFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::DevArguments),
    Init(Box<init::InitArguments>),
    Intermediate(intermediate::IntermediateArguments),
    TimestampAuthority(timestamp_authority::TimestampAuthorityArguments),
    Serve(serve::ServeArguments),
    Config(config::ConfigArguments),
    Log(log::LogArguments),
    Trust(trust::TrustArguments),
    Bench(bench::BenchArguments),
}

/// The command line, with the examples of `mayfly log` in this program's name.
fn command() -> clap::Command {
    Arguments::command().mut_subcommand("log", |log| ct_log::tool::named(log, "mayfly log"))
}

/// For a command that has private keys in its memory for a moment.
fn protect_memory() -> Result<(), Failure> {
    memory::refuse_dumps()?;
    if let Err(error) = memory::lock() {
        tracing::debug!("{error}");
    }
    Ok(())
}

/// Runs what was typed; the exit code is documented under `--help`.
pub(crate) fn main() -> ExitCode {
    let _written = output::FlushOnDrop;
    let matches = command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Err(error) = logging::start(arguments.log_format) {
        return Failure::from(error).report();
    }
    let outcome = match arguments.command {
        Command::Dev(arguments) => dev::run(arguments),
        Command::Init(arguments) => init::run(*arguments),
        Command::Intermediate(arguments) => intermediate::run(&arguments),
        Command::TimestampAuthority(arguments) => timestamp_authority::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::Log(arguments) => return log::run(arguments),
        Command::Trust(arguments) => trust::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
