//! What the kernel says of a process: /proc/PID/stat and /proc/PID/status (proc_pid_stat(5), proc_pid_status(5)).

use std::{fs, io, num::NonZeroU64, time::Duration};

/// User and system time of all threads of a process since its start, in steps of one tick (10 ms).
pub(super) fn cpu_time(pid: i32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; fields are counted after it, from the third.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest);
    let mut fields = after_name.unwrap_or_default().split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (Some(user), Some(system)) = (ticks(), ticks()) else {
        return Err(malformed("stat"));
    };
    let per_second =
        NonZeroU64::new(rustix::param::clock_ticks_per_second()).ok_or_else(|| malformed("clock"))?;
    let nanoseconds = 1_000_000_000 / per_second;
    Ok(Duration::from_nanos((user + system).saturating_mul(nanoseconds)))
}

/// Memory of a process that is in RAM, in KiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Now.
    pub(super) resident: u64,
    /// The most since its start.
    pub(super) peak: u64,
}

impl Memory {
    pub(super) fn read(pid: i32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
                .ok_or_else(|| malformed(name))
        };
        Ok(Self {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the kernel's account of the server cannot be read ({what})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_process_that_has_worked() {
        let this = i32::try_from(std::process::id()).unwrap();
        let before = cpu_time(this).unwrap();
        while cpu_time(this).unwrap() == before {}
        let memory = Memory::read(this).unwrap();
        assert!(
            memory.resident > 0 && memory.peak >= memory.resident,
            "{memory:?}"
        );
    }

    #[test]
    fn of_no_process() {
        assert!(cpu_time(0).is_err());
        assert!(Memory::read(0).is_err());
    }
}
