//! What an operator decides about a log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::Backend;
use crate::checkpoint::Origin;
use crate::high_water::HighWaterMark;
use crate::index::Place;
use crate::lifecycle::Window;
use crate::release::{Release, SctAfter};
use crate::sct::Sct;
use crate::storage::OpenError;
#[cfg(feature = "postgres")]
use crate::storage::PostgresSettings;
#[cfg(feature = "s3")]
use crate::storage::S3Settings;
use crate::witness::Witnesses;

/// Entries that may wait for the sequencer: at one write of 4 ms and 1,024 entries each, 8 ms of work.
const QUEUE_ENTRIES: usize = 2048;

/// Free space below which a log takes no entries, in bytes: far more than what it has under way.
const MIN_FREE_BYTES: u64 = 256 * 1024 * 1024;

/// How often a log is audited while it runs.
const SCRUB_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a log lives and how much it may take.
#[derive(Debug, Clone)]
pub struct LogSettings {
    pub(crate) directory: PathBuf,
    pub(crate) mirror: Option<PathBuf>,
    pub(crate) origin: Origin,
    pub(crate) queue_entries: usize,
    pub(crate) min_free_bytes: u64,
    pub(crate) index: Place,
    pub(crate) window: Option<Window>,
    pub(crate) release: Release,
    pub(crate) witnesses: Option<Witnesses>,
    pub(crate) backend: Backend,
    pub(crate) scrub_every: Duration,
    pub(crate) high_water: Vec<HighWaterMark>,
    pub(crate) given_out: Vec<Sct>,
}

impl LogSettings {
    /// A log in that directory, which it has for itself, with a queue of 2,048 entries and 256 MiB kept free on the disk.
    pub fn new(directory: impl Into<PathBuf>, origin: Origin) -> LogSettings {
        let directory = directory.into();
        let index = Place::File(directory.join("index.redb"));
        LogSettings {
            directory,
            mirror: None,
            origin,
            queue_entries: QUEUE_ENTRIES,
            min_free_bytes: MIN_FREE_BYTES,
            index,
            window: None,
            release: Release::DURABLE,
            witnesses: None,
            backend: Backend::Directory,
            scrub_every: SCRUB_EVERY,
            high_water: Vec::new(),
            given_out: Vec::new(),
        }
    }

