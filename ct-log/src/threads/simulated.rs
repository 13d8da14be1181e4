//! The same for tests: threads and waiting as of the system, unless a simulation runs on this thread.

mod channels;

use std::future::{Future, poll_fn};
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError, TryLockError};
use std::task::Poll;
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::oneshot;

use super::schedule::{self, TaskId, Woken};

pub(crate) use channels::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Threads that do nothing that a simulation looks at, and wait in ways that it does not know.
const NOT_SIMULATED: [&str; 2] = ["ct-log-witnesses", "ct-log-scrub"];

#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    inner: std::sync::Mutex<T>,
    /// Somebody in the simulation waits for it.
    wanted: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// There except while a condition is waited for.
    held: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex {
            inner: std::sync::Mutex::new(value),
            wanted: AtomicBool::new(false),
        }
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn released(&self) {
        if self.wanted.swap(false, Ordering::Relaxed) {
            schedule::wake(self.key());
        }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if !schedule::is_simulated() {
            return self.guarded(self.inner.lock());
        }
        loop {
            match self.inner.try_lock() {
                Ok(held) => return self.guarded(Ok(held)),
                Err(TryLockError::Poisoned(poisoned)) => return self.guarded(Err(poisoned)),
                Err(TryLockError::WouldBlock) => {
                    self.wanted.store(true, Ordering::Relaxed);
                    schedule::wait(self.key(), None);
                }
            }
        }
    }

    fn guarded<'a>(
        &'a self,
        locked: LockResult<std::sync::MutexGuard<'a, T>>,
    ) -> LockResult<MutexGuard<'a, T>> {
        let guard = |held| MutexGuard {
            mutex: self,
            held: Some(held),
        };
        match locked {
            Ok(held) => Ok(guard(held)),
            Err(poisoned) => Err(PoisonError::new(guard(poisoned.into_inner()))),
        }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.held.take().is_some() {
            self.mutex.released();
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().unwrap()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    inner: std::sync::Condvar,
}

/// Whether the time was over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn notify_one(&self) {
        self.inner.notify_one();
        schedule::wake(self.key());
    }

    pub(crate) fn notify_all(&self) {
        self.inner.notify_all();
        schedule::wake(self.key());
    }

    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let mutex = guard.mutex;
        let held = guard.held.take().unwrap();
        if !schedule::is_simulated() {
            return mutex.guarded(self.inner.wait(held));
        }
        drop(held);
        mutex.released();
        schedule::wait(self.key(), None);
        mutex.lock()
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        at_most: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let mutex = guard.mutex;
        let held = guard.held.take().unwrap();
        let (locked, timed_out) = if schedule::is_simulated() {
            drop(held);
            mutex.released();
            let woken = schedule::wait(self.key(), Some(at_most));
            (mutex.lock(), woken == Woken::ByTime)
        } else {
            match self.inner.wait_timeout(held, at_most) {
                Ok((held, result)) => (mutex.guarded(Ok(held)), result.timed_out()),
                Err(poisoned) => {
                    let (held, result) = poisoned.into_inner();
                    (mutex.guarded(Err(PoisonError::new(held))), result.timed_out())
                }
            }
        };
        match locked {
            Ok(guard) => Ok((guard, WaitTimeoutResult(timed_out))),
            Err(poisoned) => Err(PoisonError::new((
                poisoned.into_inner(),
                WaitTimeoutResult(timed_out),
            ))),
        }
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        at_most: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let until = Instant::now().checked_add(at_most);
        while condition(&mut guard) {
            let left = until.map_or(at_most, Instant::left);
            if left.is_zero() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let waited = self.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instant {
    Real(std::time::Instant),
    Simulated(Duration),
}

impl Instant {
    pub(crate) fn now() -> Instant {
        match schedule::now() {
            Some(now) => Instant::Simulated(now),
            None => Instant::Real(std::time::Instant::now()),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match (self, Instant::now()) {
            (Instant::Real(then), _) => then.elapsed(),
            (Instant::Simulated(then), Instant::Simulated(now)) => now.saturating_sub(*then),
            (Instant::Simulated(_), Instant::Real(_)) => Duration::ZERO,
        }
    }

    pub(crate) fn checked_add(&self, after: Duration) -> Option<Instant> {
        match self {
            Instant::Real(then) => then.checked_add(after).map(Instant::Real),
            Instant::Simulated(then) => then.checked_add(after).map(Instant::Simulated),
        }
    }

    fn left(self) -> Duration {
        match (self, Instant::now()) {
            (Instant::Real(then), Instant::Real(now)) => then.saturating_duration_since(now),
            (Instant::Simulated(then), Instant::Simulated(now)) => then.saturating_sub(now),
            _ => Duration::ZERO,
        }
    }
}

pub(crate) fn sleep(duration: Duration) {
    match schedule::is_simulated() {
        true => schedule::sleep(duration),
        false => std::thread::sleep(duration),
    }
}

/// In a simulation they come from the seed.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), aws_lc_rs::error::Unspecified> {
    if !schedule::is_simulated() {
        return aws_lc_rs::rand::fill(bytes);
    }
    bytes.fill_with(|| u8::try_from(schedule::random(256)).unwrap());
    Ok(())
}

#[derive(Debug)]
pub(crate) enum JoinHandle<T> {
    Real(std::thread::JoinHandle<T>),
    Simulated(TaskId),
    /// See [`NOT_SIMULATED`].
    Nothing,
}

impl JoinHandle<()> {
    pub(crate) fn join(self) -> std::thread::Result<()> {
        match self {
            JoinHandle::Real(thread) => thread.join(),
            JoinHandle::Simulated(task) => {
                schedule::join(task);
                Ok(())
            }
            JoinHandle::Nothing => Ok(()),
        }
    }
}

pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    if !schedule::is_simulated() {
        let thread = Builder::new().name(name.to_owned()).spawn(work)?;
        return Ok(JoinHandle::Real(thread));
    }
    if NOT_SIMULATED.contains(&name) {
        return Ok(JoinHandle::Nothing);
    }
    Ok(JoinHandle::Simulated(schedule::start(name, work)))
}

pub(crate) async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    if !schedule::is_simulated() {
        return tokio::spawn(work).await.ok();
    }
    let (answer, answered) = oneshot::channel();
    schedule::start("detached", move || drop(answer.send(schedule::block_on(work))));
    answered.await.ok()
}

/// The time was over.
#[derive(Debug)]
pub(crate) struct Elapsed;

pub(crate) async fn timeout<T>(at_most: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let Some(now) = schedule::now() else {
        return tokio::time::timeout(at_most, work).await.map_err(|_| Elapsed);
    };
    let (until, mut work) = (now.saturating_add(at_most), pin!(work));
    poll_fn(|context| {
        if let Poll::Ready(answer) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(answer));
        }
        if schedule::now().is_none_or(|now| now >= until) {
            return Poll::Ready(Err(Elapsed));
        }
        schedule::poll_again_at(until);
        Poll::Pending
    })
    .await
}

pub(crate) fn check_alive() -> io::Result<()> {
    match schedule::is_killed() {
        true => Err(io::Error::other("the process was killed")),
        false => Ok(()),
    }
}
