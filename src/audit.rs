//! The audit record: one line of JSON per CA signature, durable before the answer leaves; and one for each valid token
//! that the operator's rules refused.
//!
//! Of an issuance that the process did not live to finish, the line may be lost: nothing left the building then, and
//! the log has its precertificate if the log took it.
//!
//! Records that arrive while one `fdatasync` runs share the next one, as in the log.
//!
//! The file may be rotated: renamed, and then reopened ([`AuditLog::reopen`]). Nothing is written, and nothing issued, while the
//! path leads to another file or none, or the disk is full. A write that fails otherwise is the last one: as after a failed write
//! of the log the process should end ([`AuditLog::failed`]), because only the next start can tell what is in the file.

mod file;
mod given_out;
mod record;
mod writer;

use std::{
    fs::TryLockError,
    io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use self::{file::RecordFile, record::Record, writer::Control};
pub use self::{given_out::given_out, writer::AuditProblem};
use crate::{
    admission::Refused, clock::Timestamp, issuer::IssuedCertificate, log::VerifiedSct, profile::Draft,
};

/// Records that wait for the disk; beyond it the caller waits, and with it the request.
const QUEUE: usize = 4096;

/// How many refusals are recorded in a second, of tokens that are valid and not admitted: whoever has one such token can
/// send it without end. How many were left out stands in the next record.
const REFUSALS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How many refusals are recorded at once.
const REFUSALS_BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Where the CA writes down what it signs.
#[derive(Clone, Debug)]
pub struct AuditLog {
    queue: mpsc::Sender<Line>,
    path: Option<Arc<PathBuf>>,
    problem: watch::Receiver<Option<AuditProblem>>,
    reopen: Arc<Notify>,
    refusals: Arc<Refusals>,
}

/// Keeps refusals from filling the disk.
#[derive(Debug)]
struct Refusals {
    limit: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        let quota = Quota::per_second(REFUSALS_PER_SECOND).allow_burst(REFUSALS_BURST);
        Self {
            limit: RateLimiter::direct(quota),
            left_out: AtomicU64::new(0),
        }
    }
}

#[derive(Debug)]
struct Line {
    json: Vec<u8>,
    durable: Option<oneshot::Sender<()>>,
}

