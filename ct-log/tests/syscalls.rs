//! A process with a log meets a fault at its n-th system call of a kind: it is killed there, or the call fails. Afterwards the
//! log must hold all that was acknowledged and published (C1, C2, C10), also if its recovery met a second fault.
//!
//! `cargo test -p ct-log --test syscalls -- --ignored` needs strace, and tries some of the calls; with `SYSCALLS=all` it tries
//! every one. This program is its own child: with `SYSCALLS_CHILD` set it lives one life of a log.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

#[path = "support/promises.rs"]
mod promises;

use std::fmt;
use std::future::Future;
use std::io::BufReader;
use std::os::unix::process::ExitStatusExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use ct_log::{Log, LogKey, LogSettings, OpenError, SubmitError};
use promises::{Promises, open, origin, read_lines, say_tree, submit, verify};

/// Those by which a log changes anything, under all names that they have.
const CALLS: [&str; 11] = [
    "openat",
    "pwrite64",
    "write",
    "fdatasync",
    "fsync",
    "?rename,?renameat,renameat2",
    "?link,linkat",
    "?unlink,unlinkat",
    "?mkdir,mkdirat",
    "close",
    "flock",
];

/// Those of them that only the log makes, and after which nothing is known about the disk if they fail.
const WRITES: [&str; 3] = ["pwrite64", "fdatasync", "fsync"];

const ACTIONS: [&str; 3] = ["signal=KILL", "error=EIO", "error=ENOSPC"];

/// Enough for two full tiles and a partial one in each life.
const WAVES: u64 = 4;
const WAVE: u64 = 150;

const THREADS: usize = 4;

/// No life makes as many calls of a kind in one thread.
const MAX_CALLS: usize = 2_000;

fn main() -> ExitCode {
    // Without its I/O driver, whose calls are not the log's.
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    if let Some(directory) = std::env::var_os("SYSCALLS_CHILD") {
        return runtime.block_on(live(Path::new(&directory)));
    }
    if !std::env::args().any(|argument| argument == "--ignored" || argument == "--include-ignored") {
        println!("ignored: needs strace");
        return ExitCode::SUCCESS;
    }
    Harness { runtime }.run();
    ExitCode::SUCCESS
}

/// Creates the log or opens it, submits, and shuts it down. Says by its exit code how that went.
async fn live(directory: &Path) -> ExitCode {
    let log = match open_or_create(directory) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("not opened: {error}");
            return ExitCode::from(4);
        }
    };
    let Ok(issuers) = log.store_issuers(&[b"issuer"]) else {
        return ExitCode::from(3);
    };
    let mut errors = Vec::new();
    for wave in 0..WAVES {
        let mut submitters = JoinSet::new();
        for number in wave * WAVE..(wave + 1) * WAVE {
            let (log, issuers) = (log.clone(), issuers.clone());
            submitters.spawn(async move { submit(&log, &issuers, number).await });
        }
        let results: Vec<Result<(), SubmitError>> = submitters.join_all().await;
        errors.extend(results.into_iter().filter_map(Result::err));
        say_tree(&log);
    }
    log.shutdown().await;
    say_tree(&log);
    let failed = pin!(log.failed())
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready();
    if failed || !errors.is_empty() {
        return ExitCode::from(3);
    }
    ExitCode::SUCCESS
}

fn open_or_create(directory: &Path) -> Result<Log, OpenError> {
    let place = directory.join("log");
    if place.join("log.json").exists() {
        return Ok(open(directory));
    }
    let key = LogKey::from_pkcs8_der(&std::fs::read(directory.join("key")).unwrap()).unwrap();
    Log::create(LogSettings::new(place, origin()).min_free_bytes(0), key)
}

/// What goes wrong, where.
#[derive(Debug, Clone, Copy)]
struct Fault {
    call: &'static str,
    action: &'static str,
    /// Counted in each thread, from the start of the process.
    number: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} number {}", self.action, self.call, self.number)
    }
}

/// Whether the process got as far as the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Yes,
    No,
}

struct Harness {
    runtime: Runtime,
}

/// A directory with a key and perhaps a log, and what the log promised.
struct Place {
    directory: tempfile::TempDir,
    promises: Promises,
}

impl Harness {
    fn run(&self) {
        let tried = AtomicUsize::new(0);
        let pairs = AtomicUsize::new(0);
        let jobs = CALLS
            .iter()
            .flat_map(|call| ACTIONS.map(|action| (*call, action)));
        let jobs = Mutex::new(jobs.collect::<Vec<_>>());
        // They wait for the disk, and for strace, most of the time.
        std::thread::scope(|threads| {
            for _ in 0..THREADS {
                threads.spawn(|| {
                    while let Some((call, action)) = next(&jobs) {
                        let born = self.tries(call, action, Place::new);
                        let recovered = self.tries(call, action, || self.place_with_a_log());
                        let of_two = self.pairs(call, action);
                        println!("{action} at {call}: {born} at birth, {recovered} and {of_two} at recovery");
                        tried.fetch_add(born + recovered, Ordering::Relaxed);
                        pairs.fetch_add(of_two, Ordering::Relaxed);
                    }
                });
            }
        });
        let (tried, pairs) = (tried.into_inner(), pairs.into_inner());
        println!("{tried} faults and {pairs} pairs");
        assert!(tried > 100 && pairs > 10, "hardly anything was tried");
    }

