//! Appending: one transaction for each batch, in which the row of the log in `ct_head` is locked.
//!
//! `BEGIN`, `SELECT ... FOR UPDATE` is the turn; the batch and the new head are written in one statement, and `COMMIT` is the durable
//! point (C3). There is no leader: whichever replica has the lock appends (C16).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;

use crate::leaf::{LogId, UnixMillis};
use crate::reach::{Away, is_away};
use crate::storage::record::{Batch, Chain, Header, Kind, RecordBuffer};
use crate::storage::shared::Link;
use crate::storage::{CommitError, Committed, Head, Journal, Turn, is_full};
use crate::threads::{self, Instant};

use super::client::is_refusal;
use super::fault::{fault, not_written};
use super::head::{HeadRow, Parameter, bigint, bytes32, lock_head, read_batches, read_head, read_newest};
use super::session::{Connected, Session};

/// How often an idle replica looks for batches of others.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the fate of a batch is looked into. After that its entries are answered with an error, and the batch, if it is there, is
/// taken over like another replica's.
const INQUIRY: Duration = Duration::from_secs(10);

const INQUIRY_PAUSE: Duration = Duration::from_millis(100);

/// Nothing is inserted unless the head is moved, and the head is moved from this tree only; and not if another replica has
/// published a checkpoint since that is newer than the batch (C4).
const APPEND: &str = "WITH moved AS ( \
        UPDATE ct_head SET size = $3, root = $4, ts = $5, number = number + 1, previous = $6 \
        WHERE log_id = $1 AND size = $2 AND root = $7 \
            AND $5 >= (SELECT ts FROM ct_checkpoint WHERE log_id = $1) RETURNING log_id) \
    INSERT INTO ct_batch (log_id, first_index, size, hash, record) SELECT log_id, $2, $3, $6, $8 FROM moved";

const HASH: &str = "SELECT hash FROM ct_batch WHERE log_id = $1 AND first_index = $2";

/// Owned by the sequencer.
pub(super) struct PostgresJournal {
    session: Arc<Session>,
    /// The tree as far as this replica followed it: nobody may take it back.
    known: HeadRow,
    incarnation: [u8; 16],
    /// The connection whose transaction holds the lock.
    turn: Option<Arc<Connected>>,
    /// The time of the newest checkpoint, as the last turn found it; before, that which this replica remembered.
    newest: Option<UnixMillis>,
}

/// A batch as it is sent.
struct Append {
    log_id: LogId,
    from: Head,
    to: Head,
    hash: [u8; 32],
    record: Vec<u8>,
}

/// What became of a batch whose commit was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    /// And never will be: the lock was ours, so its transaction has ended.
    Absent,
}

impl PostgresJournal {
    pub(super) fn new(session: Arc<Session>, known: HeadRow, incarnation: [u8; 16]) -> PostgresJournal {
        PostgresJournal {
            session,
            known,
            incarnation,
            turn: None,
            newest: None,
        }
    }

    /// The same of a replica that remembers to have given out that time.
    pub(super) fn dated_after(self, newest: Option<UnixMillis>) -> PostgresJournal {
        PostgresJournal { newest, ..self }
    }

    fn log_id(&self) -> LogId {
        self.known.link.log_id
    }

    fn look(&self) -> io::Result<(HeadRow, Vec<Batch>)> {
        let (log_id, size) = (self.log_id(), self.known.head.size);
        self.session.ask(async move |connected| {
            let found = read_head(&connected.client, log_id).await?;
            let batches = match found.head.size > size {
                true => read_batches(&connected.client, log_id, size).await?,
                false => Vec::new(),
            };
            Ok((found, batches))
        })
    }

    /// Takes the lock; keeps it if nothing is missed beyond what it returns.
    fn take(&mut self) -> io::Result<(HeadRow, Vec<Batch>)> {
        let (log_id, size) = (self.log_id(), self.known.head.size);
        let (found, newest, batches, turn) = self.session.ask(async move |connected| {
            let client = &connected.client;
            // The last is asked for by itself, so that it is of the time at which the lock was had.
            let (begun, found, newest) = tokio::join!(
                biased;
                client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
                lock_head(client, log_id),
                read_newest(client, log_id)
            );
            begun.map_err(fault)?;
            let (found, newest) = (found?, newest?);
            let batches = match found.head.size > size {
                true => read_batches(client, log_id, size).await?,
                false => Vec::new(),
            };
            let end = batches.last().map_or(size, |last| last.header.head.size);
            if end < found.head.size {
                client.batch_execute("ROLLBACK").await.map_err(fault)?;
                return Ok((found, newest, batches, None));
            }
            Ok((found, newest, batches, Some(connected)))
        })?;
        self.turn = turn;
        self.newest = Some(newest);
        Ok((found, batches))
    }

