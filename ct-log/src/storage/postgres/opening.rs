//! How a log in a database starts, and how it is born.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_postgres::types::Type;

use crate::checkpoint::{Checkpoint, CheckpointError, Origin};
use crate::key::{KeyError, LogKey, LogPublicKey};
use crate::leaf::{LogId, UnixMillis};
use crate::publish::Published;
use crate::storage::high_water::HighWater;
use crate::storage::record::Batch;
use crate::storage::recovery::{OpenError, corrupt, io_error};
use crate::storage::shared::{Batches, NoUpkeep, SharedOpening, SharedTree};
use crate::storage::{Head, LockFile, Objects, Opened, Opening, Storage};
use crate::threads::fill_random;
use crate::tree::{Hash, empty_root};

use super::birth::{Birth, Born, check_version, has_tables};
use super::client::Row;
use super::fault::fault;
use super::head::{HeadRow, bigint, number, read_batches, read_head};
use super::journal::PostgresJournal;
use super::objects::{BUCKET, PostgresObjects, read_note};
use super::session::{Session, Worker};
use super::settings::PostgresSettings;

const IDENTITY: &str =
    "SELECT log_id, origin, public_key, created FROM ct_head WHERE log_id = $1 OR origin = $2";

const BEGIN_OF_BATCH: &str = "SELECT first_index FROM ct_batch WHERE log_id = $1 AND first_index <= $2 ORDER BY first_index DESC LIMIT 1";

const BATCH_AT: &str = "SELECT record FROM ct_batch WHERE log_id = $1 AND size = $2";

/// A database, and the replica's own directory.
pub(crate) struct Postgres {
    worker: Arc<Worker>,
    settings: PostgresSettings,
    /// For opening.
    session: Arc<Session>,
    lock: Option<LockFile>,
    directory: std::path::PathBuf,
}

/// What the tables say of a log before its batches are read.
pub(crate) struct Found {
    pub(crate) objects: PostgresObjects,
    pub(crate) start: Start,
}

/// What a replica starts from.
pub(crate) struct Start {
    pub(crate) published: Published,
    pub(crate) born: UnixMillis,
    /// The newest time that this replica remembers to have given out.
    pub(crate) remembered: Option<UnixMillis>,
}

/// Who a row of `ct_head` says the log is.
struct Identity {
    log_id: Vec<u8>,
    origin: String,
    public_key: Vec<u8>,
    created: UnixMillis,
}

impl Postgres {
    /// Connects. `lock` is that of the replica's own directory.
    pub(crate) fn connect(
        settings: PostgresSettings,
        directory: &Path,
        lock: Option<LockFile>,
    ) -> Result<Postgres, OpenError> {
        settings.check_encryption().map_err(|error| OpenError::Io {
            doing: "connect to the database",
            source: io::Error::other(error),
        })?;
        let worker = Worker::start().map_err(io_error("start a thread"))?;
        let worker = Arc::new(worker);
        let session = Session::new(Arc::clone(&worker), settings.clone());
        session
            .ask(async |_| Ok(()))
            .map_err(io_error("connect to the database"))?;
        Ok(Postgres {
            worker,
            settings,
            session,
            lock,
            directory: directory.to_owned(),
        })
    }

    /// Birth: in the same action that made the key.
    pub(crate) fn create(&self, origin: &Origin, key: &LogKey, now: UnixMillis) -> Result<(), OpenError> {
        let birth = Birth::new(origin, key, now).map_err(io_error("create the log in the database"))?;
        self.bear(birth, origin)
    }

    /// The same of a log whose files are in a bucket, which has them already.
    #[cfg(feature = "s3")]
    pub(crate) fn create_beside(
        &self,
        bucket: &str,
        (origin, key, now): (&Origin, &LogKey, UnixMillis),
    ) -> Result<(), OpenError> {
        let birth = Birth::new(origin, key, now).map_err(io_error("create the log in the database"))?;
        self.bear(birth.beside(bucket), origin)
    }

    fn bear(&self, birth: Birth, origin: &Origin) -> Result<(), OpenError> {
        let failed = || io_error("create the log in the database");
        let born = self
            .session
            .ask(async move |connected| birth.run(&connected.client).await);
        if born.is_err() {
            self.session.give_up();
        }
        match born.map_err(failed())? {
            Born::Yes => Ok(()),
            Born::Exists => Err(self.taken(origin)),
        }
    }

    /// Refuses a database that has a log of that name, whatever its key.
    pub(crate) fn check_vacant(&self, origin: &Origin) -> Result<(), OpenError> {
        match self.identity(LogId::new([0; 32]), origin)? {
            Some(_) => Err(self.taken(origin)),
            None => Ok(()),
        }
    }

