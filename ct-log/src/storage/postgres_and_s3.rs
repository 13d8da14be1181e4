//! A log whose entries are in a PostgreSQL database, and whose whole files are in a bucket that a CDN can serve alone.
//!
//! The database decides, between replicas too: a batch is durable when it is committed there (C3), and a checkpoint is the newest
//! if the row of `ct_checkpoint` says so (C4). The bucket follows:
//!
//! ```text
//! log.json            who this log is, and that its entries are elsewhere
//! checkpoint          that of the row, or one before it
//! tile/, issuer/      as in a bucket that has all of a log
//! ```
//!
//! So what the bucket shows was in the database first. A database that does not hold it lost something, and is refused (C15).
//! After a crash between the two the bucket is behind, until whoever publishes next, or starts next, replaces what it shows.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::{LogKey, LogPublicKey};
use crate::leaf::UnixMillis;
use crate::reach::Away;
use crate::tile::Tile;

use super::postgres::{Found, Postgres};
use super::s3::S3;
use super::{Head, Objects, OpenError, Opened, Opening, Replaced, Storage};

/// A database, with the replica's own directory, and a bucket that passed the self-test.
pub(crate) struct PostgresAndS3 {
    postgres: Postgres,
    s3: S3,
}

impl PostgresAndS3 {
    pub(crate) fn new(postgres: Postgres, s3: S3) -> PostgresAndS3 {
        PostgresAndS3 { postgres, s3 }
    }

    /// Neither of the two has a log.
    pub(crate) fn check_vacant(&self, origin: &Origin) -> Result<(), OpenError> {
        self.postgres.check_vacant(origin)?;
        self.s3.check_vacant(origin)
    }

    /// Birth: in the same action that made the key. It ends with the database's rows: without them there is no log.
    pub(crate) fn create(&self, origin: &Origin, key: &LogKey, now: UnixMillis) -> Result<(), OpenError> {
        self.postgres.check_vacant(origin)?;
        self.s3.create_files(origin, key, now)?;
        self.postgres
            .create_beside(&self.s3.location(), (origin, key, now))
    }
}

impl Storage for PostgresAndS3 {
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        let PostgresAndS3 { postgres, s3 } = *self;
        // The bucket before the database: other replicas go on meanwhile, in the other order.
        let files = s3.files(&opening)?;
        let shown = files.published()?;
        let Found {
            objects: database,
            start,
        } = postgres.find(&opening)?;
        if !postgres.holds(&shown.checkpoint, opening.key.log_id())? {
            return Err(OpenError::BehindBucket {
                place: s3.location(),
                published: shown.checkpoint.size(),
            });
        }
        let objects = Arc::new(DatabaseAndBucket {
            database: Box::new(database),
            files: Box::new(files),
            origin: opening.origin.clone(),
            key: opening.key.clone(),
        });
        let mut opened = postgres.start(start, objects, &opening)?;
        // The row was lost without any entry: the next checkpoint must come after this one all the same (C4).
        if shown.checkpoint.timestamp() > opened.published.checkpoint.timestamp() {
            opened.published = shown;
        }
        Ok(opened)
    }
}

/// Files in a bucket, of which the database knows the newest checkpoint.
pub(crate) struct DatabaseAndBucket {
    pub(crate) database: Box<dyn Objects>,
    pub(crate) files: Box<dyn Objects>,
    pub(crate) origin: Origin,
    pub(crate) key: LogPublicKey,
}

impl DatabaseAndBucket {
    /// Whoever published it may have died before the bucket had it.
    fn show(&self, note: &str) -> io::Result<()> {
        let checkpoint = Checkpoint::verify(note, &self.origin, &self.key);
        let checkpoint = checkpoint.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.files.replace_checkpoint(&checkpoint, note)?;
        Ok(())
    }

    /// Whether it is a partial tile whose full one is stored and begins with the same bytes: then another writer may have removed
    /// it since it was stored.
    fn is_replaced(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        let partial = path.parse().ok().filter(|tile: &Tile| !tile.is_full());
        let Some(full) = partial.and_then(|tile| Tile::full(tile.kind(), tile.index())) else {
            return Ok(false);
        };
        let full = self.read(&full.to_string())?;
        Ok(full.is_some_and(|full| full.starts_with(bytes)))
    }
}

impl Objects for DatabaseAndBucket {
    /// Also read back: what is stored is let go of in memory.
    fn put_immutable(&self, new: &[(String, &[u8])]) -> io::Result<()> {
        self.files.put_immutable(new).map_err(Away::of_files)?;
        for (path, bytes) in new {
            let there = match self.read(path)? {
                Some(stored) => stored == *bytes,
                None => self.is_replaced(path, bytes)?,
            };
            if !there {
                let what = format!("{path} was stored, but is not there as it was written");
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
        }
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.files.read(path).map_err(Away::of_files)
    }

    /// First in the database, which other replicas ask as well: the bucket never shows what it does not know.
    fn replace_checkpoint(&self, checkpoint: &Checkpoint, note: &str) -> io::Result<Replaced> {
        match self.database.replace_checkpoint(checkpoint, note)? {
            Replaced::Yes => {
                let replaced = self.files.replace_checkpoint(checkpoint, note);
                replaced.map_err(Away::of_files)
            }
            Replaced::Newer(newer) => {
                self.show(&newer).map_err(Away::of_files)?;
                Ok(Replaced::Newer(newer))
            }
            Replaced::Overtaken => Ok(Replaced::Overtaken),
        }
    }

    fn remember(&self, head: &Head) -> io::Result<()> {
        self.database.remember(head)
    }

    fn serves_partials(&self) -> bool {
        self.files.serves_partials()
    }

    fn drop_partials(&self, full: Tile) -> io::Result<()> {
        self.files.drop_partials(full).map_err(Away::of_files)
    }

    /// The database's disk and the bucket are watched by whoever runs them.
    fn free_bytes(&self) -> io::Result<u64> {
        self.database.free_bytes()
    }
}