    /// The database must go on where this replica is: less than that, or something else, is a database that lost what it
    /// acknowledged, or another one.
    fn follow(&mut self, found: &HeadRow, batches: &[Batch]) -> Result<(), io::Error> {
        let mut known = self.known;
        if found.head.size < known.head.size {
            return Err(lost(&known.head, found));
        }
        for batch in batches {
            check_same(&known, found)?;
            known.link = known.link.next(batch).ok_or_else(|| lost(&known.head, found))?;
            known.head = batch.header.head;
        }
        check_same(&known, found)?;
        self.known = known;
        Ok(())
    }

    fn end_turn(&mut self) {
        self.turn = None;
        self.session.give_up();
    }

    /// Asks until there is an answer: a lost reply says nothing about the commit.
    fn inquire(&self, append: &Append) -> Result<Fate, CommitError> {
        let (log_id, first, hash) = (append.log_id, append.from.size, append.hash);
        let began = Instant::now();
        loop {
            let asked = self
                .session
                .ask(async move |connected| fate(&connected, log_id, first).await);
            match asked {
                Ok((found, _)) if found.head.size < first => {
                    return Err(CommitError::Failed(lost(&append.from, &found)));
                }
                Ok((_, Some(found))) if found == hash => return Ok(Fate::Committed),
                Ok(_) => return Ok(Fate::Absent),
                Err(error) if !is_away(&error) && !is_full(&error) => return Err(CommitError::Failed(error)),
                Err(error) if began.elapsed() > INQUIRY => return Err(CommitError::Unreachable(error)),
                Err(_) => threads::sleep(INQUIRY_PAUSE),
            }
        }
    }

    fn advance(&mut self, append: &Append) {
        self.known = HeadRow {
            head: append.to,
            link: self.known.link.after(append.hash),
        };
    }
}

impl Journal for PostgresJournal {
    fn look_every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    fn missed(&mut self, size: u64, turn: Turn) -> Result<Vec<Batch>, CommitError> {
        if size != self.known.head.size {
            let message = "the log and its journal are not at the same entry";
            return Err(CommitError::Failed(io::Error::other(message)));
        }
        let looked = match turn {
            Turn::Look => self.look(),
            Turn::Take => self.take(),
        };
        let followed = looked.and_then(|(found, batches)| {
            self.follow(&found, &batches)?;
            Ok(batches)
        });
        followed.map_err(|error| {
            self.end_turn();
            not_written(error)
        })
    }

    fn commit(
        &mut self,
        buffer: &mut RecordBuffer,
        from: &Head,
        to: &Head,
    ) -> Result<Committed, CommitError> {
        // Without the turn there was more to follow.
        let connected = self.turn.take().ok_or(CommitError::Behind)?;
        let Link {
            log_id,
            number,
            previous,
        } = self.known.link;
        let header = Header {
            kind: Kind::Batch,
            chain: Chain {
                log_id,
                epoch: 0,
                incarnation: self.incarnation,
                number,
                previous,
            },
            first_index: from.size,
            previous_root: from.root,
            head: *to,
        };
        let (record, hash) = buffer.seal_compact(&header);
        let append = Arc::new(Append {
            log_id,
            from: *from,
            to: *to,
            hash,
            record: record.to_vec(),
        });
        let sent = Arc::clone(&append);
        let answer = self
            .session
            .wait(async move { Ok(send(&connected, &sent).await) });
        let answer = answer.unwrap_or_else(Answer::Unknown);
        if !matches!(answer, Answer::Committed | Answer::Moved) {
            self.session.give_up();
        }
        match answer {
            Answer::Committed => {}
            Answer::Refused(error) => return Err(not_written(error)),
            Answer::Moved => return Err(CommitError::Behind),
            Answer::Unsure(error) => return Err(CommitError::Unreachable(error)),
            Answer::Unknown(error) => {
                tracing::warn!(%error, "a commit was not answered; looking for the batch");
                if self.inquire(&append)? == Fate::Absent {
                    return Err(CommitError::Behind);
                }
            }
        }
        self.advance(&append);
        Ok(Committed::after_sync(from, to))
    }

