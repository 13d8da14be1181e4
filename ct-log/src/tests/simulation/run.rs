//! One run: the log is born, has a time of faults, and then a time of rest in which everything must come right.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::storage::OpenError;
use crate::threads::schedule::{self, Ended, TaskId, note, random};

use super::ground::Ground;
use super::history::Violation;
use super::plan::{Event, Place, Plan, one_of, up_to};
use super::reading::{has_issuers, stores_tiles, verify};
use super::world::{SimulatedClock, World, true_time};
use super::writer::supervise;

/// Steps of a clock, in milliseconds.
const STEPS: [i64; 11] = [
    -1_000, -1_900, -3_000, -10_000, -70_000, -3_600_000, 500, 1_900, 5_000, 70_000, 660_000,
];

/// How long after the last fault every writer must take entries again.
const REST: Duration = Duration::from_secs(180);

/// How long what a writer asked for before it was killed may take to happen.
const LONGEST_STORE: Duration = Duration::from_secs(30);

/// How often the log is opened again at the end if its storage does not answer.
const CHECK_ATTEMPTS: usize = 5;

/// What is broken on purpose, in tests of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// A bucket looks at no conditions, once it has passed the self-test.
    Conditions,
    /// A database or disk loses in a crash what it acknowledged.
    Durability,
}

/// What came out of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) violations: BTreeMap<Violation, String>,
    pub(super) trace: Vec<String>,
    pub(super) steps: u64,
    /// SCTs that clients hold at the end.
    pub(super) scts: usize,
}

/// Runs that seed. `scratch` has a directory for each machine.
pub(super) fn run(seed: u64, place: Place, scratch: &[PathBuf], (broken, traced): (Broken, bool)) -> Report {
    let found = Arc::new(Mutex::new((BTreeMap::new(), 0)));
    let directories = scratch.to_vec();
    for directory in &directories {
        for file in ["high-water.json", "mark", "mark.acknowledged"] {
            let _ = std::fs::remove_file(directory.join(file));
        }
    }
    let result = Arc::clone(&found);
    let ended: Ended = schedule::run(seed, traced, move || {
        let plan = Plan::draw(place);
        note(|| format!("{plan:?}"));
        let world = Arc::new(World::new(plan, directories));
        live_and_rest(&world, broken);
        let mut history = world.history.lock().unwrap();
        let violations = std::mem::take(&mut history.violations);
        *result.lock().unwrap() = (violations, history.held.len());
    });
    let (mut violations, scts) = std::mem::take(&mut *found.lock().unwrap());
    if let Some(problem) = ended.problem {
        violations.insert(Violation::Panicked, problem);
    }
    Report {
        violations,
        trace: ended.trace,
        steps: ended.steps,
        scts,
    }
}

fn live_and_rest(world: &Arc<World>, broken: Broken) {
    let mut ground = Ground::new(world);
    ground.create(&world.machines[0].directory).unwrap();
    world.calm.store(false, Ordering::SeqCst);
    ground.break_down(broken);
    let supervisors: Vec<TaskId> = (0..world.plan.writers)
        .map(|machine| {
            let (world, ground) = (Arc::clone(world), ground.clone());
            schedule::start("supervisor", move || supervise(&world, &ground, machine))
        })
        .collect();
    let mut moments: Vec<_> = world
        .plan
        .events
        .iter()
        .map(|event| (up_to(world.plan.duration), *event))
        .collect();
    moments.sort_by_key(|(at, _)| *at);
    let begin = schedule::now().unwrap();
    for (at, event) in moments {
        schedule::sleep((begin + at).saturating_sub(schedule::now().unwrap()));
        happen(world, &ground, event);
    }
    schedule::sleep((begin + world.plan.duration).saturating_sub(schedule::now().unwrap()));
    rest(world, &ground);
    world.over.store(true, Ordering::SeqCst);
    supervisors.into_iter().for_each(schedule::join);
    check(world, &ground);
}

