//! A log in a PostgreSQL database, which several replicas share. They have one key and no leader.
//!
//! ```text
//! ct_head         the durable tree, one row for each log; whoever appends holds its lock
//! ct_batch        the entries, one row for each batch: the commit point of every entry
//! ct_object       full tiles and issuers, by path; if they are in a bucket, `bucket`: which one that was at the birth
//! ct_checkpoint   the last published signed note
//! ct_schema       the version of these tables
//! ```
//!
//! Beside the database each replica has a directory of its own with its high-water mark: it does not go on with a database that
//! lost what it had acknowledged.

mod birth;
mod client;
mod fault;
mod head;
mod journal;
mod objects;
mod opening;
mod safety;
mod session;
mod settings;

pub use settings::{PostgresSettings, PostgresSettingsError};

#[cfg(test)]
pub(crate) use client::{Answer, Connection, Refusal, Server, Value};

#[cfg(feature = "s3")]
pub(crate) use opening::Found;
pub(crate) use opening::Postgres;
