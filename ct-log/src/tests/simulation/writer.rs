//! A writer: a machine whose process starts again whenever it ends, with clients that submit entries to it.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::failure::WriteFailure;
use crate::leaf::{Entry, PendingEntry};
use crate::log::Log;
use crate::pool::Waiting;
use crate::reach::is_away;
use crate::sct::Sct;
use crate::storage::{OpenError, is_full};
use crate::submission::{SubmitError, Submitter};
use crate::tests::support::ISSUER;
use crate::threads::schedule::{self, block_on, note, random};

use super::ground::Ground;
use super::history::{Held, Violation};
use super::plan::{Event, Place, up_to};
use super::reading::{Trouble, verify};
use super::world::{SimulatedClock, World};

/// How often a process looks whether it is to end.
const TICK: Duration = Duration::from_millis(150);

/// Entries of a client while there are faults.
const ENTRIES: u64 = 7;

/// One process of a writer.
#[derive(Clone)]
struct Life {
    world: Arc<World>,
    log: Log,
    machine: usize,
    stopping: Arc<AtomicBool>,
    born: Duration,
    /// SCTs of external submissions, by number of the entry.
    given: Arc<Mutex<BTreeMap<u64, Sct>>>,
    numbers: Arc<AtomicU64>,
}

/// Runs one process after the other, until the run is over.
pub(super) fn supervise(world: &Arc<World>, ground: &Ground, machine: usize) {
    let this = &world.machines[machine];
    while !world.is_over() && !this.retired.load(Ordering::SeqCst) {
        let process = schedule::new_process();
        *this.process.lock().unwrap() = Some(process);
        this.asked_to_stop.store(false, Ordering::SeqCst);
        let life = {
            let (world, ground) = (Arc::clone(world), ground.clone());
            move || live(&world, &ground, machine)
        };
        schedule::join(schedule::start_in(process, "process", life));
        this.process.lock().unwrap().take();
        schedule::kill(process);
        schedule::sleep(Duration::from_millis(50) + up_to(Duration::from_secs(2)));
    }
}

fn live(world: &Arc<World>, ground: &Ground, machine: usize) {
    let this = &world.machines[machine];
    let clock = SimulatedClock {
        world: Arc::clone(world),
        machine,
    };
    let log = match ground.open(clock, &this.directory) {
        Ok(log) => log,
        Err(error) => return refused(world, machine, &error),
    };
    note(|| format!("writer {machine} has started with {} entries", log.size()));
    if this.saw_loss.load(Ordering::SeqCst) {
        let how = format!("writer {machine} started with {} entries", log.size());
        world.saw(|history| history.violated(Violation::StartedAfterLoss, how));
    }
    let life = Life {
        world: Arc::clone(world),
        log,
        machine,
        stopping: Arc::default(),
        born: schedule::now().unwrap(),
        given: Arc::default(),
        numbers: Arc::default(),
    };
    life.log_bulk();
    let clients: Vec<_> = (0..world.plan.clients)
        .map(|number| {
            let life = life.clone();
            schedule::start("client", move || life.submit_entries(number))
        })
        .collect();
    while !this.asked_to_stop.load(Ordering::SeqCst) && !world.is_over() {
        if let Some(failure) = life.log.shared().failure.get() {
            return ended(world, machine, &failure);
        }
        if random(25) == 0 {
            life.look();
        }
        schedule::sleep(TICK);
    }
    life.stopping.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(schedule::join);
    note(|| format!("writer {machine} ends in order"));
    drop(life);
}

/// The whole error, with its causes.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn refused(world: &World, machine: usize, error: &OpenError) {
    note(|| format!("writer {machine} does not start: {}", text(error)));
    let lost = world.saw(|history| history.storage_lost);
    let with_cause = match error {
        OpenError::Io { source, .. } => source.kind() != io::ErrorKind::InvalidData || lost,
        OpenError::ClockBehind { .. } => world.plan.events.contains(&Event::Clock),
        OpenError::RolledBack { .. } | OpenError::Corrupt { .. } => lost,
        _ => false,
    };
    if lost && !matches!(error, OpenError::Io { .. } | OpenError::ClockBehind { .. }) {
        world.machines[machine].retired.store(true, Ordering::SeqCst);
    }
    if !with_cause {
        let how = format!("writer {machine}: {}", text(error));
        world.saw(|history| history.violated(Violation::Refused, how));
    }
}