    fn taken(&self, origin: &Origin) -> OpenError {
        OpenError::Taken {
            place: self.settings.place(),
            origin: origin.clone(),
        }
    }

    /// Refuses another log, and a database that lost what this replica acknowledged or saw.
    pub(crate) fn find(&self, opening: &Opening<'_>) -> Result<Found, OpenError> {
        let log_id = opening.key.log_id();
        let born = self.check_identity(opening.origin, opening.key)?;
        let high_water = HighWater::in_directory(&self.directory, log_id);
        let remembered = self.check_high_water(&high_water, log_id)?;
        let session = || Session::new(Arc::clone(&self.worker), self.settings.clone());
        Ok(Found {
            objects: PostgresObjects {
                log_id,
                reads: session(),
                writes: session(),
                high_water,
            },
            start: Start {
                published: self.read_checkpoint(opening)?,
                born,
                remembered,
            },
        })
    }

    /// Replays the batches over full tiles, wherever those are.
    pub(crate) fn start(
        self,
        found: Start,
        objects: Arc<dyn Objects>,
        opening: &Opening<'_>,
    ) -> Result<Opened, OpenError> {
        let log_id = opening.key.log_id();
        let Start {
            published,
            born,
            remembered,
        } = found;
        let shared = SharedOpening {
            objects: &*objects,
            published: published.checkpoint,
            log_id,
            born,
            clock: opening.clock,
        };
        let mut batches = DatabaseBatches {
            session: &self.session,
            log_id,
        };
        let tree = shared.run(&mut batches)?;
        self.check_head(&tree)?;
        let mut incarnation = [0; 16];
        fill_random(&mut incarnation).map_err(|_| KeyError::Generate)?;
        let known = HeadRow::of(&tree);
        let journal = PostgresJournal::new(self.session, known, incarnation).dated_after(remembered);
        Ok(Opened {
            head: tree.head,
            frontier: tree.tail.frontier(),
            tail: tree.tail,
            published,
            objects,
            journal: Box::new(journal),
            upkeep: Box::new(NoUpkeep),
            locks: self.lock.into_iter().collect(),
        })
    }

    /// Whether the batches lead to the tree of that checkpoint.
    #[cfg(feature = "s3")]
    pub(crate) fn holds(&self, checkpoint: &Checkpoint, log_id: LogId) -> Result<bool, OpenError> {
        Ok(self.root_at(checkpoint.size(), log_id)? == Some(checkpoint.root()))
    }

    fn identity(&self, log_id: LogId, origin: &Origin) -> Result<Option<Identity>, OpenError> {
        let origin = origin.to_string();
        let asked = self.session.ask(async move |connected| {
            let client = &connected.client;
            if !has_tables(client).await? {
                return Ok(None);
            }
            check_version(client).await?;
            let id = log_id.as_bytes().as_slice();
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
                [(&id, Type::BYTEA), (&origin, Type::TEXT)];
            let rows = client.query_typed(IDENTITY, &parameters).await.map_err(fault)?;
            let mut found = rows.iter().map(Identity::read).collect::<io::Result<Vec<_>>>()?;
            // The key's own log, if there is one, says more than another of its name.
            found.sort_by_key(|identity| identity.log_id != id);
            Ok(found.into_iter().next())
        });
        asked.map_err(io_error("read which log the database holds"))
    }

    /// Refuses a log whose files are in a bucket: beside them the database's own would never be complete.
    fn refuse_files_elsewhere(&self, objects: &PostgresObjects) -> Result<(), OpenError> {
        let bucket = objects
            .read(BUCKET)
            .map_err(io_error("read which log the database holds"))?;
        let Some(bucket) = bucket else { return Ok(()) };
        let bucket = String::from_utf8_lossy(&bucket);
        Err(OpenError::OtherPlaces {
            place: self.settings.place(),
            what: format!(
                "holds the entries of a log whose files are in a bucket, {bucket} when it was born: name that as well"
            ),
        })
    }

    /// When the log was born.
    fn check_identity(&self, origin: &Origin, key: &LogPublicKey) -> Result<UnixMillis, OpenError> {
        let log_id = key.log_id();
        let Some(found) = self.identity(log_id, origin)? else {
            return Err(OpenError::Missing {
                directory: self.settings.place().into(),
            });
        };
        if found.log_id != log_id.as_bytes() || found.public_key != key.spki_der() {
            return Err(OpenError::OtherKey {
                found: hex::encode(found.log_id),
                expected: log_id.to_string(),
            });
        }
        if found.origin != origin.as_str() {
            return Err(OpenError::OtherOrigin {
                found: found.origin,
                expected: origin.clone(),
            });
        }
        Ok(found.created)
    }

