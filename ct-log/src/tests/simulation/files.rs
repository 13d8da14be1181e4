//! The files of a directory on a machine that loses power, runs full, and has a disk that fails.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::storage::{Files, OpenFile};
use crate::tests::model::Model;
use crate::threads::schedule::{note, random};

use super::world::World;

/// How long a call takes at most, as a rule.
const USUAL: Duration = Duration::from_millis(3);

/// Segments of a write-ahead log: so small that a run comes to the end of some.
const SEGMENT_BYTES: u64 = 64 * 1024;

/// The model of a file system, under faults.
#[derive(Clone)]
pub(super) struct SimulatedFiles {
    pub(super) model: Model,
    pub(super) world: Arc<World>,
    pub(super) full: Arc<AtomicBool>,
    /// Whether readers see what is published.
    pub(super) seen: bool,
    /// For a test of the simulation: a sync does nothing.
    pub(super) forgets: bool,
}

struct SimulatedFile {
    file: Box<dyn OpenFile>,
    files: SimulatedFiles,
}

/// Whether a call needs space.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Needed,
    NotNeeded,
}

impl SimulatedFiles {
    /// The same, but what is published there is seen by nobody.
    pub(super) fn unseen(&self) -> SimulatedFiles {
        SimulatedFiles {
            seen: false,
            ..self.clone()
        }
    }

    fn call<T>(
        &self,
        (name, path, space): (&str, &str, Space),
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.world.delay(USUAL);
        let fails = self.world.fails();
        let result = if space == Space::Needed && self.full.load(Ordering::SeqCst) {
            Err(ErrorKind::StorageFull.into())
        } else if fails && random(2) == 0 {
            Err(io::Error::other("an injected error"))
        } else {
            let result = act();
            match fails {
                true => Err(io::Error::other("an injected error, though it was done")),
                false => result,
            }
        };
        note(|| match &result {
            Ok(_) => format!("{name} {path}"),
            Err(error) => format!("{name} {path}: {error}"),
        });
        self.world.delay(USUAL / 4);
        result
    }
}

impl Files for SimulatedFiles {
    fn create(&self, path: &str, length: u64) -> io::Result<Box<dyn OpenFile>> {
        let file = self.call(("create", path, Space::Needed), || {
            self.model.create(path, length)
        })?;
        Ok(Box::new(SimulatedFile {
            file,
            files: self.clone(),
        }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.call(("read", path, Space::NotNeeded), || self.model.read(path))
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        self.call(("names", directory, Space::NotNeeded), || {
            self.model.names(directory)
        })
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        self.call(("make_directory", path, Space::Needed), || {
            self.model.make_directory(path)
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(("link", to, Space::Needed), || self.model.link(from, to))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(("rename", to, Space::NotNeeded), || {
            self.model.rename(from, to)?;
            if to == "checkpoint" && self.seen {
                let text = self.model.contents(to);
                self.world
                    .saw(|history| history.published(&String::from_utf8_lossy(&text)));
            }
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.call(("remove", path, Space::NotNeeded), || self.model.remove(path))
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.call(("sync_directory", path, Space::NotNeeded), || {
            self.model.sync_directory(path)
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(if self.full.load(Ordering::SeqCst) {
            0
        } else {
            u64::MAX
        })
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT_BYTES
    }
}

impl OpenFile for SimulatedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.files.call(("write", "", Space::NotNeeded), || {
            self.file.write_at(bytes, offset)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.files
            .call(("sync", "", Space::NotNeeded), || match self.files.forgets {
                true => Ok(()),
                false => self.file.sync(),
            })
    }
}
