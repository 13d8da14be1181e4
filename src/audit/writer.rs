//! The thread that writes the record, and what keeps it from writing.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::{Notify, mpsc, watch},
    time::{self, MissedTickBehavior},
};

use super::{
    AuditError, Line,
    file::{AppendError, RecordFile},
};

/// Most records in one write.
const BATCH: usize = 1024;

/// How often the path is looked at when no record comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long records wait when the file is not at its path: whoever rotates it sends SIGHUP right after the rename, and no request
/// is to fail in between.
const ROTATION: Duration = Duration::from_secs(2);

/// Why records are not written, and nothing is issued.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditProblem {
    /// Another file is at the path, or none.
    #[error("the audit record was renamed or removed: SIGHUP has the file at its path opened")]
    Moved,
    /// The file at the path was to be opened, and cannot be.
    #[error("the audit record was renamed or removed, and the file at its path cannot be opened: {0}")]
    NotReopened(Arc<str>),
    /// The disk or a quota is full.
    #[error("there is no space for the audit record")]
    Full,
    /// A write failed, and nobody knows what is on the disk. This is for good.
    #[error("the audit record cannot be written")]
    Failed(#[source] Arc<io::Error>),
}

impl AuditProblem {
    fn is_final(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// What the writer tells, and is told, beside the lines.
pub(super) struct Control {
    pub(super) problem: watch::Sender<Option<AuditProblem>>,
    pub(super) reopen: Arc<Notify>,
}

/// Starts the thread.
pub(super) fn start(file: RecordFile, lines: mpsc::Receiver<Line>, control: Control) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
    let writer = Writer {
        file,
        control,
        lines: Vec::with_capacity(BATCH),
        reopening: false,
        moved: None,
    };
    thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || runtime.block_on(writer.run(lines)))?;
    Ok(())
}

struct Writer {
    file: RecordFile,
    control: Control,
    /// What is to be written next.
    lines: Vec<Line>,
    /// The file at the path is to be opened.
    reopening: bool,
    /// Since when another file is at the path, or none.
    moved: Option<Instant>,
}

impl Writer {
    /// Ends when nobody can send lines any more, or a write failed.
    async fn run(mut self, mut lines: mpsc::Receiver<Line>) {
        let mut look = time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reopen = Arc::clone(&self.control.reopen);
        loop {
            tokio::select! {
                biased;
                () = reopen.notified() => self.reopening = true,
                received = lines.recv_many(&mut self.lines, BATCH), if !self.waits() => {
                    if received == 0 {
                        return;
                    }
                }
                _ = look.tick() => {}
            }
            let problem = self.write().err();
            let ends = problem.as_ref().is_some_and(AuditProblem::is_final);
            self.tell(problem);
            if ends {
                return;
            }
        }
    }

    /// Whether the file is not at its path, and whoever rotates it may be about to say so.
    fn waits(&self) -> bool {
        self.moved.is_some_and(|since| since.elapsed() < ROTATION)
    }

    /// Writes the lines, if that can be done; those that somebody waits for are refused otherwise.
    fn write(&mut self) -> Result<(), AuditProblem> {
        let written = self.find_file().and_then(|()| self.append());
        match written {
            Err(AuditProblem::Moved) if self.waits() => Ok(()),
            Err(problem) => {
                self.lines.retain(|line| line.durable.is_none());
                Err(problem)
            }
            Ok(()) => Ok(()),
        }
    }

    fn find_file(&mut self) -> Result<(), AuditProblem> {
        if self.file.is_at_its_path() {
            self.reopening = false;
            self.moved = None;
            return Ok(());
        }
        self.moved.get_or_insert_with(Instant::now);
        if !self.reopening {
            return Err(AuditProblem::Moved);
        }
        self.file.reopen().map_err(|error| {
            let reason = match error {
                AuditError::Open(error) => error.to_string(),
                error => error.to_string(),
            };
            AuditProblem::NotReopened(reason.into())
        })?;
        tracing::info!(path = %self.file.path().display(), "the audit record was opened anew");
        self.reopening = false;
        self.moved = None;
        Ok(())
    }

    fn append(&mut self) -> Result<(), AuditProblem> {
        if matches!(*self.control.problem.borrow(), Some(AuditProblem::Full)) && !self.file.has_room() {
            return Err(AuditProblem::Full);
        }
        if self.lines.is_empty() {
            return Ok(());
        }
        let appended = self
            .file
            .append(self.lines.iter().map(|line| line.json.as_slice()));
        self.lines.drain(..appended.lines).for_each(Line::confirm);
        appended.outcome.map_err(|error| match error {
            AppendError::Full => AuditProblem::Full,
            AppendError::Removed => {
                self.moved.get_or_insert_with(Instant::now);
                AuditProblem::Moved
            }
            AppendError::Failed(error) => AuditProblem::Failed(Arc::new(error)),
        })
    }

    fn tell(&self, problem: Option<AuditProblem>) {
        let text = |problem: &Option<AuditProblem>| problem.as_ref().map(ToString::to_string);
        let (before, now) = (text(&self.control.problem.borrow()), text(&problem));
        if before == now {
            return;
        }
        let path = self.file.path().display();
        match &problem {
            Some(problem) => {
                let cause = crate::causes::in_one_line(problem);
                tracing::error!(%path, cause, "nothing is issued, for want of the audit record");
            }
            None => tracing::info!(%path, "the audit record can be written again"),
        }
        self.control.problem.send_replace(problem);
    }
}
