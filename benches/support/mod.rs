//! What both benchmarks measure: the parts of an authority, in memory or on disk, and CPU time as the unit.

#[path = "../../src/cli/bench/applicants.rs"]
pub(crate) mod applicants;
pub(crate) mod authority;
mod cpu_time;

pub(crate) use self::cpu_time::CpuTime;
