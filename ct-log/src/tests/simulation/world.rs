//! What all parts of a run share: the plan, the clocks, the storage, and what the clients saw.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::leaf::UnixMillis;
use crate::threads::schedule::{self, ProcessId, note};

use super::history::{History, MERGE_DELAY};
use super::plan::{Event, Place, Plan, by_chance, one_of, up_to};

/// The time at the beginning of a run, in milliseconds since 1970.
const BEGIN: u64 = 1_795_000_000_000;

/// A writer's machine.
pub(super) struct Machine {
    /// How far its clock is from the time, in milliseconds.
    pub(super) offset: AtomicI64,
    /// Its clock was set ahead at some time.
    pub(super) was_ahead: AtomicBool,
    /// What it remembers outside of the storage.
    pub(super) directory: PathBuf,
    pub(super) process: Mutex<Option<ProcessId>>,
    /// The process is to end in order.
    pub(super) asked_to_stop: AtomicBool,
    /// It noticed that the storage had lost what it acknowledged.
    pub(super) saw_loss: AtomicBool,
    /// It will not start again, and rightly so.
    pub(super) retired: AtomicBool,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) machines: Vec<Machine>,
    pub(super) history: Mutex<History>,
    /// Number of the next entry.
    pub(super) entries: AtomicU64,
    /// There are no faults any more.
    pub(super) calm: AtomicBool,
    /// The run is over: no process starts again.
    pub(super) over: AtomicBool,
    /// The newest time that a clock told: an entry may have it.
    pub(super) latest_told: AtomicU64,
}

impl World {
    pub(super) fn new(plan: Plan, directories: Vec<PathBuf>) -> World {
        let machine = |directory| Machine {
            offset: AtomicI64::new(0),
            was_ahead: AtomicBool::new(false),
            directory,
            process: Mutex::new(None),
            asked_to_stop: AtomicBool::new(false),
            saw_loss: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        };
        let history = History {
            late_by: match plan.place {
                Place::Bucket => MERGE_DELAY,
                _ => 0,
            },
            clocks_differ: plan.place == Place::Bucket && plan.events.contains(&Event::Clock),
            ..History::default()
        };
        World {
            plan,
            machines: directories.into_iter().map(machine).collect(),
            history: Mutex::new(history),
            entries: AtomicU64::new(0),
            calm: AtomicBool::new(true),
            over: AtomicBool::new(false),
            latest_told: AtomicU64::new(0),
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// A call of the storage takes so long before it has an effect, and again before it is answered.
    pub(super) fn delay(&self, usual: Duration) {
        if !self.is_calm() && by_chance(self.plan.slow) {
            let longest = one_of(&[300, 2_500, 12_000]);
            schedule::sleep(up_to(Duration::from_millis(longest)));
        } else {
            schedule::sleep(up_to(usual));
        }
    }

    /// Whether this call fails.
    pub(super) fn fails(&self) -> bool {
        !self.is_calm() && by_chance(self.plan.failing)
    }

    pub(super) fn saw<T>(&self, see: impl FnOnce(&mut History) -> T) -> T {
        see(&mut self.history.lock().unwrap())
    }
}

/// The clock of a machine.
pub(super) struct SimulatedClock {
    pub(super) world: Arc<World>,
    pub(super) machine: usize,
}

impl Clock for SimulatedClock {
    fn now(&self) -> UnixMillis {
        let offset = self.world.machines[self.machine].offset.load(Ordering::SeqCst);
        let now = true_time().saturating_add_signed(offset);
        self.world.latest_told.fetch_max(now, Ordering::SeqCst);
        UnixMillis::new(now)
    }

    fn steady(&self) -> Duration {
        schedule::now().unwrap_or_default()
    }
}

/// Milliseconds since 1970.
pub(super) fn true_time() -> u64 {
    BEGIN + schedule::now().unwrap_or_default().as_millis() as u64
}

impl Machine {
    pub(super) fn kill(&self) {
        if let Some(process) = self.process.lock().unwrap().take() {
            note(|| format!("process {process:?} is killed"));
            schedule::kill(process);
        }
    }
}
