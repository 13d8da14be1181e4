//! `mayfly bench`: how much a server does, and what that costs it.

mod account;
mod applicants;
mod beside;
mod check;
mod floor;
mod load;
mod report;
mod starts;
mod target;

use std::{io::Write, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Args;
use ct_log::output::StandardOutput;
use mayfly::clock::{Clock, SystemClock};

use self::{beside::Beside, floor::Floor, load::Load, report::Report, target::Target};
use super::{dev::CaKey, failure::Failure};

/// Distinct tokens; used in turn. Making them takes a few seconds.
const APPLICANTS: usize = 10_000;

/// The tokens are valid for ten minutes, and making them takes some of that.
const MAX_SECONDS: u64 = 300;

/// A generator with more connections than this would measure itself.
const MAX_CONNECTIONS: usize = 1024;

const EXAMPLES: &str = "\
Examples:
  mayfly bench                                             8 connections for 10 s, P-384 CA, log on disk
  mayfly bench --ca p256 --ephemeral --connections 64      the other extreme
  mayfly bench --beside slow-issuer                        does it slow down the others?
  mayfly bench --starts 20                                 from exec to the first certificate
  mayfly bench --url http://127.0.0.1:5555 --data-dir ./mayfly-dev --pid 4711

What it does: each connection sends a request, waits for the certificate, and sends the next (closed
loop). Tokens, keys and proofs are made before. Without --url it starts a `mayfly dev` of its own in
a temporary directory and stops it at the end. Afterwards it checks one answer in a hundred: chain,
key, and the SCT with the log's key.

How to read it: the CPU time per certificate is the server's alone, log and audit record included,
and hardly depends on what else the machine does; compare it at the same number of connections.
Throughput and latency depend on the machine, on its other work, and on this generator, which runs
beside the server. The floor is the CPU time of the cryptography that one issuance cannot do without.

Exit code 1 if any request or check failed.";

/// Measure a server: throughput, latency, CPU time per certificate
///
/// For `mayfly dev` only, whose tokens it can make by itself.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, verbatim_doc_comment)]
pub(crate) struct BenchArguments {
    /// A `mayfly dev` that runs already [default: start one]
    #[arg(long, value_name = "URL", requires = "data_dir", conflicts_with_all = ["ca", "ephemeral", "starts"])]
    url: Option<String>,

    /// The data directory of that server
    #[arg(long, value_name = "DIR", requires = "url")]
    data_dir: Option<PathBuf>,

    /// The process of that server, to account for its CPU time and memory
    #[arg(long, value_name = "PID", requires = "url", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// Requests under way at the same time
    #[arg(long, value_name = "N", default_value = "8", value_parser = connections)]
    connections: NonZeroUsize,

    /// Seconds that are measured
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    duration: u64,

    /// Seconds of load before that
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up: u64,

    /// Keys of the CA of the server that is started
    #[arg(long, value_enum, default_value = "p384")]
    ca: CaKey,

    /// Log in memory and no audit record, in the server that is started
    #[arg(long)]
    ephemeral: bool,

    /// Measure without and with something beside the load, in turns: what that costs, and whom
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["url", "starts"])]
    beside: Option<Beside>,

    /// Instead of load: start the server this many times, and time each until its first certificate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    starts: Option<u16>,
}

/// What a server of our own is started with.
#[derive(Clone, Copy, Debug)]
struct ServerSettings {
    ca: CaKey,
    storage: Storage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    Disk,
    Memory,
}

fn connections(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse() {
        Ok(number) if NonZeroUsize::get(number) <= MAX_CONNECTIONS => Ok(number),
        _ => Err(format!("give a number from 1 to {MAX_CONNECTIONS}")),
    }
}

/// Some requests or checks failed; the report says which.
#[derive(Debug, thiserror::Error)]
#[error(
    "the run is not a measurement: {failed} requests failed, {wrong} answers were wrong, {issued} were right"
)]
struct BadRun {
    failed: u64,
    wrong: usize,
    issued: u64,
}

pub(crate) fn run(arguments: BenchArguments) -> Result<(), Failure> {
    // One thread, so that the generator takes as little as possible from the server beside it.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(arguments))
}

async fn measure(arguments: BenchArguments) -> Result<(), Failure> {
    let settings = ServerSettings {
        ca: arguments.ca,
        storage: if arguments.ephemeral {
            Storage::Memory
        } else {
            Storage::Disk
        },
    };
    if let Some(times) = arguments.starts {
        return starts::run(settings, times).await;
    }
    let load = Load {
        connections: arguments.connections,
        warm_up: Duration::from_secs(arguments.warm_up),
        duration: Duration::from_secs(arguments.duration),
    };
    match (arguments.url, arguments.data_dir) {
        (Some(url), Some(data_dir)) => {
            put_under_load(&Target::running(&url, &data_dir, arguments.pid)?, load).await
        }
        _ => {
            let own = target::Own::start(settings)?;
            match arguments.beside {
                None => put_under_load(own.target(), load).await,
                Some(beside) => {
                    let target = own.target();
                    let applicants = applicants::prepare(&target.minter()?, APPLICANTS, SystemClock.now())?;
                    beside::measure(beside, target, load, &applicants).await
                }
            }
        }
    }
}

async fn put_under_load(target: &Target, load: Load) -> Result<(), Failure> {
    let applicants = applicants::prepare(&target.minter()?, APPLICANTS, SystemClock.now())?;
    let floor = Floor::measure(target.ca_key()?)?;
    let idle = target.process().map(account::Memory::read).transpose()?;
    let run = load.run(target, &applicants).await?;
    let peak = target.process().map(account::Memory::read).transpose()?;
    let checked = check::all(target, &applicants, &run.samples)?;
    let report = Report {
        target,
        load,
        run: &run,
        floor,
        memory: idle.zip(peak),
        checked: &checked,
    };
    write!(StandardOutput, "{report}")?;
    if run.failures.is_empty() && checked.wrong.is_empty() && run.issued > 0 {
        return Ok(());
    }
    Err(BadRun {
        failed: run.failures.values().sum(),
        wrong: checked.wrong.len(),
        issued: run.issued,
    }
    .into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Arguments;

    #[test]
    fn a_foreign_server_comes_with_its_data() {
        for line in [
            "mayfly bench",
            "mayfly bench --url http://127.0.0.1:5555 --data-dir d --pid 1",
        ] {
            Arguments::try_parse_from(line.split(' ')).unwrap();
        }
        for line in [
            "mayfly bench --url http://127.0.0.1:5555",
            "mayfly bench --data-dir d",
            "mayfly bench --pid 1",
            "mayfly bench --url http://127.0.0.1:5555 --data-dir d --ephemeral",
            "mayfly bench --connections 0",
            "mayfly bench --connections 1025",
            "mayfly bench --duration 0",
            "mayfly bench --duration 301",
            "mayfly bench --starts 0",
        ] {
            Arguments::try_parse_from(line.split(' ')).unwrap_err();
        }
    }
}
