//! Threads, how they wait, and time passing: those of the standard library and of tokio.
//!
//! The parts of a log use these alone. In tests a simulation may take their place: then every thread that is started here runs
//! on one thread of the system, the next one to go on is drawn from a seed, and time passes only while all of them wait.

#[cfg(any(feature = "postgres", feature = "s3"))]
mod background;
#[cfg(test)]
pub(crate) mod schedule;
#[cfg(test)]
mod simulated;

#[cfg(not(test))]
mod system {
    use std::future::Future;
    use std::io;
    use std::thread::Builder;

    pub(crate) use aws_lc_rs::rand::fill as fill_random;
    pub(crate) use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread::{JoinHandle, sleep};
    pub(crate) use std::time::Instant;
    pub(crate) use tokio::time::timeout;

    /// A thread of that name.
    pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        Builder::new().name(name.to_owned()).spawn(work)
    }

    /// Runs a future to its end, even if whoever waits for it goes away. `None` if it panicked.
    pub(crate) async fn detached<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        tokio::spawn(work).await.ok()
    }

    /// An error in a process of a simulation that was killed: it writes no more, not even while it ends.
    pub(crate) fn check_alive() -> io::Result<()> {
        Ok(())
    }
}

#[cfg(any(feature = "postgres", feature = "s3"))]
pub(crate) use background::Background;
#[cfg(test)]
pub(crate) use simulated::*;
#[cfg(not(test))]
pub(crate) use system::*;