    fn read_checkpoint(&self, opening: &Opening<'_>) -> Result<Published, OpenError> {
        let log_id = opening.key.log_id();
        let note = self
            .session
            .ask(async move |connected| read_note(&connected.client, log_id).await);
        let note = note.map_err(io_error("read the checkpoint"))?;
        let note = note.ok_or_else(|| corrupt("the checkpoint is missing"))?;
        let invalid = |error: CheckpointError| corrupt(format!("checkpoint: {error}"));
        let checkpoint = Checkpoint::verify(&note, opening.origin, opening.key).map_err(invalid)?;
        let note = note.into();
        Ok(Published { checkpoint, note })
    }

    /// Refuses a database that lost what this replica acknowledged or saw. The newest time that it gave out.
    fn check_high_water(
        &self,
        high_water: &HighWater,
        log_id: LogId,
    ) -> Result<Option<UnixMillis>, OpenError> {
        let Some(mark) = high_water.read()? else {
            return Ok(None);
        };
        let found = self.root_at(mark.size, log_id)?;
        if found == Some(mark.root) {
            return Ok(Some(mark.timestamp));
        }
        Err(OpenError::RolledBack { seen: mark.size })
    }

    /// The root of the tree after the batch that ends with that size.
    fn root_at(&self, size: u64, log_id: LogId) -> Result<Option<Hash>, OpenError> {
        if size == 0 {
            return Ok(Some(empty_root()));
        }
        let asked = self.session.ask(async move |connected| {
            let (id, size) = (log_id.as_bytes().as_slice(), bigint(size)?);
            let row = connected
                .client
                .query_typed_opt(BATCH_AT, &[(&id, Type::BYTEA), (&size, Type::INT8)])
                .await
                .map_err(fault)?;
            row.map(|row| row.try_get(0).map_err(fault)).transpose()
        });
        let record: Option<Vec<u8>> = asked.map_err(io_error("read a batch"))?;
        let record = record
            .as_deref()
            .and_then(|record| crate::storage::record::Record::decode(record).ok());
        Ok(record.map(|record| record.header.head.root))
    }

    /// The head that the batches lead to must be the one of the row, unless somebody appended meanwhile.
    fn check_head(&self, tree: &SharedTree) -> Result<(), OpenError> {
        let log_id = tree.link.log_id;
        let found = self
            .session
            .ask(async move |connected| read_head(&connected.client, log_id).await);
        let found = found.map_err(io_error("read the head"))?;
        let (replayed, size) = (HeadRow::of(tree), found.head.size);
        if size < tree.head.size || (size == tree.head.size && found != replayed) {
            return Err(corrupt("ct_head does not say what the batches lead to"));
        }
        Ok(())
    }
}

impl Storage for Postgres {
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        let Found { objects, start } = self.find(&opening)?;
        self.refuse_files_elsewhere(&objects)?;
        self.start(start, Arc::new(objects), &opening)
    }
}

/// The batches of `ct_batch`.
struct DatabaseBatches<'a> {
    session: &'a Arc<Session>,
    log_id: LogId,
}

impl Batches for DatabaseBatches<'_> {
    fn after(&mut self, size: u64) -> Result<Vec<Batch>, OpenError> {
        let log_id = self.log_id;
        let read = self
            .session
            .ask(async move |connected| read_batches(&connected.client, log_id, size).await);
        read.map_err(io_error("read the batches"))
    }

    fn begin_at_or_before(&mut self, index: u64) -> Result<u64, OpenError> {
        let log_id = self.log_id;
        let asked = self.session.ask(async move |connected| {
            let (id, index) = (log_id.as_bytes().as_slice(), bigint(index)?);
            let row = connected
                .client
                .query_typed_opt(BEGIN_OF_BATCH, &[(&id, Type::BYTEA), (&index, Type::INT8)])
                .await
                .map_err(fault)?;
            row.map(|row| number(&row, 0)).transpose()
        });
        let first = asked.map_err(io_error("read the batches"))?;
        first.ok_or_else(|| corrupt("the first batch is missing"))
    }
}

impl HeadRow {
    fn of(tree: &SharedTree) -> HeadRow {
        let SharedTree { head, link, .. } = tree;
        HeadRow {
            head: Head { ..*head },
            link: *link,
        }
    }
}

impl Identity {
    fn read(row: &Row) -> io::Result<Identity> {
        Ok(Identity {
            log_id: row.try_get(0).map_err(fault)?,
            origin: row.try_get(1).map_err(fault)?,
            public_key: row.try_get(2).map_err(fault)?,
            created: UnixMillis::new(number(row, 3)?),
        })
    }
}
