//! A writer's connection to the server, and what becomes of the statements on their way.

use std::sync::Mutex;
use std::time::Duration;

use crate::storage::{Answer, Connection, Refusal, Server, Value};
use crate::threads::schedule::{self, note, random};

use super::super::plan::{one_of, up_to};
use super::{Fate, Session, SimulatedDatabase, TEMPORARY, USUAL};

struct SimulatedConnection {
    database: SimulatedDatabase,
    id: u64,
    closed: Mutex<bool>,
}

impl Server for SimulatedDatabase {
    fn connect(&self) -> Result<Box<dyn Connection>, Refusal> {
        let fate = self.fate("");
        if fate != Fate::Answered {
            return Err(Refusal::Closed);
        }
        let mut state = self.state();
        state.sessions_made += 1;
        let id = state.sessions_made;
        state.sessions.insert(id, Session::default());
        Ok(Box::new(SimulatedConnection {
            database: self.clone(),
            id,
            closed: Mutex::new(false),
        }))
    }
}

impl SimulatedConnection {
    /// The client hears no more. The server notices at once, or when the session was idle for long.
    fn close(&self) {
        let mut closed = self.closed.lock().unwrap();
        if *closed {
            return;
        }
        *closed = true;
        let mut state = self.database.state();
        let notices = random(3) > 0;
        match state.sessions.get_mut(&self.id) {
            Some(session) if session.late || (session.in_transaction && !notices) => {
                session.client_gone = true;
            }
            Some(_) => state.end(self.id),
            None => {}
        }
    }

    fn run_late(&self, statement: &str) {
        let (database, id, statement) = (self.database.clone(), self.id, statement.to_owned());
        if let Some(session) = database.state().sessions.get_mut(&id) {
            session.late = true;
        }
        schedule::start_in(schedule::MAIN, "late statement", move || {
            schedule::sleep(up_to(Duration::from_secs(15)));
            let done = database.execute(id, &statement, &[]);
            note(|| format!("late {statement} of session {id}: {}", outcome(&done)));
            let mut state = database.state();
            if let Some(session) = state.sessions.get_mut(&id) {
                session.late = false;
                if session.client_gone {
                    state.end(id);
                }
            }
        });
    }
}

fn outcome(answer: &Result<Answer, Refusal>) -> String {
    match answer {
        Ok(answer) => format!("{} rows, {} changed", answer.rows.len(), answer.changed),
        Err(refusal) => format!("{refusal:?}"),
    }
}

impl Connection for SimulatedConnection {
    fn run(&self, statement: &str, parameters: &[Value]) -> Option<Result<Answer, Refusal>> {
        if self.is_closed() {
            return Some(Err(Refusal::Closed));
        }
        let fate = self.database.fate(statement);
        let execute = || self.database.execute(self.id, statement, parameters);
        let answer = match fate {
            Fate::Answered => Some(execute()),
            Fate::Lost => Some(Err(Refusal::Closed)),
            Fate::AnswerLost => {
                let _ = execute();
                Some(Err(Refusal::Closed))
            }
            Fate::Unanswered => {
                let _ = execute();
                None
            }
            Fate::Unheard => None,
            Fate::Refused => {
                self.database.state().fail(self.id);
                Some(Err(Refusal::Code(one_of(&TEMPORARY))))
            }
            Fate::Late => {
                self.run_late(statement);
                None
            }
        };
        note(|| {
            let text: String = statement.split_whitespace().take(5).collect::<Vec<_>>().join(" ");
            let outcome = answer.as_ref().map(outcome).unwrap_or_default();
            format!("session {}: {text}: {fate:?} {outcome}", self.id)
        });
        if matches!(answer, Some(Err(Refusal::Closed))) {
            self.close();
        }
        self.database.world.delay(USUAL / 2);
        answer
    }

    fn is_closed(&self) -> bool {
        *self.closed.lock().unwrap()
    }
}

impl Drop for SimulatedConnection {
    fn drop(&mut self) {
        if schedule::is_simulated() {
            self.close();
        }
    }
}
