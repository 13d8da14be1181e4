//! The program in an operator's hands: killed, told to stop, started on files that do not fit, on disks that fail.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod audit;
mod audit_file;
mod bad_ca;
mod bad_timestamps;
mod bucket;
mod ceremony;
mod certificate;
mod client;
mod crash;
mod database;
#[cfg(target_os = "linux")]
#[path = "../../ct-log/tests/support/disk.rs"]
mod disk;
mod drain;
mod ephemeral;
#[path = "../support/fake_issuer.rs"]
mod fake_issuer;
mod first_start;
mod installation;
#[path = "../support/instance.rs"]
mod instance;
mod issuer_down;
mod issuer_keys;
mod load;
mod log_lines;
mod memory;
#[path = "../../ct-log/src/tests/s3/moto.rs"]
mod moto;
#[cfg(target_os = "linux")]
mod mounts;
mod ntp;
mod passphrase;
#[expect(dead_code, clippy::expect_used, reason = "the tests of the log use all of it")]
#[path = "../../ct-log/tests/postgres/server.rs"]
mod postgres_server;
mod program;
mod published;
mod refusals;
mod reload;
mod rotation;
mod self_audit;
mod shards;
#[cfg(target_os = "linux")]
mod storage;
#[expect(dead_code, reason = "the tests of the log use all of it")]
#[path = "../../ct-log/tests/support/strangers.rs"]
mod strangers;
mod timestamp_rotation;
mod tls;
mod trust;
mod tuf;
mod verified_issuers;
