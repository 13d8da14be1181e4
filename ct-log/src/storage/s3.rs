//! A log in S3-compatible object storage, which several writers may share. They have one key and no leader.
//!
//! One conditional write makes a batch durable and decides who has the next place in the tree: its key is the index of its first
//! entry, and it is written only if nobody wrote that key (`If-None-Match: *`). So a store must honour conditional writes, and
//! answer a read with what was written last: Amazon S3 and Cloudflare R2 do. A self-test at every start refuses one that does
//! not.

mod bucket;
mod error;
mod journal;
mod layout;
mod objects;
mod opening;
mod self_test;
mod settings;

pub use settings::{S3Settings, S3SettingsError};

pub(crate) use opening::S3;
#[cfg(test)]
pub(crate) use opening::client;
