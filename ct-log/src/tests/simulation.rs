//! Simulated runs of a log: the handle, the sequencer, the keeper, the publisher and recovery as they are, over storages,
//! clocks and processes that a seed drives. What clients and readers saw is compared with what is left at the end.
//!
//! A seed always makes the same run. One that fails is printed with its trace, and runs again by itself with
//! `CT_LOG_SIM_SEEDS=<seed>..<seed + 1>`; see the README of the crate.

mod bucket;
mod database;
mod files;
mod ground;
mod history;
mod plan;
mod reading;
mod run;
mod world;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use tempfile::TempDir;

use history::Violation;
use plan::{PLACES, Place};
use run::{Broken, Report, run};

/// Seeds of every place that are run unless others are named.
const SEEDS: Range<u64> = 0..600;

/// How often a long search tells how far it is.
const TOLD_EVERY: u64 = 10_000;

/// Machines: those of three writers, and the one that looks at the end.
const MACHINES: usize = 4;

/// Violations that are shown in full.
const SHOWN: usize = 3;

/// Directories of the machines. In memory, if the system has such a place: the marks are all that is written there.
struct Scratch {
    _root: TempDir,
    machines: Vec<PathBuf>,
}

impl Scratch {
    fn new() -> Scratch {
        let in_memory = TempDir::new_in("/dev/shm");
        let root = in_memory.or_else(|_| TempDir::new()).unwrap();
        let machines: Vec<_> = (0..MACHINES)
            .map(|number| root.path().join(number.to_string()))
            .collect();
        for machine in &machines {
            std::fs::create_dir(machine).unwrap();
        }
        Scratch {
            _root: root,
            machines,
        }
    }

    fn run(&self, seed: u64, place: Place) -> Report {
        run(seed, place, &self.machines, (Broken::Nothing, false))
    }

    fn trace(&self, seed: u64, place: Place) -> Report {
        run(seed, place, &self.machines, (Broken::Nothing, true))
    }
}

/// Those of the environment, or the usual ones.
fn seeds() -> Range<u64> {
    let Ok(named) = std::env::var("CT_LOG_SIM_SEEDS") else {
        return SEEDS;
    };
    let (from, to) = named.split_once("..").expect("CT_LOG_SIM_SEEDS=from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

/// Runs them all, and fails with what they show.
#[expect(
    clippy::print_stderr,
    reason = "the trace of a seed that fails, and the progress of a long search"
)]
fn search(place: Place) {
    let (scratch, seeds) = (Scratch::new(), seeds());
    let (began, mut steps, mut scts) = (std::time::Instant::now(), 0, 0);
    let mut found: BTreeMap<Violation, Vec<u64>> = BTreeMap::new();
    for seed in seeds.clone() {
        let report = scratch.run(seed, place);
        if (seed + 1) % TOLD_EVERY == 0 {
            eprintln!(
                "{place:?}: seed {seed}, {scts} SCTs, {:?}, {found:?}",
                began.elapsed()
            );
        }
        steps += report.steps;
        scts += report.scts;
        for violation in report.violations.keys() {
            found.entry(*violation).or_default().push(seed);
        }
    }
    eprintln!(
        "{place:?}: seeds {seeds:?}, {scts} SCTs, {steps} steps, {:?}",
        began.elapsed()
    );
    for (violation, seeds) in &found {
        eprintln!(
            "{violation:?}: {} seeds: {:?}",
            seeds.len(),
            &seeds[..seeds.len().min(12)]
        );
    }
    for (violation, seeds) in found.iter().take(SHOWN) {
        let report = scratch.trace(seeds[0], place);
        eprintln!(
            "\n{place:?}, seed {}, {violation:?}\n{}\n{:#?}",
            seeds[0],
            report.trace.join("\n"),
            report.violations
        );
    }
    assert!(found.is_empty(), "{place:?}: {found:?}");
}

#[test]
fn a_log_in_a_directory_keeps_its_promises() {
    search(Place::Directory);
}

#[test]
fn a_log_in_a_database_keeps_its_promises() {
    search(Place::Database);
}

#[test]
fn a_log_in_a_bucket_keeps_its_promises() {
    search(Place::Bucket);
}

#[test]
fn a_log_in_a_database_with_files_in_a_bucket_keeps_its_promises() {
    search(Place::Both);
}

#[test]
fn a_seed_always_makes_the_same_run() {
    let scratch = Scratch::new();
    for place in PLACES {
        for seed in 0..10 {
            let (one, other) = (scratch.trace(seed, place), scratch.trace(seed, place));
            assert!(one.trace.len() > 50);
            assert_eq!(one.trace, other.trace, "{place:?}, seed {seed}");
        }
    }
}

/// A simulation that cannot fail shows nothing.
#[test]
fn what_a_storage_forgets_is_found() {
    let scratch = Scratch::new();
    for (place, broken, expected) in [
        (Place::Bucket, Broken::Conditions, Violation::Lost),
        (Place::Database, Broken::Durability, Violation::Lost),
        // What is left does not reach to what was published.
        (Place::Directory, Broken::Durability, Violation::Refused),
    ] {
        let found = (0..400).any(|seed| {
            let report = run(seed, place, &scratch.machines, (broken, false));
            report.violations.contains_key(&expected)
        });
        assert!(found, "{place:?}, {broken:?}: {expected:?} is not found");
    }
}
