//! Whether this server keeps what it acknowledges.

use std::io;

use tokio_postgres::{Client, Row};

use crate::reach::Away;

use super::fault::fault;

/// Oldest version that is supported, as `server_version_num` says it.
const OLDEST_VERSION: i32 = 140_000;

/// Settings of a session. `statement_timeout` must be off: it would end a commit's wait for its standby, and the commit would then
/// succeed without it. The others bound how long a stuck session holds up a log, this one's or another replica's.
const SESSION: &str = "SET statement_timeout = 0; SET lock_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '5s'; SET default_transaction_isolation = 'read committed'; \
    SELECT set_config('synchronous_commit', 'on', false) \
        WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";

const FACTS: &str = "SELECT current_setting('server_version_num')::int, current_setting('fsync'), \
    current_setting('full_page_writes'), current_setting('synchronous_commit'), pg_is_in_recovery(), \
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

fn danger(facts: &Row) -> Result<Option<String>, tokio_postgres::Error> {
    let version: i32 = facts.try_get(0)?;
    if version < OLDEST_VERSION {
        return Ok(Some(
            "PostgreSQL 14 is the oldest version that is supported".to_owned(),
        ));
    }
    for (column, setting) in [(1, "fsync"), (2, "full_page_writes")] {
        if facts.try_get::<_, &str>(column)? != "on" {
            return Ok(Some(format!(
                "{setting} is off, so a crash of the server would lose entries; turn it on"
            )));
        }
    }
    let synchronous: &str = facts.try_get(3)?;
    if !["on", "remote_apply"].contains(&synchronous) {
        return Ok(Some(format!(
            "synchronous_commit is {synchronous} and could not be turned on"
        )));
    }
    if facts.try_get(4)? {
        return Ok(Some("it is a standby; name the primary".to_owned()));
    }
    if facts.try_get::<_, &str>(5)? != "off" {
        return Ok(Some("it is read-only".to_owned()));
    }
    Ok(None)
}
