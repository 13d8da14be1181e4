//! The embedded log as it is configured.

use std::path::PathBuf;

use ct_log::{S3Settings, Window};

use super::{Database, PromiseSettings};
use crate::{admission::Rate, clock::Timestamp, key::KeySettings, log::self_audit::SelfAudit};

/// The embedded log as it is configured.
#[derive(Clone, Debug)]
pub struct EmbeddedLogSettings {
    /// Its shards; one without a window if it has none.
    pub shards: Vec<ShardSettings>,
    /// What others may submit.
    pub submissions: SubmissionSettings,
    /// Whether and how the server looks up in its own log what it gave out SCTs for.
    pub self_audit: Option<SelfAudit>,
    /// What an SCT promises.
    pub promise: PromiseSettings,
}

/// One shard, which is a log of its own.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// Its name, in every checkpoint (C2SP tlog-checkpoint).
    pub origin: String,
    /// Where its entries are.
    pub storage: Storage,
    /// A file outside its directory that remembers how far it was published.
    pub high_water: Option<PathBuf>,
    /// Its key, unless it is retired.
    pub key: ShardKey,
    /// The notAfter of the certificates that it takes.
    pub window: Option<Window>,
    /// SCTs that it gave later are not believed.
    pub trusted_until: Option<Timestamp>,
}

/// Where the entries of a shard are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a directory of its own.
    Directory(PathBuf),
    /// The same, and again in a second one, on another device.
    Mirrored {
        /// The one that is read.
        directory: PathBuf,
        /// The other one.
        mirror: PathBuf,
    },
    /// In a bucket, which other servers with the same key may write too.
    S3 {
        /// What this server remembers of the log by itself.
        directory: PathBuf,
        /// Where in which bucket.
        place: S3Settings,
    },
    /// In a database, which other servers with the same key may write too.
    Postgres {
        /// What this server remembers of the log by itself.
        directory: PathBuf,
        /// Which database.
        database: Database,
        /// Where in which bucket its whole files are, if not in the database.
        files: Option<S3Settings>,
    },
}

/// What a shard signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardKey {
    /// A key. One in a file is made with the log.
    Signing(KeySettings),
    /// Nothing: the shard is only read.
    Retired,
}

/// What may be submitted to the embedded log over HTTP. The CA itself does not count.
#[derive(Clone, Debug, Default)]
pub struct SubmissionSettings {
    /// How much.
    pub rate: SubmissionRate,
    /// A PEM file of CA certificates that are accepted besides the CA's own.
    pub accept: Option<PathBuf>,
}

/// How much may be submitted to each shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubmissionRate {
    /// As the log sees fit.
    #[default]
    Default,
    /// So much.
    Limited(Rate),
    /// Nothing.
    Off,
}

impl EmbeddedLogSettings {
    /// One log for all certificates, in a directory.
    #[must_use]
    pub fn in_directory(directory: PathBuf, origin: String, key: PathBuf) -> Self {
        Self {
            shards: vec![ShardSettings {
                origin,
                storage: Storage::Directory(directory),
                high_water: None,
                key: ShardKey::Signing(KeySettings::plain_file(key)),
                window: None,
                trusted_until: None,
            }],
            submissions: SubmissionSettings::default(),
            self_audit: None,
            promise: PromiseSettings::default(),
        }
    }
}