    /// One life with a fault for each number that is worth it; returns how many there were.
    fn tries(&self, call: &'static str, action: &'static str, place: impl Fn() -> Place) -> usize {
        let mut tried = 0;
        for number in numbers() {
            let mut place = place();
            let fault = Fault { call, action, number };
            if place.live_with(fault) == Met::No {
                break;
            }
            self.check(&place, &fault.to_string());
            tried += 1;
        }
        tried
    }

    /// A first fault that leaves something to recover, and this one in that recovery.
    fn pairs(&self, call: &'static str, action: &'static str) -> usize {
        let (firsts, numbers_of_each) = match exhaustive() {
            true => (&CALLS[1..8], 40),
            false => (&CALLS[3..4], 1),
        };
        let mut tried = 0;
        for first in firsts {
            for number in numbers().take(numbers_of_each) {
                let mut place = self.place_with_a_log();
                let first = Fault {
                    call: first,
                    action: "signal=KILL",
                    number: 9,
                };
                let second = Fault { call, action, number };
                place.live_with(first);
                if place.live_with(second) == Met::No {
                    break;
                }
                self.check(&place, &format!("{first}, then {second}"));
                tried += 1;
            }
        }
        tried
    }

    fn place_with_a_log(&self) -> Place {
        let mut place = Place::new();
        place.collect(&mut place.child(Command::new(std::env::current_exe().unwrap())));
        assert_eq!(place.promises.entries.len() as u64, WAVES * WAVE);
        place
    }

    /// A start without faults finds everything; only a log that was not born and promised nothing may be missing.
    fn check(&self, place: &Place, what: &str) {
        if !place.path().join("log/log.json").exists() {
            assert!(
                place.promises.entries.is_empty() && place.promises.trees.is_empty(),
                "{what}"
            );
            return;
        }
        let start = || {
            let _inside = self.runtime.enter();
            let log = open(place.path());
            self.runtime.block_on(async {
                verify(&log, &place.promises).await;
                log.shutdown().await;
            });
        };
        let outcome = panic::catch_unwind(AssertUnwindSafe(start));
        assert!(outcome.is_ok(), "after {what}");
    }
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let key = LogKey::generate().unwrap().to_pkcs8_der().unwrap();
        std::fs::write(directory.path().join("key"), &*key).unwrap();
        let promises = Promises::default();
        Place { directory, promises }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn live_with(&mut self, fault: Fault) -> Met {
        let trace: PathBuf = self.path().join("trace");
        let Fault { call, action, number } = fault;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-qq", "-o"]).arg(&trace);
        strace.arg(format!("--trace={call}"));
        strace.arg(format!("--inject={call}:{action}:when={number}"));
        strace.arg(std::env::current_exe().unwrap());
        let mut child = self.child(strace);
        let status = self.collect(&mut child);
        if status.signal() == Some(9) || status.code() == Some(128 + 9) {
            return Met::Yes;
        }
        let trace =
            std::fs::read_to_string(trace).unwrap_or_else(|error| panic!("strace is needed: {error}"));
        let mut injected = trace
            .lines()
            .filter(|line| line.contains("(INJECTED)"))
            .peekable();
        if injected.peek().is_none() {
            return Met::No;
        }
        // The index is made anew when it is lost, so it may fail by itself.
        let of_the_log = injected.any(|line| !line.contains("/index.redb"));
        let unforgivable = action == "error=EIO" && WRITES.contains(&call) && of_the_log;
        assert!(!unforgivable || !status.success(), "{fault}: the log went on");
        Met::Yes
    }

    fn child(&self, mut command: Command) -> Command {
        command.env("SYSCALLS_CHILD", self.path());
        command.env("RUST_BACKTRACE", "0");
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn collect(&mut self, command: &mut Command) -> ExitStatus {
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        read_lines(&mut lines, u64::MAX, &mut self.promises);
        child.wait().unwrap()
    }
}

fn next<T>(jobs: &Mutex<Vec<T>>) -> Option<T> {
    jobs.lock().unwrap().pop()
}

fn exhaustive() -> bool {
    std::env::var("SYSCALLS").is_ok_and(|which| which == "all")
}

/// Every call, or the first, the second, the fourth and so on.
fn numbers() -> impl Iterator<Item = usize> {
    let all = exhaustive();
    std::iter::successors(Some(1), move |number| {
        Some(if all { number + 1 } else { number * 2 })
    })
    .take_while(|number| *number < MAX_CALLS)
}
