//! What is printed: made to be pasted beside the figures that are taken from it.

use std::{env, fmt, fs, thread, time::Duration};

use super::{
    account::Memory,
    check::Checked,
    floor::Floor,
    load::{Load, Run},
    target::Target,
};

/// Of wrong answers, only the first few are shown.
const SHOWN: usize = 5;

/// One run, and all that is needed to repeat it.
pub(super) struct Report<'a> {
    pub(super) target: &'a Target,
    pub(super) load: Load,
    pub(super) run: &'a Run,
    pub(super) floor: Floor,
    /// Before the load and after it.
    pub(super) memory: Option<(Memory, Memory)>,
    pub(super) checked: &'a Checked,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_run(f)?;
        self.write_setting(f)?;
        self.write_load(f)?;
        self.write_cost(f)?;
        self.write_failures(f)
    }
}

/// Command, build and machine.
pub(super) fn write_run(f: &mut impl fmt::Write) -> fmt::Result {
    let command: Vec<String> = env::args().skip(1).collect();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    writeln!(f, "command       mayfly {}", command.join(" "))?;
    writeln!(f, "build         {}, {}", env!("CARGO_PKG_VERSION"), build())?;
    writeln!(
        f,
        "machine       {cpus} CPUs, load average {} at the end",
        load.join(" ")
    )
}

const fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "without optimisation: its figures mean nothing, use cargo run --release"
    } else {
        "release"
    }
}

impl Report<'_> {
    fn write_setting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load {
            connections,
            warm_up,
            duration,
        } = self.load;
        writeln!(f, "server        {}", self.target.description())?;
        writeln!(
            f,
            "load          {connections} connections over HTTP/1.1, closed loop, {duration:?} after {warm_up:?} of warm-up"
        )
    }

    fn write_load(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.run;
        writeln!(f, "certificates  {} ({:.0}/s)", run.issued, rate(run))?;
        write!(f, "latency       ")?;
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            let latency = Duration::from_micros(run.latency.value_at_quantile(quantile));
            write!(f, "{name} {:.2} ms, ", milliseconds(latency))?;
        }
        let max = Duration::from_micros(run.latency.max());
        writeln!(f, "max {:.2} ms", milliseconds(max))
    }

    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = self.floor;
        let issued = u32::try_from(self.run.issued).unwrap_or(u32::MAX).max(1);
        if let Some(cpu) = self.run.cpu {
            let each = cpu / issued;
            writeln!(
                f,
                "CPU           {:.3} ms of the server's per certificate = {:.2} x floor; {:.1} s in {:.1} s",
                milliseconds(each),
                each.as_secs_f64() / floor.total().as_secs_f64(),
                cpu.as_secs_f64(),
                self.run.took.as_secs_f64(),
            )?;
        }
        writeln!(
            f,
            "floor         {:.3} ms: token {:.1?} + proof {:.1?} + 2 x CA {:.1?} + SCT {:.1?}",
            milliseconds(floor.total()),
            floor.token_verification,
            floor.proof_verification,
            floor.ca_signature,
            floor.sct_signature,
        )?;
        match self.memory {
            Some((idle, peak)) => writeln!(
                f,
                "memory        {:.1} MB idle, {:.1} MB peak",
                megabytes(idle.resident),
                megabytes(peak.peak)
            ),
            None => writeln!(
                f,
                "memory        not accounted for: name the server's process with --pid"
            ),
        }
    }

    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failures, checked) = (&self.run.failures, self.checked);
        if failures.is_empty() {
            writeln!(f, "failures      none")?;
        }
        for (reason, count) in failures {
            writeln!(f, "failures      {count} x {reason}")?;
        }
        writeln!(
            f,
            "checked       {} answers right, {} wrong",
            checked.right,
            checked.wrong.len()
        )?;
        for wrong in checked.wrong.iter().take(SHOWN) {
            writeln!(f, "              {wrong}")?;
        }
        Ok(())
    }
}

/// Certificates a second.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a figure to look at"
)]
pub(super) fn rate(run: &Run) -> f64 {
    run.issued as f64 / run.took.as_secs_f64()
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// From KiB, as the kernel counts, to 10^6 bytes.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a figure to look at"
)]
pub(super) fn megabytes(kibibytes: u64) -> f64 {
    kibibytes as f64 * 1024.0 / 1e6
}
