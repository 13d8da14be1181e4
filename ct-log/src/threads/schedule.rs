//! Threads of a simulation: coroutines on one thread of the system. Which of them goes on is drawn from the seed, and time
//! passes only while all of them wait. So a seed always makes the same run.

mod state;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BinaryHeap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use generator::{Generator, Gn};

use state::{Process, Schedule, State, Task};

/// Stack of a coroutine, in words of 8 bytes.
const STACK_WORDS: usize = 64 * 1024;

/// Steps after which a run that does not end is given up.
const MAX_STEPS: u64 = 400_000;

/// Keys of what is no address: the end of a task, and its waker.
const ENDS: usize = usize::MAX / 2;
const WAKERS: usize = usize::MAX / 4 * 3;

type Work = Box<dyn FnOnce() + Send>;
type Stack = Generator<'static, (), ()>;

/// A thread of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskId(usize);

/// A process of the simulation: threads that are killed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId(usize);

/// Whose end ends the run.
pub(crate) const MAIN: ProcessId = ProcessId(0);

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    ByOther,
    ByTime,
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) steps: u64,
    pub(crate) trace: Vec<String>,
    /// A panic, or why it did not end.
    pub(crate) problem: Option<String>,
}

/// What a thread of a killed process unwinds with.
struct Killed;

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static RUNS: Cell<u64> = const { Cell::new(0) };
    static SCHEDULE: RefCell<Option<Schedule>> = const { RefCell::new(None) };
    static IDLE: RefCell<Vec<Stack>> = const { RefCell::new(Vec::new()) };
}

/// Whether a simulation runs on this thread of the system.
pub(crate) fn is_simulated() -> bool {
    ACTIVE.get()
}

fn with<T>(act: impl FnOnce(&mut Schedule) -> T) -> T {
    SCHEDULE.with_borrow_mut(|schedule| act(schedule.as_mut().unwrap()))
}

/// Runs `main` and what it starts, until `main` ends. The rest is killed then.
pub(crate) fn run(seed: u64, traced: bool, main: impl FnOnce() + Send + 'static) -> Ended {
    RUNS.set(RUNS.get() + 1);
    let schedule = Schedule {
        run: RUNS.get(),
        now: Duration::from_secs(1),
        random: seed,
        steps: 0,
        tasks: Vec::new(),
        ready: Vec::new(),
        dying: Vec::new(),
        timers: BinaryHeap::new(),
        timers_made: 0,
        processes: vec![Process::new()],
        current: 0,
        problem: None,
        trace: traced.then(Vec::new),
    };
    SCHEDULE.set(Some(schedule));
    ACTIVE.set(true);
    let main = start_in(MAIN, "main", main);
    while with(|schedule| schedule.tasks[main.0].state != State::Done && schedule.problem.is_none()) {
        if !step() {
            with(|schedule| schedule.fail("nothing can go on"));
        }
    }
    for process in 0..with(|schedule| schedule.processes.len()) {
        kill(ProcessId(process));
    }
    while with(|schedule| !schedule.dying.is_empty()) {
        step();
    }
    ACTIVE.set(false);
    let schedule = SCHEDULE.take().unwrap();
    Ended {
        steps: schedule.steps,
        problem: schedule.problem.clone(),
        trace: schedule.trace.clone().unwrap_or_default(),
    }
}

/// Lets one thread go on until it waits. False if none can.
fn step() -> bool {
    let Some(task) = with(Schedule::next) else {
        return false;
    };
    let stack = with(|schedule| schedule.tasks[task].stack.take());
    let mut stack = stack.unwrap_or_else(|| IDLE.take_one().unwrap_or_else(new_stack));
    stack.resume();
    let done = with(|schedule| schedule.tasks[task].state == State::Done);
    if done {
        IDLE.with_borrow_mut(|idle| idle.push(stack));
    } else {
        with(|schedule| schedule.tasks[task].stack = Some(stack));
    }
    true
}

