//! A database server as the manual of PostgreSQL describes it, as far as a log uses it: transactions, the lock of a row, sessions
//! and their settings, what a crash leaves. It knows the statements of the log by their text.

mod connection;
mod statements;
mod tables;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::storage::{Answer, Refusal, Value};
use crate::threads::schedule::{self, note, random};

use super::plan::{Event, up_to};
use super::world::World;
use tables::{Tables, Write};

/// How long a statement takes at most on its way, as a rule.
const USUAL: Duration = Duration::from_millis(6);

/// `lock_timeout` and `idle_in_transaction_session_timeout`, which the log sets.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a commit that was not synced may stay in memory: three times `wal_writer_delay`.
const UNSYNCED: Duration = Duration::from_millis(600);

/// Errors that say nothing against the statement: serialisation, no space, shut down, cancelled.
const TEMPORARY: [&str; 5] = ["40001", "53100", "53300", "57P01", "57014"];

/// The server, which all writers share. Each has a way of its own to it.
#[derive(Clone)]
pub(super) struct SimulatedDatabase {
    pub(super) world: Arc<World>,
    state: Arc<Mutex<State>>,
    /// For a test of the simulation: what is acknowledged is lost in a crash, whatever the session says.
    pub(super) forgets: bool,
}

#[derive(Default)]
struct State {
    tables: Tables,
    /// The tables before each commit that may not be synced yet, and when that was.
    unsynced: VecDeque<(Duration, Tables)>,
    /// The tables after each commit, if a run puts them back.
    history: Vec<Tables>,
    sessions: BTreeMap<u64, Session>,
    sessions_made: u64,
    /// The session that has the row of the head locked.
    lock: Option<u64>,
    /// Not before that time does the server answer again.
    down_until: Duration,
    away: bool,
    /// `synchronous_commit` as of the configuration file.
    asynchronous: bool,
}

#[derive(Default)]
struct Session {
    in_transaction: bool,
    failed: bool,
    writes: Vec<Write>,
    /// The session's own setting, if there is one.
    synchronous_commit: Option<bool>,
    last: Duration,
    /// A statement is on its way although the client is gone.
    late: bool,
    client_gone: bool,
}

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// The connection breaks before it arrives.
    Lost,
    /// The connection breaks after it.
    AnswerLost,
    /// There is never an answer, with or without effect.
    Unanswered,
    Unheard,
    /// The server refuses it.
    Refused,
    /// There is no answer, and it is executed later.
    Late,
}

