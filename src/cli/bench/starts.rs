//! From exec to the first certificate, again and again.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use ct_log::output::StandardOutput;
use mayfly::clock::{Clock, SystemClock};

use super::{
    ServerSettings,
    account::Memory,
    applicants,
    load::ask_once,
    report::{megabytes, milliseconds, write_run},
    target::{Server, Target},
};
use crate::cli::failure::Failure;

/// Starts the server `times` times. Each is in the directory of one before it, which makes the keys and is not counted.
pub(super) async fn run(settings: ServerSettings, times: u16) -> Result<(), Failure> {
    let directory = tempfile::Builder::new().prefix("mayfly-bench-").tempdir()?;
    start(settings, directory.path()).await?;
    let (mut took, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let started = start(settings, directory.path()).await?;
        took.push(milliseconds(started.until_certificate));
        idle.push(megabytes(started.memory.resident));
    }
    let mut text = String::new();
    write_run(&mut text)?;
    writeln!(text, "server        started in {}", directory.path().display())?;
    writeln!(text, "starts        {times}, after one that made the keys")?;
    writeln!(
        text,
        "first certificate after exec, ms   {}",
        median_and_range(took)
    )?;
    writeln!(
        text,
        "memory after that certificate, MB  {}",
        median_and_range(idle)
    )?;
    StandardOutput.write_all(text.as_bytes())?;
    Ok(())
}

struct Start {
    until_certificate: Duration,
    memory: Memory,
}

/// The time includes making one token, which needs the port, and fetching the identity provider's keys.
async fn start(settings: ServerSettings, directory: &Path) -> Result<Start, Failure> {
    let exec = Instant::now();
    let (server, ready) = Server::start(settings, directory)?;
    let target = Target::new(&ready.api, &ready.data_dir, Some(server.pid()), String::new())?;
    let applicants = applicants::prepare(&target.minter()?, 1, SystemClock.now())?;
    let applicant = applicants.first().ok_or("no applicant was made")?;
    ask_once(&target, applicant).await?;
    Ok(Start {
        until_certificate: exec.elapsed(),
        memory: Memory::read(server.pid())?,
    })
}

fn median_and_range(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(median), Some(most)) => format!("{median:.1} ({least:.1} to {most:.1})"),
        _ => String::new(),
    }
}
