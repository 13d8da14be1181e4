//! Logs that are told of certificates and never waited for.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{sync::mpsc, time};

use super::{VerifiedSct, external::ExternalLog, submission::Submission};
use crate::{audit::AuditLog, clock::Clock};

/// Entries that wait for one log; what comes when there is no place is dropped and counted.
const QUEUE: usize = 1024;

/// Entries that one log is sent at the same time.
const CONCURRENT: usize = 8;

/// Attempts with one entry.
const ATTEMPTS: u32 = 3;

/// Longest pause between two of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The way to one informational log.
pub(super) struct Informational {
    log: Arc<ExternalLog>,
    queue: mpsc::Sender<Arc<Submission>>,
}

impl Informational {
    /// Starts the task that submits. It ends when this is dropped and the queue is empty.
    pub(super) fn start(log: Arc<ExternalLog>, audit: AuditLog, clock: Arc<dyn Clock>) -> Self {
        let (queue, entries) = mpsc::channel(QUEUE);
        let worker = Worker {
            log: Arc::clone(&log),
            audit,
            clock,
        };
        tokio::spawn(worker.run(entries));
        Self { log, queue }
    }

    /// Never waits.
    pub(super) fn offer(&self, submission: &Arc<Submission>) {
        if self.log.covers(submission.not_after()) && self.queue.try_send(Arc::clone(submission)).is_err() {
            self.log.metrics().dropped();
        }
    }
}

struct Worker {
    log: Arc<ExternalLog>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
}

impl Worker {
    async fn run(self, entries: mpsc::Receiver<Arc<Submission>>) {
        let next = |mut entries: mpsc::Receiver<_>| async { Some((entries.recv().await?, entries)) };
        stream::unfold(entries, next)
            .for_each_concurrent(CONCURRENT, |submission| self.log(submission))
            .await;
    }

    async fn log(&self, submission: Arc<Submission>) {
        match self.persist(&submission).await {
            Some(sct) => self.record(&submission, &sct).await,
            None => self.log.metrics().dropped(),
        }
    }

    async fn persist(&self, submission: &Submission) -> Option<VerifiedSct> {
        for number in 1..=ATTEMPTS {
            let error = match self.log.submit(submission).await {
                Ok(sct) => return Some(sct),
                Err(error) => error,
            };
            let pause = error.retry_after().filter(|_| number < ATTEMPTS)?;
            time::sleep(pause.min(LONGEST_PAUSE)).await;
        }
        None
    }

    async fn record(&self, submission: &Submission, sct: &VerifiedSct) {
        let recorded = self
            .audit
            .informational(submission.serial(), sct, self.clock.now());
        if let Err(error) = recorded.await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(log = sct.log(), error, "an informational SCT is not on record");
        }
    }
}