trait TakeOne {
    fn take_one(&'static self) -> Option<Stack>;
}

impl TakeOne for std::thread::LocalKey<RefCell<Vec<Stack>>> {
    fn take_one(&'static self) -> Option<Stack> {
        self.with_borrow_mut(Vec::pop)
    }
}

/// A stack on which one task after the other runs.
fn new_stack() -> Stack {
    Gn::<()>::new_opt(STACK_WORDS, || {
        loop {
            run_task();
            suspend();
        }
    })
}

#[expect(deprecated, reason = "the scope is not at hand where a thread waits")]
fn suspend() {
    generator::yield_with(());
}

fn run_task() {
    let (id, work) = with(|schedule| (schedule.current, schedule.tasks[schedule.current].work.take()));
    let ended = catch_unwind(AssertUnwindSafe(|| {
        unwind_if_dead();
        if let Some(work) = work {
            work();
        }
    }));
    with(|schedule| {
        if let Err(panic) = ended
            && !panic.is::<Killed>()
        {
            let name = schedule.tasks[id].name.clone();
            schedule.fail(&format!("{name} panicked: {}", message(&*panic)));
        }
        schedule.tasks[id].state = State::Done;
        schedule.wake(ENDS + id);
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}

/// Whether the current process was killed, and its threads end now.
pub(crate) fn is_killed() -> bool {
    is_simulated() && with(|schedule| schedule.is_dead())
}

fn unwind_if_dead() {
    if with(|schedule| schedule.is_dead()) && !std::thread::panicking() {
        resume_unwind(Box::new(Killed));
    }
}

/// Waits for [`wake`] with that key, or until the time is over.
pub(crate) fn wait(key: usize, at_most: Option<Duration>) -> Woken {
    wait_for(Some(key), at_most)
}

fn wait_for(key: Option<usize>, at_most: Option<Duration>) -> Woken {
    unwind_if_dead();
    if std::thread::panicking() {
        return Woken::ByTime;
    }
    with(|schedule| schedule.begin_wait(key, at_most));
    suspend();
    unwind_if_dead();
    with(|schedule| schedule.tasks[schedule.current].woken)
}

pub(crate) fn wake(key: usize) {
    if is_simulated() {
        with(|schedule| schedule.wake(key));
    }
}

/// Time since some moment before the simulation; `None` without a simulation.
pub(crate) fn now() -> Option<Duration> {
    is_simulated().then(|| with(|schedule| schedule.now))
}

pub(crate) fn sleep(duration: Duration) {
    wait_for(None, Some(duration));
}

/// A number below that one, from the seed.
pub(crate) fn random(below: u64) -> u64 {
    with(|schedule| schedule.draw(below))
}

pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> TaskId {
    let process = with(|schedule| schedule.tasks[schedule.current].process);
    start_in(process, name, work)
}

/// Starts a thread in that process.
pub(crate) fn start_in(process: ProcessId, name: &str, work: impl FnOnce() + Send + 'static) -> TaskId {
    with(|schedule| {
        let id = schedule.tasks.len();
        schedule.tasks.push(Task {
            name: name.to_owned(),
            process,
            state: State::Ready,
            epoch: 0,
            woken: Woken::ByOther,
            notified: false,
            poll_again_at: None,
            work: Some(Box::new(work)),
            stack: None,
        });
        schedule.ready.push(id);
        TaskId(id)
    })
}

/// Waits until that thread has ended.
pub(crate) fn join(task: TaskId) {
    while with(|schedule| schedule.tasks[task.0].state != State::Done) && !std::thread::panicking() {
        wait(ENDS + task.0, None);
    }
}

/// A process without threads yet.
pub(crate) fn new_process() -> ProcessId {
    with(|schedule| {
        schedule.processes.push(Process::new());
        ProcessId(schedule.processes.len() - 1)
    })
}

/// The process ends as by `kill -9`: its threads go no further than where they wait now.
pub(crate) fn kill(process: ProcessId) {
    with(|schedule| {
        schedule.processes[process.0].dead = true;
        let tasks = schedule.tasks.iter_mut().enumerate();
        let dying = tasks.filter(|(_, task)| task.process == process && task.state != State::Done);
        for (id, task) in dying {
            task.state = State::Ready;
            task.epoch += 1;
            schedule.dying.push(id);
        }
        let dying = std::mem::take(&mut schedule.dying);
        schedule.ready.retain(|id| !dying.contains(id));
        schedule.dying = dying;
    });
}

/// The process stands still for so long, as by `SIGSTOP`.
pub(crate) fn pause(process: ProcessId, duration: Duration) {
    with(|schedule| {
        let until = schedule.now.saturating_add(duration);
        schedule.processes[process.0].paused_until = until;
    });
}

/// A line of the trace.
pub(crate) fn note(text: impl FnOnce() -> String) {
    if !with(|schedule| schedule.trace.is_some()) {
        return;
    }
    let text = text();
    with(|schedule| {
        let (now, task) = (schedule.now, &schedule.tasks[schedule.current]);
        let line = format!(
            "{:>10.4} {:<3} {:<18} {text}",
            now.as_secs_f64(),
            task.process.0,
            task.name
        );
        schedule
            .trace
            .iter_mut()
            .for_each(|trace| trace.push(line.clone()));
    });
}

struct TaskWaker {
    run: u64,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !is_simulated() {
            return;
        }
        with(|schedule| {
            if schedule.run == self.run {
                schedule.tasks[self.task].notified = true;
                schedule.wake(WAKERS + self.task);
            }
        });
    }
}

/// For the future that the current thread polls: it is polled again then.
pub(crate) fn poll_again_at(at: Duration) {
    with(|schedule| {
        let current = schedule.current;
        schedule.tasks[current].poll_again_at = Some(at);
    });
}

/// Polls until it is ready.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let (run, task) = with(|schedule| (schedule.run, schedule.current));
    let waker = Waker::from(Arc::new(TaskWaker { run, task }));
    let (mut work, mut context) = (pin!(work), Context::from_waker(&waker));
    loop {
        if let Poll::Ready(answer) = work.as_mut().poll(&mut context) {
            return answer;
        }
        unwind_if_dead();
        let (notified, again_at, now) = with(|schedule| {
            let task = &mut schedule.tasks[task];
            let notified = std::mem::take(&mut task.notified);
            (notified, task.poll_again_at.take(), schedule.now)
        });
        if !notified {
            wait(WAKERS + task, again_at.map(|at| at.saturating_sub(now)));
        }
    }
}
