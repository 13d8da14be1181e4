//! The end of a log's writing: the first write error, after which nothing is written any more.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

/// The write that failed. The log must be opened anew, which finds out what is durable.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log could not {doing} and takes no more entries; it must be restarted")]
pub struct WriteFailure {
    doing: &'static str,
    #[source]
    source: Arc<io::Error>,
}

/// Set at most once. A failed `fsync` is never tried again: the kernel may have dropped the pages and report success.
#[derive(Debug)]
pub(crate) struct Failure {
    first: watch::Sender<Option<WriteFailure>>,
}

impl Failure {
    pub(crate) fn none() -> Failure {
        Failure {
            first: watch::Sender::new(None),
        }
    }

    /// Poisons the log; only the first failure counts.
    pub(crate) fn set(&self, doing: &'static str, source: io::Error) {
        tracing::error!(doing, %source, "the log failed to write and stops");
        let failure = WriteFailure {
            doing,
            source: Arc::new(source),
        };
        self.first.send_if_modified(|first| {
            let new = first.is_none();
            first.get_or_insert(failure);
            new
        });
    }

    pub(crate) fn get(&self) -> Option<WriteFailure> {
        self.first.borrow().clone()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.first.borrow().is_some()
    }

    /// Resolves when the log is poisoned.
    pub(crate) async fn wait(&self) -> WriteFailure {
        let mut first = self.first.subscribe();
        loop {
            if let Some(failure) = first.borrow_and_update().clone() {
                return failure;
            }
            if first.changed().await.is_err() {
                // The sender is `self`: it outlives this call.
                std::future::pending::<()>().await;
            }
        }
    }
}
