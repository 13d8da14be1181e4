//! The birth of a log in a database: its tables, if they are not there, and its rows, in one transaction.

use std::io;

use tokio_postgres::types::Type;

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::LogKey;
use crate::leaf::UnixMillis;
use crate::tree::empty_root;

use super::client::Client;
use super::fault::fault;
use super::head::{Parameter, bigint};
use super::objects::BUCKET;

const SCHEMA: &str = include_str!("schema.sql");

/// The version that [`SCHEMA`] makes.
const VERSION: i32 = 1;

/// Two replicas that start at once do not make the tables twice. The number is this program's own.
const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock(4849391748001)";

const HEAD: &str = "INSERT INTO ct_head (log_id, origin, public_key, created, size, root, ts, number, previous) \
    VALUES ($1, $2, $3, $4, 0, $5, $4, 0, $6) ON CONFLICT DO NOTHING";

const CHECKPOINT: &str =
    "INSERT INTO ct_checkpoint (log_id, size, root, ts, note) VALUES ($1, 0, $2, $3, $4)";

const PLACE_OF_FILES: &str = "INSERT INTO ct_object (log_id, path, bytes) VALUES ($1, $2, $3)";

/// What a new log begins with.
pub(super) struct Birth {
    log_id: [u8; 32],
    origin: String,
    public_key: Vec<u8>,
    now: i64,
    note: String,
    /// Where the log's files are, if not in the tables.
    bucket: Option<String>,
}

/// Whether a log was born.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Born {
    Yes,
    /// There is one of that key or origin.
    Exists,
}

impl Birth {
    pub(super) fn new(origin: &Origin, key: &LogKey, now: UnixMillis) -> io::Result<Birth> {
        let first = Checkpoint::new(0, empty_root(), now);
        Ok(Birth {
            log_id: *key.public().log_id().as_bytes(),
            origin: origin.to_string(),
            public_key: key.public().spki_der().to_vec(),
            now: bigint(now.get())?,
            note: first.sign(origin, key).map_err(io::Error::other)?,
            bucket: None,
        })
    }

    /// The birth of a log whose files are in that bucket.
    #[cfg(feature = "s3")]
    pub(super) fn beside(self, bucket: &str) -> Birth {
        let bucket = Some(bucket.to_owned());
        Birth { bucket, ..self }
    }

    /// Run again after a failure, it does the same again, or finds that it was done.
    pub(super) async fn run(&self, client: &Client) -> io::Result<Born> {
        let begin = format!("BEGIN; {ONE_AT_A_TIME}");
        client.batch_execute(&begin).await.map_err(fault)?;
        if !has_tables(client).await? {
            client.batch_execute(SCHEMA).await.map_err(fault)?;
        }
        check_version(client).await?;
        let born = self.insert(client).await?;
        let end = match born {
            Born::Yes => "COMMIT",
            Born::Exists => "ROLLBACK",
        };
        client.batch_execute(end).await.map_err(fault)?;
        Ok(born)
    }

    async fn insert(&self, client: &Client) -> io::Result<Born> {
        let (id, root) = (self.log_id.as_slice(), empty_root());
        let (root, none, note) = (root.as_bytes().as_slice(), [0_u8; 32], self.note.as_bytes());
        let none = none.as_slice();
        let parameters: [Parameter<'_>; 6] = [
            (&id, Type::BYTEA),
            (&self.origin, Type::TEXT),
            (&self.public_key, Type::BYTEA),
            (&self.now, Type::INT8),
            (&root, Type::BYTEA),
            (&none, Type::BYTEA),
        ];
        let inserted = client.execute_typed(HEAD, &parameters).await;
        if inserted.map_err(fault)? == 0 {
            return Ok(Born::Exists);
        }
        let parameters: [Parameter<'_>; 4] = [
            (&id, Type::BYTEA),
            (&root, Type::BYTEA),
            (&self.now, Type::INT8),
            (&note, Type::BYTEA),
        ];
        let inserted = client.execute_typed(CHECKPOINT, &parameters).await;
        inserted.map_err(fault)?;
        if let Some(bucket) = &self.bucket {
            let bytes = bucket.as_bytes();
            let parameters: [Parameter<'_>; 3] =
                [(&id, Type::BYTEA), (&BUCKET, Type::TEXT), (&bytes, Type::BYTEA)];
            let inserted = client.execute_typed(PLACE_OF_FILES, &parameters).await;
            inserted.map_err(fault)?;
        }
        Ok(Born::Yes)
    }
}

/// Whether the tables are there, made by this program or by a database administrator.
pub(super) async fn has_tables(client: &Client) -> io::Result<bool> {
    let row = client
        .query_typed_one("SELECT to_regclass('ct_schema') IS NOT NULL", &[])
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// Refuses tables that another version made.
pub(super) async fn check_version(client: &Client) -> io::Result<()> {
    let row = client
        .query_typed_one("SELECT max(version) FROM ct_schema", &[])
        .await
        .map_err(fault)?;
    match row.try_get(0).map_err(fault)? {
        Some(VERSION) => Ok(()),
        found => Err(io::Error::other(format!(
            "the tables have version {}, this program needs {VERSION}",
            found.map_or("none".to_owned(), |found: i32| found.to_string())
        ))),
    }
}
