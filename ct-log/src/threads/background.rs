//! Asking by a runtime in the background.

use std::future::Future;
use std::io;
use std::sync::mpsc::sync_channel;

use tokio::runtime::{Builder, Runtime};

#[cfg(test)]
use super::schedule;

/// A runtime for the client of a storage behind a network. Whoever asks blocks: the log's threads have nothing better to do
/// meanwhile. It has threads of its own, so that asking is allowed on any thread, also on one that serves an asynchronous
/// program.
pub(crate) struct Background {
    runtime: Option<Runtime>,
}

impl Background {
    pub(crate) fn start(name: &str, threads: usize) -> io::Result<Background> {
        #[cfg(test)]
        if schedule::is_simulated() {
            return Ok(Background { runtime: None });
        }
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(threads).thread_name(name);
        let runtime = Some(builder.enable_all().build()?);
        Ok(Background { runtime })
    }

    /// Runs it there and waits for its end. `None` if the runtime has ended.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        #[cfg(test)]
        if schedule::is_simulated() {
            return Some(schedule::block_on(work));
        }
        let (answer, answered) = sync_channel(1);
        self.runtime.as_ref()?.spawn(async move {
            // Nobody waits for it any more if the asker's thread is gone.
            let _ = answer.send(work.await);
        });
        answered.recv().ok()
    }
}

impl Drop for Background {
    // Dropping a runtime waits, which is not allowed on a thread that serves an asynchronous program.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