    /// Keeps the entries in a database, which other replicas may share. The directory is then this replica's own: for what it
    /// remembers of the log, which it can do without on a new machine.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn in_postgres(self, postgres: PostgresSettings) -> LogSettings {
        let backend = Backend::Postgres(postgres);
        LogSettings { backend, ..self }
    }

    /// Keeps the entries in a bucket. The directory is then this writer's own: for what it remembers of the log, which it can do
    /// without on a new machine.
    #[cfg(feature = "s3")]
    #[must_use]
    pub fn in_s3(self, s3: S3Settings) -> LogSettings {
        let backend = Backend::S3(s3);
        LogSettings { backend, ..self }
    }

    /// Keeps the entries in a database as [`LogSettings::in_postgres`] does, but full tiles, issuers and the checkpoint in a bucket,
    /// which a CDN can serve. An SCT waits for the bucket only if its entry names an issuer that is not stored yet; while the bucket
    /// is away nothing is published. A log is born so and stays so.
    #[cfg(all(feature = "postgres", feature = "s3"))]
    #[must_use]
    pub fn in_postgres_and_s3(self, postgres: PostgresSettings, s3: S3Settings) -> LogSettings {
        let backend = Backend::PostgresAndS3(postgres, s3);
        LogSettings { backend, ..self }
    }

    /// Where the log lives.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A second directory for the whole log, on another device: every write is in both before an SCT leaves, so either of them alone
    /// is the log when the other is lost. A start makes the two equal; one that is empty is filled. If either cannot be
    /// written, the log stops.
    #[must_use]
    pub fn mirror(self, directory: impl Into<PathBuf>) -> LogSettings {
        LogSettings {
            mirror: Some(directory.into()),
            ..self
        }
    }

    /// Free space below which the log takes no entries, in bytes. Reads go on.
    #[must_use]
    pub fn min_free_bytes(self, min_free_bytes: u64) -> LogSettings {
        LogSettings {
            min_free_bytes,
            ..self
        }
    }

    /// What must be true of an entry before its SCT leaves. A log whose storage cannot give that does not start.
    #[must_use]
    pub fn sct_after(self, sct_after: SctAfter) -> LogSettings {
        let release = self.release.after(sct_after);
        LogSettings { release, ..self }
    }

    /// How long a submitter waits for that, 10 seconds unless said otherwise. Then it gets
    /// [`SubmitError::NotYet`](crate::SubmitError::NotYet), and the same SCT as others if it asks again later.
    #[must_use]
    pub fn sct_within(self, patience: Duration) -> LogSettings {
        let release = self.release.within(patience);
        LogSettings { release, ..self }
    }

    /// Who is asked to cosign the log's checkpoints, in the background.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn witnesses(self, witnesses: Witnesses) -> LogSettings {
        let witnesses = Some(witnesses);
        LogSettings { witnesses, ..self }
    }

    /// Whether the log can ever meet its own rule.
    pub(crate) fn check_sct_after(&self) -> Result<(), OpenError> {
        let missing = match self.release.awaits() {
            SctAfter::Durable | SctAfter::Published => return Ok(()),
            SctAfter::Replicated if self.replicates() => return Ok(()),
            SctAfter::Replicated => "mirror, or storage that replicates,",
            SctAfter::Witnessed if self.witnesses.is_some() => return Ok(()),
            SctAfter::Witnessed => "witnesses",
        };
        Err(OpenError::SctAfter {
            after: self.release.awaits(),
            missing,
        })
    }

    /// Whether an entry is durable in two places once it is.
    fn replicates(&self) -> bool {
        match &self.backend {
            Backend::Directory => self.mirror.is_some(),
            // Whether a standby has it is the database's affair, and not known here.
            #[cfg(feature = "postgres")]
            Backend::Postgres(_) => false,
            #[cfg(feature = "s3")]
            Backend::S3(_) => true,
            #[cfg(all(feature = "postgres", feature = "s3"))]
            Backend::PostgresAndS3(..) => false,
        }
    }

    /// The file of the index that finds entries by hash, `index.redb` in the log's directory unless said otherwise. This log has
    /// it for itself; it is created or made anew as need be.
    #[must_use]
    pub fn index_file(self, path: impl Into<PathBuf>) -> LogSettings {
        let index = Place::File(path.into());
        LogSettings { index, ..self }
    }

    /// Keeps the index in memory: made anew at every start, and about 200 bytes for each entry.
    #[must_use]
    pub fn index_in_memory(self) -> LogSettings {
        let index = Place::Memory;
        LogSettings { index, ..self }
    }

    /// The notAfter times of the certificates that the log takes over HTTP. Some time after it the log becomes read-only. Without
    /// a window it takes all, for ever.
    #[must_use]
    pub fn window(self, window: Window) -> LogSettings {
        LogSettings {
            window: Some(window),
            ..self
        }
    }

    /// How often the whole log is read and audited while it runs: once a day unless said otherwise, and always so slowly that an audit
    /// works a tenth of its time. What it finds is an error in the program's own log, and in [`Statistics`](crate::Statistics).
    #[must_use]
    pub fn scrub_every(self, scrub_every: Duration) -> LogSettings {
        LogSettings { scrub_every, ..self }
    }

    /// A file, best on another disk, in which the log keeps its newest checkpoint. A start with a directory that does not hold that
    /// tree is refused: it is an older copy. May be given several times. The file is made with the log; an existing log
    /// gets its first one as an empty file. A second file beside it, with `.acknowledged` at the end of its name, is written once a
    /// second, and when the log fails.
    #[must_use]
    pub fn high_water_mark(mut self, path: impl Into<PathBuf>) -> LogSettings {
        self.high_water.push(HighWaterMark::new(path.into()));
        self
    }

    /// An SCT that is known to be given out, from somebody's record. A start of a log that does not hold its entry is refused
    /// ([`OpenError::LacksEntry`]): it is an older copy, or lost entries. SCTs of other logs do not count. May be given several times;
    /// the one with the highest index says the most.
    #[must_use]
    pub fn gave_out(mut self, sct: Sct) -> LogSettings {
        self.given_out.push(sct);
        self
    }

    /// Entries that may wait for the sequencer.
    #[cfg(test)]
    pub(crate) fn queue_entries(self, queue_entries: usize) -> LogSettings {
        LogSettings {
            queue_entries,
            ..self
        }
    }
}
