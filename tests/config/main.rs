//! Configuration files: the examples load; whatever is wrong is reported at once, with line, key and suggestion.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod external_logs;
mod issuers;
mod log;
mod services;
mod settings;
mod shards;

use std::path::Path;

use mayfly::{
    config::ConfigErrors,
    token::{FetchPolicy, LoopbackHttp},
};

fn policy() -> FetchPolicy {
    FetchPolicy::new(LoopbackHttp::Allowed)
}

/// The lines of a report without the name of the file.
fn lines(errors: &ConfigErrors, file: &Path) -> Vec<String> {
    let prefix = format!("{}:", file.display());
    let report = errors.to_string();
    report
        .lines()
        .map(|line| line.strip_prefix(&prefix).unwrap().to_owned())
        .collect()
}
