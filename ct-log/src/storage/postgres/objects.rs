//! Full tiles, issuers and the checkpoint, in tables.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use tokio_postgres::types::Type;

use crate::checkpoint::Checkpoint;
use crate::leaf::{LogId, UnixMillis};
use crate::storage::high_water::HighWater;
use crate::storage::{Head, Objects, Replaced};

use super::client::{Client, is_lock_timeout};
use super::fault::fault;
use super::head::{Parameter, bigint, number};
use super::session::Session;

const PUT: &str = "INSERT INTO ct_object (log_id, path, bytes) \
    SELECT $1, path, bytes FROM unnest($2::text[], $3::bytea[]) AS new (path, bytes) ON CONFLICT DO NOTHING RETURNING path";

const READ: &str = "SELECT bytes FROM ct_object WHERE log_id = $1 AND path = $2";

/// Later than every checkpoint before, of whichever replica, and not later than the first entry that it does not hold (C4); never
/// of a smaller tree (C1). It waits for an append under way, which holds the lock of the row in `ct_head`. That row is then read
/// as the append left it, while its batch is not seen by this statement, only by the next one: nothing is stored, because the time is
/// unknown (NULL). All entries of a batch have the time in the header of its record, in which it has the bytes 93 to 100.
const PUBLISH: &str = "UPDATE ct_checkpoint SET size = $2, root = $3, ts = $4, note = $5 \
    FROM (SELECT size AS entries FROM ct_head WHERE log_id = $1 FOR SHARE) AS head \
    WHERE log_id = $1 AND size <= $2 AND ts < $4 AND (entries = $2 OR $4 <= (\
        SELECT ('x' || encode(substring(record FROM 93 FOR 8), 'hex'))::bit(64)::bigint \
        FROM ct_batch WHERE log_id = $1 AND first_index = $2))";

/// The second sees the batch for which the first waited.
const ATTEMPTS: usize = 2;

/// Not a file, but where the files are, if not in the table.
pub(super) const BUCKET: &str = "bucket";

const LAST: &str = "SELECT note, size, ts FROM ct_checkpoint WHERE log_id = $1";

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
        let replaced = self
            .writes
            .ask(async move |connected| publish(&connected.client, log_id, &new, &note).await)?;
        if replaced != Replaced::Yes {
            return Ok(replaced);
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

async fn publish(
    client: &Client,
    log_id: LogId,
    checkpoint: &Checkpoint,
    note: &str,
) -> io::Result<Replaced> {
    let id = log_id.as_bytes().as_slice();
    let (size, timestamp) = (bigint(checkpoint.size())?, bigint(checkpoint.timestamp().get())?);
    let root = checkpoint.root();
    let (root, note) = (root.as_bytes().as_slice(), note.as_bytes());
    let parameters: [Parameter<'_>; 5] = [
        (&id, Type::BYTEA),
        (&size, Type::INT8),
        (&root, Type::BYTEA),
        (&timestamp, Type::INT8),
        (&note, Type::BYTEA),
    ];
    for _ in 0..ATTEMPTS {
        match client.execute_typed(PUBLISH, &parameters).await {
            Ok(1) => return Ok(Replaced::Yes),
            Ok(_) => {}
            Err(error) if is_lock_timeout(&error) => return Ok(Replaced::Overtaken),
            Err(error) => return Err(fault(error)),
        }
        let last = read_last(client, log_id).await?;
        let last = last.ok_or_else(|| io::Error::other("the log's row in ct_checkpoint is gone"))?;
        if last.size > checkpoint.size() || last.timestamp >= checkpoint.timestamp() {
            return Ok(Replaced::Newer(last.note));
        }
    }
    Ok(Replaced::Overtaken)
}

/// The row of a log in `ct_checkpoint`.
struct Last {
    note: String,
    size: u64,
    timestamp: UnixMillis,
}

async fn read_last(client: &Client, log_id: LogId) -> io::Result<Option<Last>> {
    let id = log_id.as_bytes().as_slice();
    let row = client
        .query_typed_opt(LAST, &[(&id, Type::BYTEA)])
        .await
        .map_err(fault)?;
    let Some(row) = row else { return Ok(None) };
    let note = row.try_get(0).map_err(fault)?;
    let note = String::from_utf8(note).map_err(|_| io::Error::other("the checkpoint is not text"))?;
    Ok(Some(Last {
        note,
        size: number(&row, 1)?,
        timestamp: UnixMillis::new(number(&row, 2)?),
    }))
}

/// The published note.
pub(super) async fn read_note(client: &Client, log_id: LogId) -> io::Result<Option<String>> {
    let last = read_last(client, log_id).await?;
    Ok(last.map(|last| last.note))
}