fn ended(world: &World, machine: usize, failure: &WriteFailure) {
    let why = text(failure);
    note(|| format!("writer {machine} has failed: {why}"));
    let with_cause = match world.plan.place {
        Place::Directory => why.contains("injected"),
        Place::Database | Place::Bucket | Place::Both => {
            let lost = world.saw(|history| history.storage_lost);
            if lost {
                world.machines[machine].saw_loss.store(true, Ordering::SeqCst);
            }
            lost
        }
    };
    if !with_cause {
        let how = format!(
            "writer {machine}: {why}, {:?}",
            failure.source().map(ToString::to_string)
        );
        world.saw(|history| history.violated(Violation::Ended, how));
    }
}

impl Life {
    /// Entries whose submitters go away: the tree grows by them all the same.
    fn log_bulk(&self) {
        let bulk = self.world.plan.bulk;
        if bulk == 0 || self.log.size() >= bulk || self.machine > 0 {
            return;
        }
        let Ok(issuers) = self.log.store_issuers(&[ISSUER]) else {
            return;
        };
        for _ in self.log.size()..bulk {
            let (entry, _) = self.entry(issuers.clone());
            let (answer, _) = oneshot::channel();
            let waiting = Waiting {
                entry: Arc::new(entry),
                from: Submitter::Internal,
                answer,
            };
            let _ = self.log.shared().pool.push(waiting);
        }
    }

    fn entry(&self, issuers: crate::issuers::IssuerChain) -> (PendingEntry, u64) {
        let number = self.world.entries.fetch_add(1, Ordering::SeqCst);
        let der = format!("entry {number} of writer {}", self.machine).into_bytes();
        (PendingEntry::certificate(der, issuers), number)
    }

    fn submit_entries(&self, number: usize) {
        let external = number > 0 && self.world.plan.clients > 2;
        let mut left = ENTRIES;
        let mut content = false;
        while !self.stopping.load(Ordering::SeqCst) && !content {
            if left == 0 && !self.world.is_calm() {
                schedule::sleep(Duration::from_secs(1));
                continue;
            }
            let calm = self.world.is_calm();
            let logged = match external {
                true => self.submit_external(),
                false => self.submit_internal(),
            };
            left = left.saturating_sub(1);
            content = logged && calm;
            schedule::sleep(up_to(self.world.plan.pause));
        }
    }

    fn submit_internal(&self) -> bool {
        let Ok(issuers) = self.log.store_issuers(&[ISSUER]) else {
            return false;
        };
        let (pending, _) = self.entry(issuers);
        self.submit(pending, Submitter::Internal).is_ok()
    }

    /// Submits what was submitted before, too, maybe at the same time (C11).
    fn submit_external(&self) -> bool {
        let Ok(issuers) = self.log.store_issuers(&[ISSUER]) else {
            return false;
        };
        let number = match random(2) {
            0 => self.numbers.load(Ordering::SeqCst),
            _ => self.numbers.fetch_add(1, Ordering::SeqCst),
        };
        let (machine, born) = (self.machine, self.born);
        let der = format!("external entry {number} of writer {machine} since {born:?}");
        let pending = PendingEntry::certificate(der.into_bytes(), issuers);
        let Ok(sct) = self.submit(pending, Submitter::External) else {
            return false;
        };
        let earlier = self.given.lock().unwrap().insert(number, sct.clone());
        if earlier.is_some_and(|earlier| earlier != sct) {
            let how = format!("external entry {number} of writer {} has two SCTs", self.machine);
            self.world
                .saw(|history| history.violated(Violation::Duplicate, how));
        }
        true
    }

    fn submit(&self, pending: PendingEntry, from: Submitter) -> Result<Sct, SubmitError> {
        let entry: Entry = pending.entry().clone();
        let newest = self.world.saw(|history| history.newest());
        let answer = block_on(self.log.submit(pending, from));
        match &answer {
            Ok(sct) => {
                let held = Held {
                    writer: self.machine,
                    entry,
                    sct: sct.clone(),
                    after_loss: self.world.machines[self.machine].saw_loss.load(Ordering::SeqCst),
                };
                self.world.saw(|history| history.holds(held, newest, from));
            }
            Err(error) => note(|| format!("no SCT: {error}")),
        }
        answer
    }

    /// Reads what is published, as readers do. That it cannot be read now says nothing: a server without space refuses reads too.
    fn look(&self) {
        match verify(&self.log) {
            Ok(_) => {}
            Err(Trouble::Io(error))
                if is_away(&error) || is_full(&error) || error.to_string().contains("injected") => {}
            Err(trouble) => {
                let how = format!("writer {}: {trouble:?}", self.machine);
                self.world.saw(|history| {
                    if !history.storage_lost {
                        history.violated(Violation::Unreadable, how);
                    }
                });
            }
        }
    }
}
