//! A Certificate Transparency log: durable, static-ct-api, embeddable.
//!
//! [`Log`] is all that a CA needs: [`Log::submit`] turns a [`PendingEntry`] into an [`Sct`] that is worth something, because the
//! entry is on the disk before the SCT exists. [`http`] serves the log to others, [`chain`] decides what others may submit,
//! [`check`] audits what a log publishes.
//!
//! An entry goes through one queue to one thread, the sequencer. It takes whatever waits, appends it to the tree, writes one
//! record to the write-ahead log, and wakes the submitters when the record is durable. Behind it a keeper stores full tiles
//! and deletes the write-ahead log that they replace, and a publisher signs checkpoints. A log starts by recovery only,
//! whatever ended it.
//!
//! # Invariants
//!
//! They hold through `kill -9`, power cuts, full disks and failing writes; the tests name them.
//!
//! - C1: no two published checkpoints contradict each other.
//! - C2: an entry whose SCT left the log is in the log for good, at that index, with that time and those bytes.
//! - C3: no SCT is signed before its entry is durable.
//! - C4: the time of checkpoints strictly increases, and is never before that of an entry below them, nor after that of an entry
//!   beyond them.
//! - C5: the index in an SCT is the entry's position; the leaf that is hashed is the leaf that is signed.
//! - C6: for every published checkpoint each of its tiles can be read, partial ones too.
//! - C7: a tile never changes, and nothing beyond the published checkpoint can be read.
//! - C8: every issuer an entry names was stored before the entry.
//! - C9: entries hash to tiles, tiles to the root; an entry that is decoded and encoded again is the same bytes.
//! - C10: a log never comes back smaller than it was published or acknowledged; rather it does not come back.
//! - C11: a duplicate from outside gets the place of its entry, and the same SCT as others did before; two at once get one
//!   entry. What the index says is believed only after the entry was read and compared.
//! - C12: what RFC 6962's endpoints answer is what the tiles say, for every published size; nonsense is answered 400.
//! - C13: once a log is read-only its tree is fixed, and everything in it can be read as before.
//! - C14: a log takes exactly the certificates whose notAfter is in its window.
//!
//! - C15: with a high-water mark outside the directory, an older copy of the directory is refused.
//!
//! After a write error the log answers [`SubmitError::Unavailable`] for good and [`Log::failed`] resolves: the process should
//! end, because only recovery can tell what is durable.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "acceptor")]
pub mod acceptor;
pub mod auditor;
mod backend;
pub mod chain;
pub mod check;
pub mod checkpoint;
mod clock;
mod dates;
pub mod external;
mod failure;
mod guard;
mod high_water;
pub mod http;
mod index;
mod issuers;
mod keeper;
pub mod key;
pub mod leaf;
mod lifecycle;
mod log;
mod lookup;
#[cfg(feature = "tools")]
pub mod output;
mod pool;
pub mod proof;
pub mod public_files;
mod publish;
mod reach;
mod read;
mod receipts;
mod recent;
mod release;
#[cfg(feature = "client")]
pub mod remote;
mod running;
mod scrub;
pub mod sct;
pub mod secret_file;
mod sequencer;
mod settings;
mod statistics;
mod storage;
mod submission;
#[cfg(test)]
mod tests;
mod threads;
pub mod tile;
#[cfg(any(feature = "client", feature = "postgres"))]
pub mod tls;
#[cfg(feature = "tools")]
pub mod tool;
pub mod tree;
mod wire;
#[cfg_attr(not(feature = "client"), expect(dead_code, reason = "nobody is asked"))]
pub mod witness;

pub use checkpoint::{Checkpoint, Origin, SignedTreeHead};
pub use external::{ExternalLogKey, ExternalSct, LogSpec};
pub use failure::WriteFailure;
pub use issuers::IssuerChain;
pub use key::{LogKey, LogPublicKey};
pub use leaf::{Entry, Fingerprint, LeafIndex, LogId, PendingEntry, SequencedEntry, UnixMillis};
pub use lifecycle::{CLOSING_GRACE, EmptyWindow, Phase, Window};
pub use log::Log;
pub use lookup::LookupError;
pub use release::SctAfter;
pub use sct::Sct;
pub use settings::LogSettings;
pub use statistics::{CommitTimes, Statistics};
pub use storage::{OpenError, Sequenced, StorageError};
#[cfg(feature = "postgres")]
pub use storage::{PostgresSettings, PostgresSettingsError};
#[cfg(feature = "s3")]
pub use storage::{S3Settings, S3SettingsError};
pub use submission::{SubmitError, Submitter, Unavailable};
pub use tile::{Tile, TileKind};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
