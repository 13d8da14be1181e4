//! The file of the record: appended to, and found at its path or not at all.

use std::{
    fs::{File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::fstatvfs;

use super::AuditError;
use crate::durability::sync_folder_of;

/// Owner and group may read identities; nobody else.
const MODE: u32 = 0o640;

/// Free space that ends a shortage, in bytes: some thousand lines, so that it does not begin again at once.
const ROOM: u64 = 1024 * 1024;

/// An open file, which no other process appends to.
#[derive(Debug)]
pub(super) struct RecordFile {
    file: File,
    path: PathBuf,
    /// Of a regular file: others, such as `/dev/null`, are not rotated.
    identity: Option<Identity>,
    /// The last line ends in the middle.
    torn: bool,
}

/// What a path must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// How far an append came.
#[derive(Debug)]
pub(super) struct Appended {
    /// How many lines are in the file, durably.
    pub(super) lines: usize,
    pub(super) outcome: Result<(), AppendError>,
}

/// Why not all lines are in the file.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The disk or a quota is full. What was written before is durable.
    Full,
    /// The file has no name any more: what was written is durable nowhere.
    Removed,
    /// Nobody knows what is on the disk.
    Failed(io::Error),
}

fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(MODE);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create(true).open(path),
        created => {
            let file = created?;
            // Whatever the umask is.
            file.set_permissions(Permissions::from_mode(MODE))?;
            Ok(file)
        }
    }
}

impl RecordFile {
    /// Opens the file, which is made if it is not there, and ends a last line that was cut short, so that it spoils no other.
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let file = open_or_create(path)?;
        let metadata = file.metadata()?;
        let mut opened = Self {
            identity: metadata.is_file().then(|| Identity::of(&metadata)),
            torn: false,
            path: path.to_owned(),
            file,
        };
        if metadata.is_file() {
            opened.file.try_lock()?;
            opened.torn = opened.is_cut_short()?;
            opened.end_line()?;
        }
        sync_folder_of(path)?;
        Ok(opened)
    }

    /// The file that is at the path now, made if there is none. The old one is closed once the new one is locked.
    pub(super) fn reopen(&mut self) -> Result<(), AuditError> {
        let opened = Self::open(&self.path)?;
        if let Err(error) = self.end_line() {
            tracing::warn!(%error, "the last line of the audit record that was closed is cut short");
        }
        *self = opened;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to this file.
    pub(super) fn is_at_its_path(&self) -> bool {
        let Some(identity) = self.identity else {
            return true;
        };
        std::fs::metadata(&self.path).is_ok_and(|found| Identity::of(&found) == identity)
    }

    /// Whether there is space again. Of quotas this says nothing: there the next write tells.
    pub(super) fn has_room(&self) -> bool {
        fstatvfs(&self.file).is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) >= ROOM)
    }

    /// Appends these lines, with their ends.
    pub(super) fn append<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> Appended {
        let mut text = Vec::new();
        if self.torn {
            text.push(b'\n');
        }
        let mut ends = Vec::new();
        for line in lines {
            text.extend_from_slice(line);
            ends.push(text.len());
        }
        let (written, outcome) = self.write(&text);
        let mut appended = Appended {
            lines: ends.partition_point(|end| *end <= written),
            outcome: match outcome {
                Ok(()) => Ok(()),
                Err(error) if is_full(&error) => Err(AppendError::Full),
                Err(error) => Err(AppendError::Failed(error)),
            },
        };
        if let Err(error) = self.make_durable(written) {
            appended.lines = 0;
            appended.outcome = Err(error);
        }
        appended
    }

    /// Writes as much as there is space for.
    fn write(&mut self, text: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(more) => {
                    written = written.saturating_add(more);
                    self.torn = text.get(written.saturating_sub(1)) != Some(&b'\n');
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    fn make_durable(&self, written: usize) -> Result<(), AppendError> {
        if written == 0 {
            return Ok(());
        }
        self.file.sync_data().map_err(AppendError::Failed)?;
        let metadata = self.file.metadata().map_err(AppendError::Failed)?;
        match self.identity.is_some() && metadata.nlink() == 0 {
            true => Err(AppendError::Removed),
            false => Ok(()),
        }
    }

    fn is_cut_short(&self) -> io::Result<bool> {
        let mut last = [b'\n'];
        if let Some(at) = self.file.metadata()?.len().checked_sub(1) {
            self.file.read_exact_at(&mut last, at)?;
        }
        Ok(last != [b'\n'])
    }

    /// If there is no space for it, the next append does it.
    fn end_line(&mut self) -> io::Result<()> {
        if !self.torn {
            return Ok(());
        }
        match self.write(b"\n").1 {
            Err(error) if !is_full(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
