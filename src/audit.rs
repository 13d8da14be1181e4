//! The audit record: one line of JSON per CA signature, durable before the answer leaves; and one for each valid token
//! that the operator's rules refused.
//!
//! Of an issuance that the process did not live to finish, the line may be lost: nothing left the building then, and
//! the log has its precertificate if the log took it.
//!
//! Records that arrive while one `fdatasync` runs share the next one, as in the log.

mod given_out;
mod record;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    num::NonZeroU32,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{mpsc, oneshot};

pub use self::given_out::given_out;
use self::record::Record;
use crate::{
    admission::Refused, clock::Timestamp, durability::sync_folder_of, issuer::IssuedCertificate,
    log::VerifiedSct, profile::Draft,
};

/// Records that wait for the disk; beyond it the caller waits, and with it the request.
const QUEUE: usize = 4096;

/// Most records in one write.
const BATCH: usize = 1024;

/// How many refusals are recorded in a second, of tokens that are valid and not admitted: whoever has one such token can
/// send it without end. How many were left out stands in the next record.
const REFUSALS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How many refusals are recorded at once.
const REFUSALS_BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Owner and group may read identities; nobody else.
const MODE: u32 = 0o640;

/// Where the CA writes down what it signs.
#[derive(Clone, Debug)]
pub struct AuditLog {
    queue: mpsc::Sender<Line>,
    path: Option<Arc<PathBuf>>,
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
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)?;
        if file.metadata()?.is_file() {
            file.try_lock()?;
            end_last_line(&file)?;
        }
        sync_folder_of(path)?;
        let (queue, lines) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&file, lines))?;
        Ok(Self {
            queue,
            path: Some(Arc::new(path.to_owned())),
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
    /// If an earlier write failed: nothing more is signed then.
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
        confirmed.await.map_err(|_| AuditError::Stopped)
    }

    /// Records that a valid token was not admitted. It becomes durable before or together with any record that follows
    /// it. Of very many, only some are recorded.
    ///
    /// # Errors
    /// If an earlier write failed.
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
    /// If an earlier write failed.
    pub async fn informational(
        &self,
        serial: &str,
        sct: &VerifiedSct,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        self.append(&Record::informational(serial, sct, now)?, None).await
    }

    /// Whether records can be written.
    ///
    /// # Errors
    /// [`AuditError::Stopped`] after a write failed.
    pub fn health(&self) -> Result<(), AuditError> {
        if self.queue.is_closed() {
            Err(AuditError::Stopped)
        } else {
            Ok(())
        }
    }

    async fn append(
        &self,
        record: &Record<'_>,
        durable: Option<oneshot::Sender<()>>,
    ) -> Result<(), AuditError> {
        let mut json = serde_json::to_vec(record)?;
        json.push(b'\n');
        self.queue
            .send(Line { json, durable })
            .await
            .map_err(|_| AuditError::Stopped)
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

fn end_last_line(mut file: &File) -> io::Result<()> {
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    if last == [b'\n'] {
        Ok(())
    } else {
        file.write_all(b"\n")
    }
}

/// Ends, and with it closes the queue for good, at the first failed write: after a failed `fdatasync`
/// nobody knows what is on the disk.
fn write_all(file: &File, mut lines: mpsc::Receiver<Line>) {
    let mut batch = Vec::with_capacity(BATCH);
    while lines.blocking_recv_many(&mut batch, BATCH) > 0 {
        if let Err(error) = write_batch(file, &batch) {
            tracing::error!(%error, "the audit record cannot be written: nothing more is issued");
            return;
        }
        batch.drain(..).for_each(Line::confirm);
    }
}

fn write_batch(mut file: &File, batch: &[Line]) -> io::Result<()> {
    let text: Vec<u8> = batch.iter().flat_map(|line| line.json.iter().copied()).collect();
    file.write_all(&text)?;
    file.sync_data()
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
    /// An earlier write failed.
    #[error("the audit record cannot be written")]
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
