//! Whether this server keeps what it acknowledges.

use std::io;

use crate::reach::Away;

use super::client::{Client, Error, Row};
use super::fault::fault;

/// Oldest version that is supported, as `server_version_num` says it.
const OLDEST_VERSION: i32 = 140_000;

/// Settings of a session. `statement_timeout` must be off: it would end a commit's wait for its standby, and the commit would then
/// succeed without it. The others bound how long a stuck session holds up a log, this one's or another replica's.
/// `synchronous_commit` is set even to what it is: only what a session set itself is not changed by a reload of the server's
/// configuration.
const SESSION: &str = "SET statement_timeout = 0; SET lock_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '5s'; SET default_transaction_isolation = 'read committed'; \
    SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
        WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)";

const FACTS: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
    current_setting('synchronous_commit'), current_setting('server_version_num')::int, pg_is_in_recovery(), \
    current_setting('transaction_read_only')";

/// The server is not one to keep a log on, or not now.
#[derive(Debug, thiserror::Error)]
#[error("the database must not hold a log: {0}")]
pub(super) struct Unsafe(String);

/// Puts the session's settings in force, and refuses a server that could lose what it acknowledged.
pub(super) async fn secure(client: &Client) -> io::Result<()> {
    client.batch_execute(SESSION).await.map_err(fault)?;
    let facts = client.query_typed_one(FACTS, &[]).await.map_err(fault)?;
    match danger(&facts).map_err(fault)? {
        Some(danger) => Err(Away::error(Unsafe(danger))),
        None => Ok(()),
    }
}

/// Refuses a server whose settings were changed since the session began. The row has `fsync`, `full_page_writes` and
/// `synchronous_commit` from that column on.
pub(super) fn check_settings(row: &Row, first: usize) -> io::Result<()> {
    match dangerous_setting(row, first).map_err(fault)? {
        Some(danger) => Err(Away::error(Unsafe(danger))),
        None => Ok(()),
    }
}

fn dangerous_setting(row: &Row, first: usize) -> Result<Option<String>, Error> {
    let column = |number: usize| row.try_get::<_, &str>(first.saturating_add(number));
    for (number, setting) in [(0, "fsync"), (1, "full_page_writes")] {
        if column(number)? != "on" {
            return Ok(Some(format!(
                "{setting} is off, so a crash of the server would lose entries; turn it on"
            )));
        }
    }
    let synchronous = column(2)?;
    if !["on", "remote_apply"].contains(&synchronous) {
        return Ok(Some(format!(
            "synchronous_commit is {synchronous} in the log's own session; a pooler that shares sessions must not stand between"
        )));
    }
    Ok(None)
}

fn danger(facts: &Row) -> Result<Option<String>, Error> {
    let version: i32 = facts.try_get(3)?;
    if version < OLDEST_VERSION {
        return Ok(Some(
            "PostgreSQL 14 is the oldest version that is supported".to_owned(),
        ));
    }
    if let Some(danger) = dangerous_setting(facts, 0)? {
        return Ok(Some(danger));
    }
    if facts.try_get(4)? {
        return Ok(Some("it is a standby; name the primary".to_owned()));
    }
    if facts.try_get::<_, &str>(5)? != "off" {
        return Ok(Some("it is read-only".to_owned()));
    }
    Ok(None)
}
