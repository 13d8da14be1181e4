//! Tests that need the inside of the crate: encodings, the storage model, faults.
#![expect(clippy::as_conversions, reason = "tests")]

mod checkpoint;
mod clock;
mod directory;
mod encodings;
mod faults;
mod full_log;
mod garble;
mod index;
mod lifecycle;
mod mirror;
mod model;
#[cfg(all(feature = "postgres", feature = "s3"))]
mod postgres_and_s3;
mod proof;
mod queue;
mod record;
mod recovery;
mod rfc6962;
mod running;
#[cfg(feature = "s3")]
mod s3;
mod shared;
#[cfg(all(feature = "postgres", feature = "s3"))]
mod simulation;
mod support;
mod tiles;
mod tree;
mod uniform;
