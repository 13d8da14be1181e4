//! A whole issuance without network: token verification to signed certificate, log and audit record included.
//!
//! `cargo bench --bench issuance`. The unit is CPU time of the process, per certificate. At the end it prints each
//! figure as a multiple of the cryptography that an issuance cannot do without, measured in the same run.

#![expect(clippy::unwrap_used, reason = "a benchmark may end at the first surprise")]

#[path = "../src/cli/bench/floor.rs"]
mod floor;
mod support;

use std::{path::Path, sync::Arc, time::Duration};

use criterion::Criterion;
use futures_util::{StreamExt, stream};
use mayfly::{
    audit::AuditLog,
    clock::{Clock, Timestamp},
    issue::{Authority, Signing},
    issuer::ceremony::KeyKind,
};
use tokio::runtime::Runtime;

use floor::Floor;
use support::{
    CpuTime,
    authority::{self, Provider},
};

/// Requests under way at the same time: alone, and enough to share writes to the disk.
const IN_FLIGHT: [usize; 2] = [1, 64];

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let provider = Provider::start(&runtime);
    let mut results = Vec::new();
    for (ca, kind) in [("p256", KeyKind::EcdsaP256), ("p384", KeyKind::EcdsaP384)] {
        let floor = Floor::measure(kind).unwrap().total();
        for (log, audit) in [
            ("memory", "none"),
            ("memory", "disk"),
            ("disk", "none"),
            ("disk", "disk"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let on_disk = |place: &str| (place == "disk").then_some(directory.path());
            let issuer = runtime.block_on(authority::issuer(kind, provider.now));
            let log_of_it = authority::log(&issuer, on_disk(log));
            let signing = Signing::new(issuer, log_of_it, audit_log(on_disk(audit))).unwrap();
            let bench = Bench::new(&runtime, &provider, signing);
            for in_flight in IN_FLIGHT {
                let name = format!("{ca}/log-{log}/audit-{audit}/{in_flight}");
                if let Some(median) = bench.run(&mut criterion, &name, in_flight) {
                    results.push((name, median, floor));
                }
            }
        }
    }
    criterion.final_summary();
    report(&results);
}

/// To be called inside a runtime.
fn audit_log(directory: Option<&Path>) -> AuditLog {
    match directory {
        None => AuditLog::forgetful(),
        Some(directory) => AuditLog::open(&directory.join("audit.jsonl")).unwrap(),
    }
}

fn report(results: &[(String, Duration, Duration)]) {
    println!("\nCPU time of one issuance, as a multiple of its cryptography:");
    for (name, median, floor) in results {
        let ratio = median.as_secs_f64() / floor.as_secs_f64();
        println!("{name:<36} {median:>9.1?} = {ratio:.2} x {floor:.1?}");
    }
}

struct Bench<'a> {
    runtime: &'a Runtime,
    provider: &'a Provider,
    authority: Arc<Authority>,
}

impl<'a> Bench<'a> {
    fn new(runtime: &'a Runtime, provider: &'a Provider, signing: Signing) -> Self {
        let clock = Arc::new(Stopped(provider.now));
        let authority = Authority::new(provider.verifier(runtime), signing, clock);
        Self {
            runtime,
            provider,
            authority: Arc::new(authority),
        }
    }

    /// The median, or nothing if the command line left this one out.
    fn run(&self, criterion: &mut Criterion<CpuTime>, name: &str, in_flight: usize) -> Option<Duration> {
        let mut each = Vec::new();
        criterion.bench_function(name, |b| {
            b.iter_custom(|count| {
                let spent = self.runtime.block_on(self.issue(count, in_flight));
                each.push(spent.div_f64(u32::try_from(count).unwrap().into()));
                spent
            });
        });
        each.sort_unstable();
        each.get(each.len() / 2).copied()
    }

    async fn issue(&self, count: u64, in_flight: usize) -> Duration {
        let count = usize::try_from(count).unwrap();
        let requests: Vec<_> = self.provider.requests().take(count).collect();
        let started = CpuTime::now();
        let issued = stream::iter(requests).map(|request| {
            let authority = Arc::clone(&self.authority);
            async move { tokio::spawn(async move { authority.issue(request).await }).await }
        });
        issued
            .for_each_concurrent(in_flight, |issued| async move {
                issued.await.unwrap().unwrap();
            })
            .await;
        CpuTime::now() - started
    }
}

/// So that tokens stay valid to the end of the run.
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}
