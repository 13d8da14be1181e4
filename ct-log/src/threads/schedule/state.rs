//! The threads of a run and the time: which goes on next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{MAX_STEPS, ProcessId, Stack, Woken, Work};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Waiting(Option<usize>),
    Done,
}

pub(super) struct Task {
    pub(super) name: String,
    pub(super) process: ProcessId,
    pub(super) state: State,
    /// Changes with every wait: timers of earlier ones are void.
    pub(super) epoch: u64,
    pub(super) woken: Woken,
    /// Its waker was called since the last poll.
    pub(super) notified: bool,
    pub(super) poll_again_at: Option<Duration>,
    pub(super) work: Option<Work>,
    pub(super) stack: Option<Stack>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pub(super) dead: bool,
    pub(super) paused_until: Duration,
}

pub(super) struct Schedule {
    pub(super) run: u64,
    pub(super) now: Duration,
    pub(super) random: u64,
    pub(super) steps: u64,
    pub(super) tasks: Vec<Task>,
    pub(super) ready: Vec<usize>,
    /// Those of dead processes, which end before anything else happens.
    pub(super) dying: Vec<usize>,
    pub(super) timers: BinaryHeap<Reverse<(Duration, u64, usize, u64)>>,
    pub(super) timers_made: u64,
    pub(super) processes: Vec<Process>,
    pub(super) current: usize,
    pub(super) problem: Option<String>,
    pub(super) trace: Option<Vec<String>>,
}

impl Process {
    pub(super) fn new() -> Process {
        Process {
            dead: false,
            paused_until: Duration::ZERO,
        }
    }
}

impl Schedule {
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    pub(super) fn fail(&mut self, problem: &str) {
        self.problem.get_or_insert_with(|| problem.to_owned());
    }

    pub(super) fn next(&mut self) -> Option<usize> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            self.fail("it does not come to an end");
        }
        if let Some(task) = self.dying.pop() {
            self.current = task;
            return Some(task);
        }
        loop {
            if self.ready.is_empty() {
                self.pass_time()?;
                continue;
            }
            let ready = u64::try_from(self.ready.len()).unwrap();
            let drawn = usize::try_from(self.draw(ready)).unwrap();
            let task = self.ready.swap_remove(drawn);
            let until = self.processes[self.tasks[task].process.0].paused_until;
            if until > self.now {
                self.set_timer(task, until);
                continue;
            }
            self.tasks[task].state = State::Ready;
            self.current = task;
            return Some(task);
        }
    }

    /// To the next timer.
    pub(super) fn pass_time(&mut self) -> Option<()> {
        let Reverse((at, _, task, epoch)) = self.timers.pop()?;
        let waiting = &mut self.tasks[task];
        if waiting.epoch == epoch && waiting.state != State::Done {
            self.now = self.now.max(at);
            if let State::Waiting(_) = waiting.state {
                waiting.woken = Woken::ByTime;
            }
            waiting.state = State::Ready;
            waiting.epoch += 1;
            self.ready.push(task);
        }
        Some(())
    }

    pub(super) fn set_timer(&mut self, task: usize, at: Duration) {
        self.timers_made += 1;
        let epoch = self.tasks[task].epoch;
        self.timers.push(Reverse((at, self.timers_made, task, epoch)));
    }

    pub(super) fn wake(&mut self, key: usize) {
        for (id, task) in self.tasks.iter_mut().enumerate() {
            if task.state == State::Waiting(Some(key)) {
                task.state = State::Ready;
                task.woken = Woken::ByOther;
                task.epoch += 1;
                self.ready.push(id);
            }
        }
    }

    pub(super) fn begin_wait(&mut self, key: Option<usize>, at_most: Option<Duration>) {
        let (id, now) = (self.current, self.now);
        let task = &mut self.tasks[id];
        task.state = State::Waiting(key);
        task.epoch += 1;
        if let Some(at_most) = at_most {
            self.set_timer(id, now.saturating_add(at_most));
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.processes[self.tasks[self.current].process.0].dead
    }
}
