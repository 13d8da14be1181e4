//! The row of a log in `ct_head`, and its batches.

use std::io;

use tokio_postgres::types::{ToSql, Type};

use crate::leaf::{LogId, UnixMillis};
use crate::storage::Head;
use crate::storage::record::{Batch, Record};
use crate::storage::shared::Link;
use crate::tree::Hash;

use super::client::{Client, Row};
use super::fault::fault;
use super::safety::check_settings;

/// What a statement is given, and its type there.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Batches that are read at once: some tens of megabytes at the very most.
pub(super) const MAX_BATCHES: i64 = 32;

/// With the settings that a reload may have changed: asked for with every look and every turn, it costs nothing.
const HEAD: &str = "SELECT size, root, ts, number, previous, current_setting('fsync'), \
    current_setting('full_page_writes'), current_setting('synchronous_commit') FROM ct_head WHERE log_id = $1";

const HEAD_LOCKED: &str = "SELECT size, root, ts, number, previous, current_setting('fsync'), \
    current_setting('full_page_writes'), current_setting('synchronous_commit') FROM ct_head WHERE log_id = $1 FOR UPDATE";

const NEWEST: &str = "SELECT ts FROM ct_checkpoint WHERE log_id = $1";

const BATCHES: &str =
    "SELECT record FROM ct_batch WHERE log_id = $1 AND first_index >= $2 ORDER BY first_index LIMIT $3";

/// What the database says is the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadRow {
    pub(super) head: Head,
    pub(super) link: Link,
}

/// Reads the row as it is. An error, here and below, also if the server could lose what it acknowledges.
pub(super) async fn read_head(client: &Client, log_id: LogId) -> io::Result<HeadRow> {
    head_row(client, log_id, HEAD).await
}

/// Locks the row until the end of the transaction, then reads it.
pub(super) async fn lock_head(client: &Client, log_id: LogId) -> io::Result<HeadRow> {
    head_row(client, log_id, HEAD_LOCKED).await
}

async fn head_row(client: &Client, log_id: LogId, query: &str) -> io::Result<HeadRow> {
    let id = log_id.as_bytes().as_slice();
    let row = client
        .query_typed_opt(query, &[(&id, Type::BYTEA)])
        .await
        .map_err(fault)?;
    let row = row.ok_or_else(|| io::Error::other("the log's row in ct_head is gone"))?;
    check_settings(&row, 5)?;
    Ok(HeadRow {
        head: Head {
            size: number(&row, 0)?,
            root: Hash::new(bytes32(&row, 1)?),
            timestamp: UnixMillis::new(number(&row, 2)?),
        },
        link: Link {
            log_id,
            number: number(&row, 3)?,
            previous: bytes32(&row, 4)?,
        },
    })
}

/// The time of the newest checkpoint.
pub(super) async fn read_newest(client: &Client, log_id: LogId) -> io::Result<UnixMillis> {
    let id = log_id.as_bytes().as_slice();
    let row = client
        .query_typed_opt(NEWEST, &[(&id, Type::BYTEA)])
        .await
        .map_err(fault)?;
    let row = row.ok_or_else(|| io::Error::other("the log's row in ct_checkpoint is gone"))?;
    Ok(UnixMillis::new(number(&row, 0)?))
}

/// The next batches, beginning with the entry `size`.
pub(super) async fn read_batches(client: &Client, log_id: LogId, size: u64) -> io::Result<Vec<Batch>> {
    let (id, size) = (log_id.as_bytes().as_slice(), bigint(size)?);
    let rows = client
        .query_typed(
            BATCHES,
            &[
                (&id, Type::BYTEA),
                (&size, Type::INT8),
                (&MAX_BATCHES, Type::INT8),
            ],
        )
        .await
        .map_err(fault)?;
    let batch = |row: &Row| {
        let record = Record::decode(row.try_get(0).map_err(fault)?);
        record
            .map(Batch::from)
            .map_err(|_| io::Error::other("a batch in ct_batch is damaged"))
    };
    rows.iter().map(batch).collect()
}

/// A `bigint` that counts something.
pub(super) fn number(row: &Row, column: usize) -> io::Result<u64> {
    let value: i64 = row.try_get(column).map_err(fault)?;
    u64::try_from(value).map_err(io::Error::other)
}

pub(super) fn bytes32(row: &Row, column: usize) -> io::Result<[u8; 32]> {
    let value: &[u8] = row.try_get(column).map_err(fault)?;
    value.try_into().map_err(io::Error::other)
}

pub(super) fn bigint(value: u64) -> io::Result<i64> {
    i64::try_from(value).map_err(io::Error::other)
}