impl AuditLog {
    /// Appends to the file at `path`, which is made if it is not there. A line that a crash cut short is ended, so
    /// that it spoils no other.
    ///
    /// # Errors
    /// If the file or its folder cannot be written, or another [`AuditLog`] has it open.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let file = RecordFile::open(path)?;
        let (queue, lines) = mpsc::channel(QUEUE);
        let (told, problem) = watch::channel(None);
        let reopen = Arc::new(Notify::new());
        let control = Control {
            problem: told,
            reopen: Arc::clone(&reopen),
        };
        writer::start(file, lines, control)?;
        Ok(Self {
            queue,
            path: Some(Arc::new(path.to_owned())),
            problem,
            reopen,
            refusals: Arc::default(),
        })
    }

    /// Keeps nothing: for `--ephemeral`, where the CA itself is forgotten too.
    #[must_use]
    pub fn forgetful() -> Self {
        let (queue, mut lines) = mpsc::channel::<Line>(QUEUE);
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                line.confirm();
            }
        });
        Self {
            queue,
            path: None,
            problem: watch::channel(None).1,
            reopen: Arc::default(),
            refusals: Arc::default(),
        }
    }

    /// Where the records are, if they are kept.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref().map(PathBuf::as_path)
    }

    /// Records that the CA is about to sign the precertificate of `draft`. It becomes durable before or together
    /// with any record that follows it.
    ///
    /// # Errors
    /// If records cannot be written: nothing is signed then.
    pub async fn intent(&self, draft: &Draft, now: Timestamp) -> Result<(), AuditError> {
        self.append(&Record::intent(draft, now)?, None).await
    }

    /// Records the certificate that is about to be handed over; durable when this returns.
    ///
    /// # Errors
    /// If the record could not be made durable: the certificate must not be handed over.
    pub async fn issued(&self, issued: &IssuedCertificate, now: Timestamp) -> Result<(), AuditError> {
        let (durable, confirmed) = oneshot::channel();
        self.append(&Record::issued(issued, now)?, Some(durable)).await?;
        confirmed.await.map_err(|_| self.reason())
    }

    /// Records that a valid token was not admitted. It becomes durable before or together with any record that follows
    /// it. Of very many, only some are recorded.
    ///
    /// # Errors
    /// If records cannot be written.
    pub async fn refused(&self, refused: &Refused, now: Timestamp) -> Result<(), AuditError> {
        if self.refusals.limit.check().is_err() {
            self.refusals.left_out.fetch_add(1, Ordering::Relaxed);
            return self.health();
        }
        let left_out = self.refusals.left_out.swap(0, Ordering::Relaxed);
        self.append(&Record::refused(refused, left_out, now)?, None).await
    }

    /// Records the SCT of an informational log. It becomes durable before or together with any record that follows it.
    ///
    /// # Errors
    /// If records cannot be written.
    pub async fn informational(
        &self,
        serial: &str,
        sct: &VerifiedSct,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        self.append(&Record::informational(serial, sct, now)?, None).await
    }

    /// Opens the file that is at the path now, and makes it if there is none, once records before are written. If it is still the
    /// same file, nothing changes.
    pub fn reopen(&self) {
        self.reopen.notify_one();
    }

    /// Whether records can be written.
    ///
    /// # Errors
    /// What keeps them from being written.
    pub fn health(&self) -> Result<(), AuditError> {
        match (&*self.problem.borrow(), self.queue.is_closed()) {
            (Some(problem), _) => Err(problem.clone().into()),
            (None, true) => Err(AuditError::Stopped),
            (None, false) => Ok(()),
        }
    }

    /// Resolves after a write failed: no record will be written any more.
    pub async fn failed(&self) -> AuditError {
        self.queue.closed().await;
        self.reason()
    }

    fn reason(&self) -> AuditError {
        self.health().err().unwrap_or(AuditError::Stopped)
    }

    async fn append(
        &self,
        record: &Record<'_>,
        durable: Option<oneshot::Sender<()>>,
    ) -> Result<(), AuditError> {
        self.health()?;
        let mut json = serde_json::to_vec(record)?;
        json.push(b'\n');
        self.queue
            .send(Line { json, durable })
            .await
            .map_err(|_| self.reason())
    }
}

impl Line {
    /// A caller that has gone away needs no answer.
    fn confirm(self) {
        if let Some(durable) = self.durable {
            let _gone = durable.send(());
        }
    }
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file cannot be opened.
    #[error("the audit record cannot be opened")]
    Open(#[from] io::Error),
    /// Two writers would tear each other's lines.
    #[error("the audit record is in use by another process: give each its own file")]
    InUse,
    /// Records cannot be written now.
    #[error(transparent)]
    Unusable(#[from] AuditProblem),
    /// The thread that writes has ended.
    #[error("the audit record is not written any more")]
    Stopped,
    /// A record could not be put into JSON.
    #[error("the audit record could not be encoded")]
    Encoding(#[from] serde_json::Error),
    /// A time could not be encoded.
    #[error("the audit record could not be encoded")]
    Der(#[from] der::Error),
}

impl From<TryLockError> for AuditError {
    fn from(error: TryLockError) -> Self {
        match error {
            TryLockError::WouldBlock => Self::InUse,
            TryLockError::Error(error) => Self::Open(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_that_a_crash_cut_short_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for (left, found) in [("", ""), ("{}\n", "{}\n"), ("{}\n{\"ti", "{}\n{\"ti\n")] {
            fs::write(&path, left).unwrap();
            let log = AuditLog::open(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), found);
            assert!(matches!(AuditLog::open(&path), Err(AuditError::InUse)));
            drop(log);
            fs::remove_file(&path).unwrap();
        }
    }
}