fn happen(world: &Arc<World>, ground: &Ground, event: Event) {
    note(|| format!("EVENT {event:?}"));
    let machine = &world.machines[random(world.plan.writers as u64) as usize];
    let after = |delay: Duration, act: Box<dyn FnOnce() + Send>| {
        let world = Arc::clone(world);
        schedule::start("later", move || {
            schedule::sleep(delay);
            if !world.is_calm() {
                act();
            }
        });
    };
    match (event, ground.clone()) {
        (Event::Kill, _) => machine.kill(),
        (Event::Pause, _) => {
            if let Some(process) = *machine.process.lock().unwrap() {
                schedule::pause(process, up_to(Duration::from_secs(20)));
            }
        }
        (Event::Restart, _) => machine.asked_to_stop.store(true, Ordering::SeqCst),
        (Event::Clock, _) => {
            let step = one_of(&STEPS);
            note(|| format!("the clock is set by {step} ms"));
            machine.offset.fetch_add(step, Ordering::SeqCst);
            machine.was_ahead.fetch_or(step > 0, Ordering::SeqCst);
        }
        (Event::PowerCut, Ground::Directory { files, .. }) => {
            machine.kill();
            files.model.lose_power(random(u64::MAX));
        }
        (Event::PowerCut, Ground::Database(database) | Ground::Both { database, .. }) => database.crash(),
        (Event::Away, ground) => {
            ground.set_away(true);
            let back = move || ground.set_away(false);
            after(up_to(Duration::from_secs(25)), Box::new(back));
        }
        (Event::Full, ground) => {
            ground.set_full(true);
            let free = move || ground.set_full(false);
            after(up_to(Duration::from_secs(5)), Box::new(free));
        }
        (Event::Asynchronous, Ground::Database(database) | Ground::Both { database, .. }) => {
            database.set_asynchronous(true);
            let crash = database.clone();
            after(up_to(Duration::from_secs(4)), Box::new(move || crash.crash()));
            let reload = move || database.set_asynchronous(false);
            after(up_to(Duration::from_secs(8)), Box::new(reload));
        }
        (Event::Restored, Ground::Database(database)) => {
            let loses = database.restore();
            world.saw(|history| history.storage_lost |= loses);
        }
        (Event::OlderCopy, Ground::Directory { files, mark: Some(_) }) => {
            let (world, ground) = (Arc::clone(world), ground.clone());
            let copy = files.model.copy();
            after(
                up_to(Duration::from_secs(5)),
                Box::new(move || start_copy(&world, &ground, copy)),
            );
        }
        _ => {}
    }
}

/// An older copy of the directory must not start beside the mark of the newer one (C15).
fn start_copy(world: &Arc<World>, ground: &Ground, copy: crate::tests::model::Model) {
    let Ground::Directory { files, mark } = ground else {
        return;
    };
    let open = |mark: &Option<PathBuf>, model| {
        let ground = Ground::Directory {
            files: super::files::SimulatedFiles {
                model,
                ..files.unseen()
            },
            mark: mark.clone(),
        };
        let clock = SimulatedClock {
            world: Arc::clone(world),
            machine: 0,
        };
        ground.open(clock, &world.machines[0].directory)
    };
    let Ok(held) = open(&None, copy.copy()).map(|log| log.size()) else {
        return;
    };
    let Some(newest) = world
        .saw(|history| history.newest())
        .filter(|newest| newest.size > held)
    else {
        return;
    };
    if let Ok(log) = open(mark, copy) {
        let how = format!("{} entries started beside a mark of {}", log.size(), newest.size);
        world.saw(|history| history.violated(Violation::OlderCopy, how));
    }
}

