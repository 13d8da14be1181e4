//! Replicas of one log on a real PostgreSQL. `tests/interop/run` runs what is ignored here.
#![cfg(feature = "postgres")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

#[cfg(feature = "s3")]
mod bucket;
mod faults;
#[cfg(feature = "s3")]
mod files_in_bucket;
mod killed;
mod measure;
#[cfg(feature = "s3")]
#[path = "../../src/tests/s3/moto.rs"]
mod moto;
mod proxy;
mod refusals;
mod reloads;
mod replica;
mod replicas;
mod server;
mod settings;
