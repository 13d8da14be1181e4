//! Full tiles, issuers and the checkpoint, in tables.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use tokio_postgres::types::Type;

use crate::checkpoint::Checkpoint;
use crate::leaf::LogId;
use crate::storage::high_water::HighWater;
use crate::storage::{Head, Objects, Replaced};

use super::client::Client;
use super::fault::fault;
use super::head::bigint;
use super::session::Session;

const PUT: &str = "INSERT INTO ct_object (log_id, path, bytes) \
    SELECT $1, path, bytes FROM unnest($2::text[], $3::bytea[]) AS new (path, bytes) ON CONFLICT DO NOTHING RETURNING path";

const READ: &str = "SELECT bytes FROM ct_object WHERE log_id = $1 AND path = $2";

/// Later than every checkpoint before, of whichever replica (C4), and never of a smaller tree (C1).
const PUBLISH: &str = "UPDATE ct_checkpoint SET size = $2, root = $3, ts = $4, note = $5 \
    WHERE log_id = $1 AND size <= $2 AND ts < $4";

/// Not a file, but where the files are, if not in the table.
pub(super) const BUCKET: &str = "bucket";

const NOTE: &str = "SELECT note FROM ct_checkpoint WHERE log_id = $1";

/// Reading and writing have a connection each: readers do not hold up the log.
pub(crate) struct PostgresObjects {
    pub(super) log_id: LogId,
    pub(super) reads: Arc<Session>,
    pub(super) writes: Arc<Session>,
    pub(super) high_water: HighWater,
}

impl Objects for PostgresObjects {
    /// In one transaction.
    fn put_immutable(&self, new: &[(String, &[u8])]) -> io::Result<()> {
        let log_id = self.log_id;
        let files: Vec<_> = new
            .iter()
            .map(|(path, bytes)| (path.clone(), bytes.to_vec()))
            .collect();
        self.writes
            .ask(async move |connected| put(&connected.client, log_id, files).await)
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let (log_id, path) = (self.log_id, path.to_owned());
        self.reads
            .ask(async move |connected| read(&connected.client, log_id, &path).await)
    }

    fn replace_checkpoint(&self, checkpoint: &Checkpoint, note: &str) -> io::Result<Replaced> {
        let (log_id, new, note) = (self.log_id, *checkpoint, note.to_owned());
        let newer = self
            .writes
            .ask(async move |connected| publish(&connected.client, log_id, &new, &note).await)?;
        if let Some(newer) = newer {
            return Ok(Replaced::Newer(newer));
        }
        self.high_water.raise(&Head {
            size: checkpoint.size(),
            root: checkpoint.root(),
            timestamp: checkpoint.timestamp(),
        })?;
        Ok(Replaced::Yes)
    }

    fn remember(&self, head: &Head) -> io::Result<()> {
        self.high_water.raise(head)
    }

    /// The server's disk is its own business; a batch that it has no space for is refused.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

async fn put(client: &Client, log_id: LogId, files: Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let id = log_id.as_bytes().as_slice();
    let (paths, contents): (Vec<&str>, Vec<&[u8]>) = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .unzip();
    let stored = client
        .query_typed(
            PUT,
            &[
                (&id, Type::BYTEA),
                (&paths, Type::TEXT_ARRAY),
                (&contents, Type::BYTEA_ARRAY),
            ],
        )
        .await
        .map_err(fault)?;
    if stored.len() == files.len() {
        return Ok(());
    }
    for (path, bytes) in &files {
        if read(client, log_id, path).await?.as_ref() != Some(bytes) {
            let what = format!("{path} exists with other contents");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
    }
    Ok(())
}

async fn read(client: &Client, log_id: LogId, path: &str) -> io::Result<Option<Vec<u8>>> {
    let id = log_id.as_bytes().as_slice();
    let row = client
        .query_typed_opt(READ, &[(&id, Type::BYTEA), (&path, Type::TEXT)])
        .await
        .map_err(fault)?;
    row.map(|row| row.try_get(0).map_err(fault)).transpose()
}

/// Nothing if it is published, otherwise the note that is.
async fn publish(
    client: &Client,
    log_id: LogId,
    checkpoint: &Checkpoint,
    note: &str,
) -> io::Result<Option<String>> {
    let id = log_id.as_bytes().as_slice();
    let (size, timestamp) = (bigint(checkpoint.size())?, bigint(checkpoint.timestamp().get())?);
    let root = checkpoint.root();
    let (root, note) = (root.as_bytes().as_slice(), note.as_bytes());
    let published = client
        .execute_typed(
            PUBLISH,
            &[
                (&id, Type::BYTEA),
                (&size, Type::INT8),
                (&root, Type::BYTEA),
                (&timestamp, Type::INT8),
                (&note, Type::BYTEA),
            ],
        )
        .await
        .map_err(fault)?;
    if published == 1 {
        return Ok(None);
    }
    let note = read_note(client, log_id).await?;
    note.map(Some)
        .ok_or_else(|| io::Error::other("the log's row in ct_checkpoint is gone"))
}

/// The published note.
pub(super) async fn read_note(client: &Client, log_id: LogId) -> io::Result<Option<String>> {
    let id = log_id.as_bytes().as_slice();
    let row = client
        .query_typed_opt(NOTE, &[(&id, Type::BYTEA)])
        .await
        .map_err(fault)?;
    let Some(row) = row else { return Ok(None) };
    let note = row.try_get(0).map_err(fault)?;
    String::from_utf8(note)
        .map(Some)
        .map_err(|_| io::Error::other("the checkpoint is not text"))
}