    fn pass(&mut self) {
        let Some(connected) = self.turn.take() else {
            return;
        };
        let ended = self.session.wait(async move {
            let rollback = connected.client.batch_execute("ROLLBACK");
            rollback.await.map_err(fault)
        });
        if ended.is_err() {
            self.session.give_up();
        }
    }

    fn newest_checkpoint(&self) -> Option<UnixMillis> {
        self.newest
    }
}

/// What the database said to a batch.
enum Answer {
    Committed,
    /// Nothing was written.
    Refused(io::Error),
    /// Nothing was written: there is a newer checkpoint, or the head was not where the lock should have kept it.
    Moved,
    /// Committed, but perhaps not on its standby.
    Unsure(io::Error),
    /// Nothing.
    Unknown(io::Error),
}

/// Sends the batch and its commit together: one round trip.
async fn send(connected: &Connected, append: &Append) -> Answer {
    let parts = || {
        Ok((
            bigint(append.from.size)?,
            bigint(append.to.size)?,
            bigint(append.to.timestamp.get())?,
        ))
    };
    let (first, size, timestamp) = match parts() {
        Ok(parts) => parts,
        Err(error) => return Answer::Refused(error),
    };
    let id = append.log_id.as_bytes().as_slice();
    let (from_root, to_root) = (append.from.root, append.to.root);
    let (from_root, to_root) = (from_root.as_bytes().as_slice(), to_root.as_bytes().as_slice());
    let (hash, record) = (append.hash.as_slice(), append.record.as_slice());
    connected.forget_warnings();
    let client = &connected.client;
    let parameters: [Parameter<'_>; 8] = [
        (&id, Type::BYTEA),
        (&first, Type::INT8),
        (&size, Type::INT8),
        (&to_root, Type::BYTEA),
        (&timestamp, Type::INT8),
        (&hash, Type::BYTEA),
        (&from_root, Type::BYTEA),
        (&record, Type::BYTEA),
    ];
    let (inserted, committed) = tokio::join!(
        biased;
        client.execute_typed(APPEND, &parameters),
        client.batch_execute("COMMIT")
    );
    match (inserted, committed) {
        // The server ends a transaction with a failed statement by rolling it back.
        (Err(error), _) if is_refusal(&error) => Answer::Refused(fault(error)),
        (Err(error), _) | (Ok(_), Err(error)) => Answer::Unknown(fault(error)),
        (Ok(1), Ok(())) if connected.was_warned() => {
            Answer::Unsure(Away::error("a commit did not wait for its standby"))
        }
        (Ok(1), Ok(())) => Answer::Committed,
        (Ok(_), Ok(())) => Answer::Moved,
    }
}

/// The head, and the hash of the batch that begins with the entry `first`. The lock is had only after the transaction that the
/// question is about has ended; and the commit of this one says that everything before it is on the standby too.
async fn fate(connected: &Connected, log_id: LogId, first: u64) -> io::Result<(HeadRow, Option<[u8; 32]>)> {
    let client = &connected.client;
    let (id, first) = (log_id.as_bytes().as_slice(), bigint(first)?);
    client
        .batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        .await
        .map_err(fault)?;
    let head = lock_head(client, log_id).await?;
    let row = client
        .query_typed_opt(HASH, &[(&id, Type::BYTEA), (&first, Type::INT8)])
        .await
        .map_err(fault)?;
    client.batch_execute("COMMIT").await.map_err(fault)?;
    let hash = row.map(|row| bytes32(&row, 0)).transpose()?;
    Ok((head, hash))
}

/// At one size there is one tree.
fn check_same(known: &HeadRow, found: &HeadRow) -> io::Result<()> {
    if known.head.size == found.head.size && known != found {
        return Err(lost(&known.head, found));
    }
    Ok(())
}

fn lost(known: &Head, found: &HeadRow) -> io::Error {
    io::Error::other(format!(
        "the database does not go on from the {} entries that this replica has seen; it says {}. If it was restored or failed over, \
         entries were lost",
        known.size, found.head.size
    ))
}
