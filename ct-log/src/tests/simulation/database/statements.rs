//! The statements of the log.

use std::sync::Arc;

use tokio_postgres::types::{FromSql, ToSql, Type};

use crate::storage::{Answer, Refusal, Value};

use super::State;
use super::tables::{Batch, Checkpoint, Head, Identity, Tables, Write};

/// Whether nothing of a transaction is open after this one.
pub(super) fn ends_transaction(statement: &str) -> bool {
    matches!(statement, "COMMIT" | "ROLLBACK")
}

/// A statement that yields one row, or changed so many.
struct Parameters<'a>(&'a [Value]);

impl Parameters<'_> {
    /// `$number`
    fn get<'a, T: FromSql<'a>>(&'a self, number: usize) -> T {
        self.0[number - 1].get()
    }
}

type Column<'a> = (&'a (dyn ToSql + Sync), Type);

fn row(columns: &[Column<'_>]) -> Vec<Value> {
    let values = columns.iter();
    values
        .map(|(value, kind)| Value::new(*value, kind.clone()))
        .collect()
}

fn rows(rows: Vec<Vec<Value>>) -> Answer {
    Answer {
        changed: rows.len() as u64,
        rows,
    }
}

fn changed(changed: u64) -> Answer {
    Answer {
        rows: Vec::new(),
        changed,
    }
}

/// Its changes wait in the session for the end of the transaction. `seen` are the tables when the statement began, if it waited for a
/// lock since: the row that it locks is read anew then, all others are as they were (READ COMMITTED).
pub(super) fn execute(
    state: &mut State,
    id: u64,
    statement: &str,
    parameters: &[Value],
    seen: Option<&Tables>,
) -> Result<Answer, Refusal> {
    let parameters = Parameters(parameters);
    if let Some(answer) = session(state, id, statement) {
        return Ok(answer);
    }
    if let Some(answer) = read(&state.tables, statement, &parameters) {
        return Ok(answer);
    }
    let Some((answer, writes)) = write(&state.tables, statement, &parameters, seen) else {
        panic!("the simulated database does not know {statement}");
    };
    let session = state.sessions.get_mut(&id).unwrap();
    session.writes.extend(writes);
    Ok(answer)
}

/// What is between `SELECT` and `FROM`.
fn selected(statement: &str) -> impl Iterator<Item = &str> {
    let list = statement.trim_start_matches("SELECT ").split(" FROM ").next();
    list.unwrap_or_default().split(", ").map(str::trim)
}

/// What the server says of itself and of the session.
fn setting(expression: &str, synchronous: bool) -> Value {
    match expression {
        "current_setting('server_version_num')::int" => Value::new(&170_000_i32, Type::INT4),
        "current_setting('fsync')" | "current_setting('full_page_writes')" => Value::new(&"on", Type::TEXT),
        "current_setting('synchronous_commit')" => {
            Value::new(if synchronous { &"on" } else { &"off" }, Type::TEXT)
        }
        "pg_is_in_recovery()" => Value::new(&false, Type::BOOL),
        "current_setting('transaction_read_only')" => Value::new(&"off", Type::TEXT),
        other => panic!("the simulated database does not know {other}"),
    }
}

/// What concerns the session, or is answered from it.
fn session(state: &mut State, id: u64, statement: &str) -> Option<Answer> {
    let asynchronous = state.asynchronous;
    let session = state.sessions.get_mut(&id)?;
    let synchronous = session.synchronous_commit.unwrap_or(!asynchronous);
    match statement {
        "COMMIT" | "ROLLBACK" => {
            if session.failed || statement == "ROLLBACK" {
                session.writes.clear();
            }
            (session.in_transaction, session.failed) = (false, false);
        }
        _ if statement.starts_with("BEGIN") => session.in_transaction = true,
        _ if statement.starts_with("SET ") => {
            // Only what the session does not have anyway, or in any case.
            let only_if_off = statement.contains("WHERE current_setting('synchronous_commit') NOT IN");
            if statement.contains("synchronous_commit") && !(only_if_off && synchronous) {
                session.synchronous_commit = Some(true);
            }
        }
        _ if statement.starts_with("SELECT current_setting(") => {
            let settings = selected(statement).map(|expression| setting(expression, synchronous));
            return Some(rows(vec![settings.collect()]));
        }
        _ if statement.starts_with("SELECT size, root, ts, number, previous") => {
            let row = |head: &Arc<Head>| {
                let value = |expression| match expression {
                    "size" => Value::new(&head.size, Type::INT8),
                    "root" => Value::new(&head.root, Type::BYTEA),
                    "ts" => Value::new(&head.ts, Type::INT8),
                    "number" => Value::new(&head.number, Type::INT8),
                    "previous" => Value::new(&head.previous, Type::BYTEA),
                    other => setting(other, synchronous),
                };
                selected(statement).map(value).collect()
            };
            return Some(rows(state.tables.head.iter().map(row).collect()));
        }
        _ => return None,
    }
    Some(Answer::default())
}

fn read(tables: &Tables, statement: &str, parameters: &Parameters<'_>) -> Option<Answer> {
    let record = |batch: &Arc<Batch>| row(&[(&batch.record, Type::BYTEA)]);
    let found = match statement {
        "SELECT to_regclass('ct_schema') IS NOT NULL" => vec![row(&[(&tables.schema, Type::BOOL)])],
        "SELECT max(version) FROM ct_schema" => vec![row(&[(&1_i32, Type::INT4)])],
        _ if statement.starts_with("SELECT log_id, origin, public_key, created FROM ct_head") => {
            let row = |identity: &Arc<Identity>| {
                row(&[
                    (&identity.log_id, Type::BYTEA),
                    (&identity.origin, Type::TEXT),
                    (&identity.public_key, Type::BYTEA),
                    (&identity.created, Type::INT8),
                ])
            };
            tables.identity.iter().map(row).collect()
        }
        _ if statement.starts_with("SELECT record FROM ct_batch WHERE log_id = $1 AND first_index >=") => {
            let most: i64 = parameters.get(3);
            let from = tables.batches.range(parameters.get::<i64>(2)..);
            from.take(most as usize).map(|(_, batch)| record(batch)).collect()
        }
        _ if statement.starts_with("SELECT record FROM ct_batch WHERE log_id = $1 AND size =") => {
            let size: i64 = parameters.get(2);
            let batches = tables.batches.values().filter(|batch| batch.size == size);
            batches.map(record).collect()
        }
        _ if statement.starts_with("SELECT first_index FROM ct_batch") => {
            let last = tables.batches.range(..=parameters.get::<i64>(2)).next_back();
            last.map(|(first, _)| row(&[(first, Type::INT8)]))
                .into_iter()
                .collect()
        }
        _ if statement.starts_with("SELECT hash FROM ct_batch") => {
            let batch = tables.batches.get(&parameters.get::<i64>(2));
            batch
                .map(|batch| row(&[(&batch.hash, Type::BYTEA)]))
                .into_iter()
                .collect()
        }
        _ if statement.starts_with("SELECT bytes FROM ct_object") => {
            let object = tables.objects.get(parameters.get::<&str>(2));
            object
                .map(|bytes| row(&[(&**bytes, Type::BYTEA)]))
                .into_iter()
                .collect()
        }
        _ if statement.starts_with("SELECT ts FROM ct_checkpoint") => {
            let ts = tables.checkpoint.as_ref().map(|checkpoint| checkpoint.ts);
            ts.map(|ts| row(&[(&ts, Type::INT8)])).into_iter().collect()
        }
        _ if statement.starts_with("SELECT note, size, ts FROM ct_checkpoint") => {
            let row = |last: &Arc<Checkpoint>| {
                row(&[
                    (&last.note, Type::BYTEA),
                    (&last.size, Type::INT8),
                    (&last.ts, Type::INT8),
                ])
            };
            tables.checkpoint.iter().map(row).collect()
        }
        _ => return None,
    };
    Some(rows(found))
}

fn write(
    tables: &Tables,
    statement: &str,
    parameters: &Parameters<'_>,
    seen: Option<&Tables>,
) -> Option<(Answer, Vec<Write>)> {
    let written = match statement {
        _ if statement.contains("CREATE TABLE ct_schema") => {
            let create: Write = Box::new(|tables| tables.schema = true);
            (changed(0), vec![create])
        }
        _ if statement.starts_with("INSERT INTO ct_head") => birth(tables, parameters),
        _ if statement.starts_with("INSERT INTO ct_checkpoint") => {
            let checkpoint = Arc::new(Checkpoint {
                size: 0,
                ts: parameters.get(3),
                note: parameters.get(4),
            });
            let insert: Write = Box::new(|tables| tables.checkpoint = Some(checkpoint));
            (changed(1), vec![insert])
        }
        _ if statement.starts_with("UPDATE ct_checkpoint") => publish(tables, parameters, seen),
        _ if statement.starts_with("INSERT INTO ct_object") => put(tables, statement, parameters),
        _ if statement.starts_with("WITH moved AS") => append(tables, statement, parameters),
        _ => return None,
    };
    Some(written)
}

fn birth(tables: &Tables, parameters: &Parameters<'_>) -> (Answer, Vec<Write>) {
    if tables.identity.is_some() {
        return (changed(0), Vec::new());
    }
    let identity = Arc::new(Identity {
        log_id: parameters.get(1),
        origin: parameters.get(2),
        public_key: parameters.get(3),
        created: parameters.get(4),
    });
    let head = Arc::new(Head {
        size: 0,
        root: parameters.get(5),
        ts: identity.created,
        number: 0,
        previous: parameters.get(6),
    });
    let insert: Write = Box::new(|tables| {
        (tables.identity, tables.head) = (Some(identity), Some(head));
    });
    (changed(1), vec![insert])
}

/// `WHERE size <= $2 AND ts < $4`, and if it shares the lock of the head, `AND (entries = $2 OR $4 <= (SELECT ... FROM ct_batch))`
fn publish(tables: &Tables, parameters: &Parameters<'_>, seen: Option<&Tables>) -> (Answer, Vec<Write>) {
    let checkpoint = Arc::new(Checkpoint {
        size: parameters.get(2),
        ts: parameters.get(4),
        note: parameters.get(5),
    });
    let last = tables.checkpoint.as_ref();
    if !last.is_some_and(|last| last.size <= checkpoint.size && last.ts < checkpoint.ts) {
        return (changed(0), Vec::new());
    }
    if let Some(seen) = seen
        && tables.size() != checkpoint.size
    {
        let time = |batch: &Arc<Batch>| i64::from_be_bytes(batch.record[92..100].try_into().unwrap());
        let next = seen.batches.get(&checkpoint.size).map(time);
        if next.is_none_or(|next| next < checkpoint.ts) {
            return (changed(0), Vec::new());
        }
    }
    let update: Write = Box::new(|tables| tables.checkpoint = Some(checkpoint));
    (changed(1), vec![update])
}

/// `ON CONFLICT DO NOTHING RETURNING path`
fn put(tables: &Tables, statement: &str, parameters: &Parameters<'_>) -> (Answer, Vec<Write>) {
    let (paths, contents): (Vec<String>, Vec<Vec<u8>>) = match statement.contains("unnest") {
        true => (parameters.get(2), parameters.get(3)),
        false => (vec![parameters.get(2)], vec![parameters.get(3)]),
    };
    let mut new: Vec<_> = paths.into_iter().zip(contents).collect();
    new.retain(|(path, _)| !tables.objects.contains_key(path));
    let stored = new.iter().map(|(path, _)| row(&[(path, Type::TEXT)])).collect();
    let insert: Write = Box::new(|tables| {
        for (path, bytes) in new {
            tables.objects.entry(path).or_insert_with(|| Arc::new(bytes));
        }
    });
    (rows(stored), vec![insert])
}

/// `UPDATE ct_head ... WHERE size = $2 AND root = $7`, and the batch if that changed a row.
fn append(tables: &Tables, statement: &str, parameters: &Parameters<'_>) -> (Answer, Vec<Write>) {
    // `AND $5 >= (SELECT ts FROM ct_checkpoint ...)`
    let newest = tables.checkpoint.as_ref().map(|checkpoint| checkpoint.ts);
    if statement.contains("FROM ct_checkpoint") && newest > Some(parameters.get(5)) {
        return (changed(0), Vec::new());
    }
    let (from, root): (i64, Vec<u8>) = (parameters.get(2), parameters.get(7));
    let Some(head) = tables
        .head
        .as_ref()
        .filter(|head| head.size == from && head.root == root)
    else {
        return (changed(0), Vec::new());
    };
    let batch = Arc::new(Batch {
        size: parameters.get(3),
        hash: parameters.get(6),
        record: parameters.get(8),
    });
    let head = Arc::new(Head {
        size: batch.size,
        root: parameters.get(4),
        ts: parameters.get(5),
        number: head.number + 1,
        previous: batch.hash.clone(),
    });
    let insert: Write = Box::new(move |tables| {
        tables.batches.insert(from, batch);
        tables.head = Some(head);
    });
    (changed(1), vec![insert])
}
