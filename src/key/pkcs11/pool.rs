//! Lends what is expensive to open, such as a session with a token.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::module::locked;

/// How long to wait for a session of this process or another to become free.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often to look whether another process gave one back.
const LOOK: Duration = Duration::from_millis(50);

/// What is open and not in use.
pub(super) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    returned: Condvar,
}

/// What a pool lent.
pub(super) enum Lent<T> {
    /// It was used before, so the other side may have closed it meanwhile.
    Used(T),
    New(T),
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            idle: Mutex::default(),
            returned: Condvar::new(),
        }
    }
}

impl<T> Pool<T> {
    /// Takes an idle one, or opens one. Waits for one if there can be no more now, which `is_full` tells of an error.
    pub(super) fn take<E>(
        &self,
        open: impl Fn() -> Result<T, E>,
        is_full: impl Fn(&E) -> bool,
    ) -> Result<Lent<T>, E> {
        let began = Instant::now();
        loop {
            if let Some(idle) = locked(&self.idle).pop() {
                return Ok(Lent::Used(idle));
            }
            match open() {
                Ok(new) => return Ok(Lent::New(new)),
                Err(full) if is_full(&full) && began.elapsed() < PATIENCE => self.wait(),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn give_back(&self, value: T) {
        locked(&self.idle).push(value);
        self.returned.notify_one();
    }

    /// Drops all that are idle.
    pub(super) fn clear(&self) {
        // Not while the lock is held: closing takes its time.
        let idle = std::mem::take(&mut *locked(&self.idle));
        drop(idle);
    }

    fn wait(&self) {
        let idle = locked(&self.idle);
        drop(
            self.returned
                .wait_timeout_while(idle, LOOK, |idle| idle.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    /// Of the other side: it has so many places.
    struct Places(AtomicUsize);

    impl Places {
        fn open(&self) -> Result<(), ()> {
            let less = |free: usize| free.checked_sub(1);
            self.0
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .map(drop)
                .map_err(drop)
        }
    }

    #[test]
    fn who_finds_no_place_waits_for_one() {
        let (pool, places, done) = (Pool::default(), Places(AtomicUsize::new(2)), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let (Lent::New(()) | Lent::Used(())) = pool.take(|| places.open(), |()| true).unwrap();
                    thread::sleep(Duration::from_millis(5));
                    pool.give_back(());
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 16);
    }

    #[test]
    fn waiting_ends_and_another_error_ends_it_at_once() {
        let pool = Pool::<()>::default();
        let began = Instant::now();
        assert!(pool.take(|| Err("broken"), |_| false).is_err());
        assert!(began.elapsed() < PATIENCE);
        assert!(pool.take(|| Err("full"), |_| true).is_err());
        assert!(began.elapsed() >= PATIENCE);
    }

    #[test]
    fn what_was_cleared_is_not_lent_again() {
        let pool = Pool::default();
        pool.give_back(1);
        assert!(matches!(
            pool.take(|| Ok::<_, ()>(2), |()| true),
            Ok(Lent::Used(1))
        ));
        pool.give_back(1);
        pool.clear();
        assert!(matches!(
            pool.take(|| Ok::<_, ()>(2), |()| true),
            Ok(Lent::New(2))
        ));
    }
}