/// No faults any more, and the right time on every machine.
fn rest(world: &Arc<World>, ground: &Ground) {
    note(|| "REST".to_owned());
    ground.heal();
    // What a writer whose clock was ahead is about to store may have that clock's time.
    let mut any_ahead = false;
    for machine in &world.machines {
        if machine.was_ahead.load(Ordering::SeqCst) {
            any_ahead = true;
            machine.kill();
            machine.offset.store(0, Ordering::SeqCst);
        }
    }
    if any_ahead {
        schedule::sleep(LONGEST_STORE);
    }
    let newest = match any_ahead {
        // Also of an entry whose SCT never left.
        true => world.latest_told.load(Ordering::SeqCst),
        false => 0,
    };
    let newest = world.saw(|history| {
        let entries = history.held.iter().map(|held| held.sct.timestamp().get());
        let checkpoints = history.checkpoints.iter().map(|seen| seen.timestamp);
        entries.chain(checkpoints).fold(newest, u64::max)
    });
    let ahead = newest.saturating_sub(true_time());
    for machine in &world.machines {
        // Time that was given out too early has to come first. A restart tells that the clock is right.
        if ahead > 0 {
            machine.kill();
        }
        machine.offset.store(ahead as i64 + 1, Ordering::SeqCst);
    }
    world.calm.store(true, Ordering::SeqCst);
    let held = world.saw(|history| history.held.len());
    let rest = match world.saw(|history| history.storage_lost) {
        // Most writers have ended for good.
        true => REST / 10,
        false => REST,
    };
    let until = schedule::now().unwrap() + rest;
    while schedule::now().unwrap() < until {
        let content = |machine: usize| {
            let logged = |history: &mut super::history::History| {
                history.held[held..].iter().any(|held| held.writer == machine)
            };
            world.machines[machine].retired.load(Ordering::SeqCst) || world.saw(logged)
        };
        if (0..world.plan.writers).all(content) {
            return;
        }
        schedule::sleep(Duration::from_millis(250));
    }
    world.saw(|history| {
        if !history.storage_lost {
            history.violated(
                Violation::Stuck,
                format!("not every writer logs an entry within {REST:?}"),
            );
        }
    });
}

/// Opens the log once more, as a writer that never saw it, and compares it with all that was seen.
fn check(world: &Arc<World>, ground: &Ground) {
    note(|| "CHECK".to_owned());
    let last = world.plan.writers;
    let open = || {
        let clock = SimulatedClock {
            world: Arc::clone(world),
            machine: last,
        };
        ground.open(clock, &world.machines[last].directory)
    };
    let mut opened = open();
    // The last fault may have ended a connection a moment ago.
    for _ in 0..CHECK_ATTEMPTS {
        if !matches!(&opened, Err(OpenError::Io { .. })) {
            break;
        }
        schedule::sleep(Duration::from_secs(5));
        opened = open();
    }
    let log = match opened {
        Ok(log) => log,
        Err(error) => {
            world.saw(|history| {
                if !history.storage_lost {
                    history.violated(Violation::Refused, format!("at the end: {error:?}"));
                }
            });
            return;
        }
    };
    match verify(&log) {
        Ok(entries) => {
            let issuers = has_issuers(&log, &entries).is_ok_and(|there| there);
            let tiles = stores_tiles(&log).is_ok_and(|there| there);
            world.saw(|history| {
                history.compare(&entries);
                if !issuers && !history.storage_lost {
                    history.violated(Violation::NoIssuer, "at the end".to_owned());
                }
                if !tiles && !history.storage_lost {
                    history.violated(Violation::Unreadable, "a tile is not stored".to_owned());
                }
            });
        }
        Err(trouble) => {
            world.saw(|history| history.violated(Violation::Unreadable, format!("at the end: {trouble:?}")));
        }
    }
}

impl Ground {
    fn break_down(&mut self, broken: Broken) {
        match (self, broken) {
            (Ground::Bucket { bucket, .. }, Broken::Conditions) => bucket.forgets_conditions = true,
            (Ground::Database(database), Broken::Durability) => database.forgets = true,
            (Ground::Directory { files, .. }, Broken::Durability) => files.forgets = true,
            _ => {}
        }
    }
}
