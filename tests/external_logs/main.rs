//! Logs elsewhere: well-behaved ones, hostile ones, and what becomes of a certificate in either case.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[path = "../support/fake_issuer.rs"]
mod fake_issuer;
mod fake_log;
mod hostile;
mod informational;
#[path = "../support/instance.rs"]
mod instance;
mod keys;
mod policy;
mod tls;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ct_log::{ExternalLogKey, LogSpec};
use mayfly::{
    log::{Embedding, ExternalLogSettings, ExternalLogs, Use},
    telemetry::{ExternalLogMetrics, Metrics, Sources},
};

use crate::{fake_log::FakeLog, instance::Instance};

/// How `log` would be configured.
fn settings(log: &FakeLog, name: &str, purpose: Use) -> ExternalLogSettings {
    ExternalLogSettings {
        name: name.into(),
        url: log.url().parse().unwrap(),
        key: ExternalLogKey::from_spki_der(&log.spki_der()).unwrap(),
        spec: LogSpec::StaticCtApi,
        purpose,
        not_after: Duration::ZERO..Duration::MAX,
        roots: None,
    }
}

fn external(embedding: Embedding, logs: Vec<ExternalLogSettings>) -> ExternalLogs {
    ExternalLogs {
        logs,
        embedding,
        metrics: ExternalLogMetrics::new().unwrap(),
    }
}

/// A CA without a log of its own.
async fn without_own_log(external: ExternalLogs) -> Instance {
    Instance::start_with(|wishes| {
        wishes.embedded = false;
        wishes.external = Some(external);
    })
    .await
}

/// The value of a series in the text format, 0 if it is not there.
fn series(metrics: &ExternalLogMetrics, series: &str) -> f64 {
    let sources = Sources {
        external_logs: Some(metrics.clone()),
        ..Sources::default()
    };
    let text = String::from_utf8(Metrics::new(sources).unwrap().render().unwrap()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

fn submissions(metrics: &ExternalLogMetrics, log: &str, outcome: &str) -> f64 {
    let name = "mayfly_external_log_submissions_total";
    series(metrics, &format!("{name}{{log=\"{log}\",outcome=\"{outcome}\"}}"))
}

/// Lets the other tasks go on until it is so.
async fn eventually(mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be");
}

type Shared<T> = Arc<Mutex<T>>;
