//! Files in two directories, on devices that do not fail together: what is written is in both before anybody hears of it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;

use super::files::{Files, OpenFile};

/// Every change is made in both, every read is from the first. A name is given in the mirror first: what is found in the first
/// is in both, also if one of them had no space for a while and the change was tried again. A change that one of them refuses is an
/// error: the log stops as for a disk of its own. The start makes the two equal again (`reconcile.rs`).
pub(crate) struct Mirrored {
    main: Arc<dyn Files>,
    mirror: Arc<dyn Files>,
}

struct MirroredFile {
    main: Box<dyn OpenFile>,
    mirror: Box<dyn OpenFile>,
}

impl Mirrored {
    pub(crate) fn new(main: Arc<dyn Files>, mirror: Arc<dyn Files>) -> Mirrored {
        Mirrored { main, mirror }
    }

    fn is_in_mirror(&self, from: &str, to: &str) -> io::Result<bool> {
        Ok(self.mirror.read(from)? == self.mirror.read(to)?)
    }
}

impl Files for Mirrored {
    fn create(&self, path: &str, length: u64) -> io::Result<Box<dyn OpenFile>> {
        let main = self.main.create(path, length)?;
        let mirror = self.mirror.create(path, length)?;
        Ok(Box::new(MirroredFile { main, mirror }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.main.read(path)
    }

    /// Those of either, so that nothing is left behind in one.
    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names: BTreeSet<_> = self.main.names(directory)?.into_iter().collect();
        names.extend(self.mirror.names(directory)?);
        Ok(names.into_iter().collect())
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        self.main.make_directory(path)?;
        self.mirror.make_directory(path)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        match self.mirror.link(from, to) {
            // Left by an earlier try that the first had no space for.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.is_in_mirror(from, to)? => {}
            linked => linked?,
        }
        self.main.link(from, to)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.mirror.rename(from, to)?;
        self.main.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (main, mirror) = (self.main.remove(path), self.mirror.remove(path));
        match (main, mirror) {
            // A power cut between the two leaves a file in one of them.
            (Err(error), Ok(())) | (Ok(()), Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
            (main, mirror) => main.and(mirror),
        }
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.main.sync_directory(path)?;
        self.mirror.sync_directory(path)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.main.free_bytes()?.min(self.mirror.free_bytes()?))
    }
}

impl OpenFile for MirroredFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.main.write_at(bytes, offset)?;
        self.mirror.write_at(bytes, offset)
    }

    /// Both at the same time: the slower one is waited for, not the sum.
    fn sync(&self) -> io::Result<()> {
        thread::scope(|threads| {
            let mirror = thread::Builder::new().spawn_scoped(threads, || self.mirror.sync())?;
            let main = self.main.sync();
            let mirror = mirror.join();
            main?;
            mirror.unwrap_or_else(|_| Err(io::Error::other("the thread that syncs the mirror panicked")))
        })
    }
}