impl SimulatedDatabase {
    pub(super) fn new(world: &Arc<World>) -> SimulatedDatabase {
        SimulatedDatabase {
            world: Arc::clone(world),
            state: Arc::default(),
            forgets: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn set_away(&self, away: bool) {
        self.state().away = away;
    }

    /// Somebody writes the setting into the configuration file and has it reloaded.
    pub(super) fn set_asynchronous(&self, asynchronous: bool) {
        note(|| format!("synchronous_commit = {}", if asynchronous { "off" } else { "on" }));
        self.state().asynchronous = asynchronous;
    }

    /// The server crashes, and starts again soon.
    pub(super) fn crash(&self) {
        let now = schedule::now().unwrap();
        let kept = now.saturating_sub(up_to(UNSYNCED));
        let mut state = self.state();
        let lost = state.unsynced.iter().position(|(at, _)| *at >= kept);
        if let Some((_, tables)) = lost.and_then(|first| state.unsynced.remove(first)) {
            let sizes = (state.tables.size(), tables.size());
            note(|| format!("the crash loses commits: {} entries, then {}", sizes.0, sizes.1));
            state.tables = tables;
        }
        state.stop(now);
        note(|| "the server of the database has crashed".to_owned());
    }

    /// Puts the tables back to what they were at some time before. True if entries, tiles or issuers are lost by that.
    pub(super) fn restore(&self) -> bool {
        let now = schedule::now().unwrap();
        let mut state = self.state();
        if state.history.is_empty() {
            return false;
        }
        let at = random(state.history.len() as u64) as usize;
        // What came later is gone for good.
        state.history.truncate(at + 1);
        let tables = state.history[at].clone();
        let loses = tables.size() < state.tables.size() || tables.objects.len() < state.tables.objects.len();
        state.tables = tables;
        state.stop(now);
        note(|| format!("the database is put back to {} entries", state.tables.size()));
        let checkpoint = state.tables.note().unwrap_or_default();
        drop(state);
        self.world
            .saw(|history| history.put_back(&String::from_utf8_lossy(&checkpoint)));
        loses
    }

    fn fate(&self, statement: &str) -> Fate {
        self.world.delay(USUAL);
        {
            let state = self.state();
            if state.away || state.down_until > schedule::now().unwrap() {
                return Fate::Lost;
            }
        }
        if !self.world.fails() {
            return Fate::Answered;
        }
        let fate = [
            Fate::Lost,
            Fate::AnswerLost,
            Fate::Unanswered,
            Fate::Unheard,
            Fate::Refused,
            Fate::Late,
        ][random(6) as usize];
        match fate {
            Fate::Late if statement != "COMMIT" => Fate::Lost,
            fate => fate,
        }
    }

    /// Executes it as soon as it can be.
    fn execute(&self, id: u64, statement: &str, parameters: &[Value]) -> Result<Answer, Refusal> {
        let began = schedule::now().unwrap();
        let shares = statement.contains("FOR SHARE");
        let seen = shares.then(|| self.state().tables.clone());
        loop {
            let now = schedule::now().unwrap();
            let mut state = self.state();
            state.end_idle(now);
            let Some(session) = state.sessions.get_mut(&id) else {
                return Err(Refusal::Closed);
            };
            session.last = now;
            if session.failed && !matches!(statement, "COMMIT" | "ROLLBACK") {
                return Err(Refusal::Code("25P02"));
            }
            let locks = statement.ends_with("FOR UPDATE");
            if (locks || shares) && state.lock.is_some_and(|holder| holder != id) {
                drop(state);
                if now.saturating_sub(began) > LOCK_TIMEOUT {
                    let mut state = self.state();
                    state.fail(id);
                    return Err(Refusal::Code("55P03"));
                }
                schedule::sleep(Duration::from_millis(20));
                continue;
            }
            if locks && state.sessions[&id].in_transaction {
                state.lock = Some(id);
            }
            let published = state.tables.note();
            let answer = statements::execute(&mut state, id, statement, parameters, seen.as_ref());
            if statements::ends_transaction(statement) || !state.sessions[&id].in_transaction {
                self.commit(&mut state, id, now);
            }
            let note = state.tables.note();
            drop(state);
            if note != published {
                let text = note.unwrap_or_default();
                self.world
                    .saw(|history| history.published(&String::from_utf8_lossy(&text)));
            }
            return answer;
        }
    }

    fn commit(&self, state: &mut State, id: u64, now: Duration) {
        let session = state.sessions.get_mut(&id).unwrap();
        let writes = std::mem::take(&mut session.writes);
        let synchronous = session.synchronous_commit.unwrap_or(!state.asynchronous);
        if state.lock == Some(id) && !session.in_transaction {
            state.lock = None;
        }
        if writes.is_empty() {
            return;
        }
        if synchronous && !self.forgets {
            state.unsynced.clear();
        } else {
            let before = state.tables.clone();
            state.unsynced.push_back((now, before));
        }
        for write in writes {
            write(&mut state.tables);
        }
        let plan = &self.world.plan;
        if plan.events.contains(&Event::Restored) {
            let tables = state.tables.clone();
            state.history.push(tables);
        }
    }
}

impl State {
    /// All connections end.
    fn stop(&mut self, now: Duration) {
        self.unsynced.clear();
        self.sessions.clear();
        self.lock = None;
        self.down_until = now + up_to(Duration::from_secs(5));
    }

    fn fail(&mut self, id: u64) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.failed = session.in_transaction;
            session.writes.clear();
        }
    }

    /// Rolls its transaction back.
    fn end(&mut self, id: u64) {
        self.sessions.remove(&id);
        if self.lock == Some(id) {
            self.lock = None;
        }
    }

    fn end_idle(&mut self, now: Duration) {
        let idle =
            |session: &Session| session.in_transaction && now.saturating_sub(session.last) > IDLE_TIMEOUT;
        let ended: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| idle(session))
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            note(|| format!("session {id} was idle in its transaction and is ended"));
            self.end(id);
        }
    }
}
