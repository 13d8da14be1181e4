//! What happens beside the load: many more issuers, or one that makes trouble. Measured without and with it in turns,
//! so that both see the same machine.

mod neighbour;
mod strangers;

use std::{fmt, fs, io::Write, time::Duration};

use clap::ValueEnum;
use ct_log::output::StandardOutput;
use mayfly::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time;

use self::{neighbour::Neighbour, strangers::Strangers};
use super::{
    applicants::Applicant,
    load::{Load, Run},
    report::{self, milliseconds},
    target::Target,
};
use crate::cli::failure::Failure;

/// Turns without and with it.
const ROUNDS: usize = 3;

/// How many issuers are added by [`Beside::Issuers`].
pub(super) const EXACT_ISSUERS: usize = 1000;
/// And how many patterns.
pub(super) const PATTERNS: usize = 100;

/// The condition that each entry gets then.
const CONDITION: &str = r#"allow: claims.repository_owner == "octo-org" && claims.ref == "refs/heads/main""#;

/// How long the server may take to read its issuer file again.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What there is beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Beside {
    /// 1,000 more issuers, 100 patterns, and a condition on each and on the measured one
    Issuers,
    /// Tokens of the measured issuer with made-up key ids, 500 a second
    UnknownKeys,
    /// An issuer that never answers, and 500 tokens of it a second
    SlowIssuer,
    /// An issuer that refuses connections, and 500 tokens of it a second
    DownIssuer,
    /// An issuer whose documents never end, and 500 tokens of it a second
    HostileIssuer,
}

/// One turn.
struct Turn {
    certificates: u64,
    rate: f64,
    cpu: Option<Duration>,
    p50: Duration,
    p99: Duration,
    failures: u64,
    /// Fetches of keys since the turn before, of all issuers.
    fetches: u64,
}

/// The server does not take its issuer file.
#[derive(Debug, thiserror::Error)]
#[error("the server did not read its changed issuer file within {} s", RELOAD_TIMEOUT.as_secs())]
struct NotReloaded;

/// Some requests of the measured load failed.
#[derive(Debug, thiserror::Error)]
#[error("the run is not a measurement: {0} of the measured requests failed, or none was answered in a turn")]
struct BadRun(u64);

/// Measures in turns, and prints what came of it.
pub(super) async fn measure(
    beside: Beside,
    target: &Target,
    load: Load,
    applicants: &[Applicant],
) -> Result<(), Failure> {
    let plain = fs::read_to_string(target.data_dir().issuers())?;
    let neighbour = Neighbour::start(beside)?;
    let busy = neighbour.issuer_file(&plain);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        trust(target, &plain, &busy).await?;
        without.push(turn(target, load, applicants).await?);
        trust(target, &busy, &plain).await?;
        let strangers = Strangers::start(beside, target, neighbour.troublemaker(), SystemClock.now())?;
        with.push(turn(target, load, applicants).await?);
        drop(strangers);
    }
    write!(
        StandardOutput,
        "{}",
        Comparison {
            beside,
            load,
            without: &without,
            with: &with
        }
    )?;
    let turns = || without.iter().chain(&with);
    match turns().map(|turn| turn.failures).sum() {
        0 if turns().all(|turn| turn.certificates > 0) => Ok(()),
        failed => Err(BadRun(failed).into()),
    }
}

/// Puts another issuer file in the place of the old one, and waits until the server goes by it.
async fn trust(target: &Target, text: &str, old: &str) -> Result<(), Failure> {
    if fs::read_to_string(target.data_dir().issuers())? == text {
        return Ok(());
    }
    let before = reloads(target).await?;
    fs::write(target.data_dir().issuers(), text)?;
    if let Some(pid) = target.process().and_then(Pid::from_raw) {
        kill_process(pid, Signal::HUP)?;
    }
    let read = async {
        while reloads(target).await? == before {
            time::sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, Failure>(())
    };
    if time::timeout(RELOAD_TIMEOUT, read).await.is_err() {
        fs::write(target.data_dir().issuers(), old)?;
        return Err(NotReloaded.into());
    }
    // The keys of new issuers are fetched meanwhile.
    time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

async fn reloads(target: &Target) -> Result<u64, Failure> {
    sum(target, r#"mayfly_issuer_file_reloads_total{outcome="applied"}"#).await
}

/// The sum of a metric's series.
async fn sum(target: &Target, series: &str) -> Result<u64, Failure> {
    let text = reqwest::get(target.metrics()).await?.text().await?;
    let value = |line: &str| {
        line.rsplit(' ')
            .next()
            .and_then(|value| value.parse::<u64>().ok())
    };
    Ok(text
        .lines()
        .filter(|line| line.starts_with(series))
        .filter_map(value)
        .sum())
}

async fn turn(target: &Target, load: Load, applicants: &[Applicant]) -> Result<Turn, Failure> {
    const FETCHES: &str = "mayfly_issuer_key_fetches_total{";
    let before = sum(target, FETCHES).await?;
    let run: Run = load.run(target, applicants).await?;
    let fetches = sum(target, FETCHES).await?.saturating_sub(before);
    let at = |quantile| Duration::from_micros(run.latency.value_at_quantile(quantile));
    let each = u32::try_from(run.issued).unwrap_or(u32::MAX).max(1);
    Ok(Turn {
        certificates: run.issued,
        rate: report::rate(&run),
        cpu: run.cpu.map(|cpu| cpu / each),
        p50: at(0.5),
        p99: at(0.99),
        failures: run.failures.values().sum(),
        fetches,
    })
}

/// What is printed.
struct Comparison<'a> {
    beside: Beside,
    load: Load,
    without: &'a [Turn],
    with: &'a [Turn],
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report::write_run(f)?;
        let Load {
            connections,
            duration,
            ..
        } = self.load;
        writeln!(
            f,
            "load          {connections} connections, {duration:?} a turn, {ROUNDS} turns each"
        )?;
        writeln!(f, "beside        {:?}", self.beside)?;
        writeln!(
            f,
            "                 CPU ms each   certificates/s   p50 ms   p99 ms   key fetches   failures"
        )?;
        for (without, with) in self.without.iter().zip(self.with) {
            without.write("without", f)?;
            with.write("with", f)?;
        }
        let ratio = |value: fn(&Turn) -> f64| {
            median(self.with.iter().map(value)) / median(self.without.iter().map(value))
        };
        let (cpu, p99) = (ratio(Turn::cpu_ms), ratio(|turn| milliseconds(turn.p99)));
        writeln!(
            f,
            "ratio         {cpu:.2} in CPU time per certificate, {p99:.2} in p99, of the medians"
        )
    }
}

impl Turn {
    fn cpu_ms(&self) -> f64 {
        self.cpu.map_or(f64::NAN, milliseconds)
    }

    fn write(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {name:<12} {:>13.3} {:>16.0} {:>8.2} {:>8.2} {:>13} {:>10}",
            self.cpu_ms(),
            self.rate,
            milliseconds(self.p50),
            milliseconds(self.p99),
            self.fetches,
            self.failures
        )
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
