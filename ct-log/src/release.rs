//! When an SCT may leave: what must be true of its entry first (C3).

use std::fmt;
use std::time::Duration;

use crate::leaf::Position;
use crate::running::Shared;
use crate::storage::Sequenced;
use crate::submission::SubmitError;
use crate::threads::timeout;

/// How long a submitter waits for more than durability, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// What must be true of an entry before its SCT is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SctAfter {
    /// It is durable where the log is kept.
    #[default]
    Durable,
    /// And a published checkpoint covers it: whoever has the SCT can look the entry up at once.
    Published,
    /// It is durable in two places. For logs with a mirror, or in a storage that replicates by itself.
    Replicated,
    /// A published checkpoint that covers it has the cosignatures of a quorum of the witnesses.
    Witnessed,
}

impl fmt::Display for SctAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SctAfter::Durable => "durable",
            SctAfter::Published => "published",
            SctAfter::Replicated => "replicated",
            SctAfter::Witnessed => "witnessed",
        })
    }
}

/// An entry whose SCT may be signed. Only [`Release::wait`] makes one, from what only a commit makes (C3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Releasable {
    position: Position,
}

impl Releasable {
    pub(crate) fn position(&self) -> Position {
        self.position
    }
}

/// The log's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Release {
    after: SctAfter,
    patience: Duration,
}

impl Release {
    /// As soon as an entry is durable.
    pub(crate) const DURABLE: Release = Release {
        after: SctAfter::Durable,
        patience: PATIENCE,
    };

    pub(crate) fn after(self, after: SctAfter) -> Release {
        Release { after, ..self }
    }

    pub(crate) fn within(self, patience: Duration) -> Release {
        Release { patience, ..self }
    }

    pub(crate) fn awaits(self) -> SctAfter {
        self.after
    }

    /// Waits until the SCT of that entry may be signed.
    pub(crate) async fn wait(
        self,
        sequenced: &Sequenced,
        shared: &Shared,
    ) -> Result<Releasable, SubmitError> {
        let position = sequenced.position();
        let index = position.index.get();
        let reached = match self.after {
            // A log that is to replicate has a storage whose commits do: `LogSettings::check_sct_after`.
            SctAfter::Durable | SctAfter::Replicated => return Ok(Releasable { position }),
            SctAfter::Published => timeout(self.patience, shared.until_published(index)).await,
            SctAfter::Witnessed => timeout(self.patience, shared.until_witnessed(index)).await,
        };
        match reached {
            Ok(Reached::Yes) => Ok(Releasable { position }),
            Ok(Reached::Never) => Err(SubmitError::Unavailable),
            Err(_) => Err(SubmitError::NotYet { after: self.after }),
        }
    }
}

/// Whether what is waited for has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Yes,
    /// The log failed.
    Never,
}

impl Shared {
    async fn until_published(&self, index: u64) -> Reached {
        let mut published = self.watch_published();
        let covered = published.wait_for(|published| published.checkpoint.size() > index);
        self.unless_failed(async { covered.await.is_ok() }).await
    }

    async fn until_witnessed(&self, index: u64) -> Reached {
        let mut witnessed = self.witnessing.watch_size();
        let covered = witnessed.wait_for(|size| *size > index);
        self.unless_failed(async { covered.await.is_ok() }).await
    }

    async fn unless_failed(&self, reached: impl Future<Output = bool>) -> Reached {
        tokio::select! {
            biased;
            true = reached => Reached::Yes,
            _ = self.failure.wait() => Reached::Never,
            else => Reached::Never,
        }
    }
}
