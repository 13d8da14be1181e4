//! Which log a directory holds.

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Origin;
use crate::key::LogPublicKey;
use crate::leaf::{LogId, UnixMillis};

use super::Objects;
use super::recovery::{OpenError, corrupt, io_error};
use super::store::Store;

const VERSION: u32 = 1;

/// The contents of `log.json`, written once when the log is created.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    version: u32,
    /// Hexadecimal.
    log_id: String,
    /// `SubjectPublicKeyInfo`, DER in base64: an auditor needs nothing besides the directory.
    public_key: String,
    origin: String,
    /// Milliseconds since 1970.
    created: u64,
    /// Where the entries are, if they are not beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries: Option<EntriesIn>,
}

/// A place of entries that has no room for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntriesIn {
    /// A database.
    PostgreSql,
}

impl Identity {
    pub(crate) const PATH: &str = "log.json";

    pub(crate) fn new(key: &LogPublicKey, origin: &Origin, created: UnixMillis) -> Identity {
        Identity {
            version: VERSION,
            log_id: key.log_id().to_string(),
            public_key: STANDARD.encode(key.spki_der()),
            origin: origin.to_string(),
            created: created.get(),
            entries: None,
        }
    }

    /// The same of a log whose files alone are here.
    #[cfg(all(feature = "postgres", feature = "s3"))]
    pub(crate) fn with_entries_in(self, place: EntriesIn) -> Identity {
        let entries = Some(place);
        Identity { entries, ..self }
    }

    /// Where the entries are, if they are not beside it.
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "for logs in buckets"))]
    pub(crate) fn entries_in(&self) -> Option<EntriesIn> {
        self.entries
    }

    pub(crate) fn to_json(&self) -> io::Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads it. [`OpenError::Missing`] has no directory yet; the caller knows it.
    pub(crate) fn read(store: &Store) -> Result<Identity, OpenError> {
        let json = store.read(Identity::PATH).map_err(io_error("read log.json"))?;
        let json = json.ok_or(OpenError::Missing {
            directory: PathBuf::new(),
        })?;
        Identity::parse(&json)
    }

    pub(crate) fn parse(json: &[u8]) -> Result<Identity, OpenError> {
        let identity: Identity =
            serde_json::from_slice(json).map_err(|error| corrupt(format!("log.json: {error}")))?;
        if identity.version != VERSION {
            return Err(corrupt(format!(
                "log.json has version {}, not {VERSION}",
                identity.version
            )));
        }
        Ok(identity)
    }

    /// When the log was born.
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "for logs in buckets"))]
    pub(crate) fn created(&self) -> UnixMillis {
        UnixMillis::new(self.created)
    }

    /// The key and name that the directory itself claims: enough for an auditor, not for a writer.
    pub(crate) fn claimed(&self) -> Result<(LogPublicKey, Origin), OpenError> {
        let key = self.claimed_key()?;
        let origin = Origin::new(&*self.origin);
        let origin = origin.map_err(|error| corrupt(format!("log.json: {error}")))?;
        Ok((key, origin))
    }

    /// Refuses the log of another key or name, and a file that is damaged. `created` alone cannot be checked: a log that was
    /// restored says when that was.
    pub(crate) fn check(&self, log_id: LogId, origin: &Origin) -> Result<(), OpenError> {
        self.check_owner(log_id, origin)?;
        self.claimed_key().map(drop)
    }

    /// The same for a directory, which has its entries.
    pub(crate) fn check_directory(&self, log_id: LogId, origin: &Origin) -> Result<(), OpenError> {
        self.check(log_id, origin)?;
        match self.entries {
            None => Ok(()),
            Some(_) => Err(corrupt("log.json says that the entries are elsewhere")),
        }
    }

    /// The public key, which must be the one that the log id is of.
    fn claimed_key(&self) -> Result<LogPublicKey, OpenError> {
        let spki = STANDARD.decode(&self.public_key);
        let key = spki.map_err(|error| corrupt(format!("log.json: the public key is not base64: {error}")));
        let key = LogPublicKey::from_spki_der(&key?);
        let key = key.map_err(|error| corrupt(format!("log.json: {error}")))?;
        if key.log_id().to_string() != self.log_id {
            return Err(corrupt(
                "log.json: the public key and the log id are not of one key",
            ));
        }
        Ok(key)
    }

    /// Refuses the log of another key or name.
    pub(crate) fn check_owner(&self, log_id: LogId, origin: &Origin) -> Result<(), OpenError> {
        if self.log_id != log_id.to_string() {
            let found = self.log_id.clone();
            return Err(OpenError::OtherKey {
                found,
                expected: log_id.to_string(),
            });
        }
        if self.origin != origin.as_str() {
            let found = self.origin.clone();
            return Err(OpenError::OtherOrigin {
                found,
                expected: origin.clone(),
            });
        }
        Ok(())
    }
}
