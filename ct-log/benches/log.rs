//! What a log on a disk costs: entries per second, latency beside the bare disk's, memory and start by size, proofs, audits.
//!
//! `cargo bench -p ct-log --bench log -- --help`. Everything is written below `TMPDIR`; on a tmpfs the figures mean nothing.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a benchmark may end at the first surprise"
)]

#[path = "log/disk.rs"]
mod disk;
#[path = "log/grow.rs"]
mod grow;
#[path = "log/load.rs"]
mod load;
#[path = "log/wait.rs"]
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Cargo gives it to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Entries per second and latency with each number of submitters, beside a bare fdatasync on the same disk.
    Submit {
        /// Concurrent submitters.
        #[arg(long, value_delimiter = ',', default_value = "1,16,256")]
        submitters: Vec<usize>,
        /// For each number, half of it with the bare disk.
        #[arg(long, default_value_t = 6)]
        seconds: u64,
        /// Of a precertificate; its TBSCertificate comes on top.
        #[arg(long, default_value_t = 1200)]
        entry_bytes: usize,
    },
    /// What it costs when SCTs wait for more than the disk.
    Wait {
        /// Concurrent submitters.
        #[arg(long, value_delimiter = ',', default_value = "1,64")]
        submitters: Vec<usize>,
        /// For each number and each rule.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// A directory that does not exist yet, on another device. Otherwise the mirror is on the same.
        #[arg(long)]
        mirror: Option<PathBuf>,
        /// How long the witness takes to answer, in milliseconds.
        #[arg(long, default_value_t = 20)]
        away: u64,
    },
    /// Memory at each size, then the time to start with all of it, to prove, and to audit.
    Grow {
        /// Entries at which to measure; the last one is how far the log grows.
        #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
        sizes: Vec<u64>,
        /// Of a precertificate; its TBSCertificate comes on top.
        #[arg(long, default_value_t = 100)]
        entry_bytes: usize,
        /// Keeps the log here, and goes on with it if it is there. Otherwise it is deleted.
        #[arg(long)]
        keep: Option<PathBuf>,
    },
}

fn main() {
    match Arguments::parse().what {
        What::Submit {
            submitters,
            seconds,
            entry_bytes,
        } => load::run(&submitters, Duration::from_secs(seconds), entry_bytes),
        What::Wait {
            submitters,
            seconds,
            mirror,
            away,
        } => wait::run(
            &submitters,
            Duration::from_secs(seconds),
            mirror,
            Duration::from_millis(away),
        ),
        What::Grow {
            sizes,
            entry_bytes,
            keep,
        } => grow::run(&sizes, entry_bytes, keep),
    }
}
