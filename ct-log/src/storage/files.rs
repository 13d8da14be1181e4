//! The file operations that a log is built on: the one seam between it and the operating system.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::public_files;

/// Length of a segment in bytes. It holds two batches of the greatest size, or 2,048 of the smallest.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// Files below one directory. Paths are relative, with `/`.
///
/// An implementation MUST keep to this, or the log loses acknowledged entries:
/// - after [`OpenFile::sync`] returned, the bytes and the length of the file survive a power cut;
/// - after [`Files::sync_directory`] returned, so do the names created, renamed and removed in that directory;
/// - [`Files::create`] and [`Files::link`] never replace a file: they fail with [`ErrorKind::AlreadyExists`];
/// - [`Files::rename`] replaces atomically: a reader sees the old file or the new one;
/// - an error means that nothing is known about the file; it is never reported as absence, which is [`ErrorKind::NotFound`].
pub(crate) trait Files: Send + Sync {
    /// Creates a file of `length` zero bytes whose blocks are allocated, so that writing into it needs no more space.
    fn create(&self, path: &str, length: u64) -> io::Result<Box<dyn OpenFile>>;
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// The names of files and directories in a directory, in no order.
    fn names(&self, directory: &str) -> io::Result<Vec<String>>;
    /// Creates one directory; no error if it is there.
    fn make_directory(&self, path: &str) -> io::Result<()>;
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, path: &str) -> io::Result<()>;
    fn sync_directory(&self, path: &str) -> io::Result<()>;
    /// Bytes that this process could still write.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Length of a segment of the write-ahead log.
    fn segment_bytes(&self) -> u64 {
        SEGMENT_BYTES
    }
}

/// A file open for writing.
pub(crate) trait OpenFile: Send + Sync {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// Whether an error says that there is no space: the only error after which a write may be tried again, because it was
/// refused before anything was made durable.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// The name in `directory` of that path or of the directory below it that leads there: for files that are not in a file system.
pub(crate) fn name_in<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    let below = match directory {
        "." => path,
        directory => path.strip_prefix(directory)?.strip_prefix('/')?,
    };
    below.split('/').next()
}

/// A directory of the file system.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

/// Why the lock of a directory was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process, or another log in this one, has it.
    Held,
    /// There is no such directory.
    Missing,
    Io(io::Error),
}

/// Released when dropped.
#[derive(Debug)]
pub(crate) struct LockFile {
    _file: File,
}

/// Written at once when a segment is filled with zeros.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

impl Directory {
    pub(crate) fn new(root: &Path) -> Directory {
        Directory {
            root: root.to_owned(),
        }
    }

    /// Takes the exclusive lock of the directory. It belongs to the open file, not to the process: a second opener is
    /// refused even here, and a forked child cannot release it.
    pub(crate) fn lock(&self) -> Result<LockFile, LockError> {
        let file = public_files::open(&self.root.join("lock"));
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::NotFound => LockError::Missing,
            _ => LockError::Io(error),
        })?;
        match file.try_lock() {
            Ok(()) => Ok(LockFile { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Files for Directory {
    fn create(&self, path: &str, length: u64) -> io::Result<Box<dyn OpenFile>> {
        let mut file = public_files::create_new(&self.path(path))?;
        let mut left = length;
        while left > 0 {
            let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            file.write_all(ZEROS.get(..chunk).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(chunk).unwrap_or(u64::MAX));
        }
        Ok(Box::new(file))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(path))
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(directory))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        match public_files::make_folder(&self.path(path)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.path(from), self.path(to))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        File::open(self.path(path))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl OpenFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    // `fdatasync` also makes a changed length durable; in a preallocated segment it has no metadata to write.
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
