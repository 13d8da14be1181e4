//! Whole files as objects. They are also what a web server or CDN may serve in the log's place.

use std::io::{self, ErrorKind};
use std::sync::PoisonError;

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::LogPublicKey;
use crate::publish::Published;
use crate::reach::Away;
use crate::storage::high_water::HighWater;
use crate::storage::{CHECKPOINT, Head, Objects, OpenError, Replaced};
use crate::threads::Mutex;
use crate::tile::Tile;

use super::bucket::{Bucket, Put};
use super::opening::damage;
use super::settings::Partials;

/// Requests of readers at once; more wait.
const MAX_REQUESTS: usize = 32;

/// Most partial tiles that are removed at once: one of each width.
const MAX_PARTIALS: usize = 256;

/// The objects of one log.
pub(crate) struct BucketObjects {
    bucket: Bucket,
    origin: Origin,
    key: LogPublicKey,
    partials: Partials,
    /// The checkpoint in the bucket, as it was seen last.
    current: Mutex<Option<Current>>,
    /// Nothing if it is remembered elsewhere what was published.
    high_water: Option<HighWater>,
}

#[derive(Debug, Clone)]
struct Current {
    checkpoint: Checkpoint,
    note: String,
    etag: String,
}

/// A log to be found in a bucket.
pub(super) struct Whose<'a> {
    pub(super) origin: &'a Origin,
    pub(super) key: &'a LogPublicKey,
    pub(super) high_water: Option<HighWater>,
}

impl BucketObjects {
    pub(super) fn new(bucket: &Bucket, whose: Whose<'_>, partials: Partials) -> BucketObjects {
        BucketObjects {
            bucket: bucket.with_at_most(MAX_REQUESTS),
            origin: whose.origin.clone(),
            key: whose.key.clone(),
            partials,
            current: Mutex::new(None),
            high_water: whose.high_water,
        }
    }

    /// What the bucket shows.
    pub(crate) fn published(&self) -> Result<Published, OpenError> {
        let current = self.read_current().map_err(damage("read the checkpoint"))?;
        Ok(Published {
            checkpoint: current.checkpoint,
            note: current.note.into(),
        })
    }

    fn read_current(&self) -> io::Result<Current> {
        let invalid = |what: String| io::Error::new(ErrorKind::InvalidData, format!("checkpoint: {what}"));
        let object = self.bucket.get(CHECKPOINT)?;
        let object = object.ok_or_else(|| invalid("it is missing".to_owned()))?;
        let note = String::from_utf8(object.bytes).map_err(|error| invalid(error.to_string()))?;
        let verified = Checkpoint::verify(&note, &self.origin, &self.key);
        let checkpoint = verified.map_err(|error| invalid(error.to_string()))?;
        let etag = object.etag.ok_or_else(|| invalid("it has no ETag".to_owned()))?;
        Ok(Current {
            checkpoint,
            note,
            etag,
        })
    }

    /// What another writer published is not undone: neither its entries nor its time (C1, C4).
    fn replace(&self, checkpoint: &Checkpoint, note: &str) -> io::Result<Replaced> {
        let mut known = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempts = self.bucket.attempts();
        loop {
            let current = match known.take() {
                Some(current) => current,
                None => self.read_current()?,
            };
            if current.note == note {
                *known = Some(current);
                return Ok(Replaced::Yes);
            }
            let (theirs, ours) = (&current.checkpoint, checkpoint);
            if theirs.size() > ours.size() || theirs.timestamp() >= ours.timestamp() {
                let note = current.note.clone();
                *known = Some(current);
                return Ok(Replaced::Newer(note));
            }
            let error = match self.bucket.replace(CHECKPOINT, note.as_bytes(), &current.etag) {
                Put::Done { etag: Some(etag) } => {
                    *known = Some(Current {
                        checkpoint: *checkpoint,
                        note: note.to_owned(),
                        etag,
                    });
                    return Ok(Replaced::Yes);
                }
                Put::Done { etag: None } => continue,
                Put::Refused => Away::error("other writers change the checkpoint all the time"),
                Put::Unsent(error) | Put::Unknown(error) => error,
            };
            if !attempts.pause() {
                return Err(error);
            }
        }
    }
}

impl Objects for BucketObjects {
    /// One after the other: where a tile is, those before it are.
    fn put_immutable(&self, new: &[(String, &[u8])]) -> io::Result<()> {
        for (key, bytes) in new {
            self.bucket.put_equal(key, bytes)?;
        }
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.bucket.get(path)?.map(|object| object.bytes))
    }

    /// Also remembered on this machine: a bucket that comes back with less is noticed.
    fn replace_checkpoint(&self, checkpoint: &Checkpoint, note: &str) -> io::Result<Replaced> {
        let replaced = self.replace(checkpoint, note)?;
        if let (Replaced::Yes, Some(high_water)) = (&replaced, &self.high_water) {
            high_water.raise(&Head {
                size: checkpoint.size(),
                root: checkpoint.root(),
                timestamp: checkpoint.timestamp(),
            })?;
        }
        Ok(replaced)
    }

    fn remember(&self, head: &Head) -> io::Result<()> {
        self.high_water
            .as_ref()
            .map_or(Ok(()), |high_water| high_water.raise(head))
    }

    fn serves_partials(&self) -> bool {
        self.partials == Partials::Stored
    }

    fn drop_partials(&self, full: Tile) -> io::Result<()> {
        let folder = format!("{full}.p");
        for key in self.bucket.list(&folder, &folder, MAX_PARTIALS)? {
            self.bucket.delete(&key)?;
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
