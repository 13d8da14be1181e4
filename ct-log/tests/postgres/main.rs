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

mod faults;
mod killed;
mod measure;
mod proxy;
mod refusals;
mod replica;
mod replicas;
mod server;
mod settings;
