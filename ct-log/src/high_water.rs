//! What a log remembers of itself outside of itself: the furthest tree that it published, in a file on another disk. A
//! log's directory that was rolled back as a whole cannot know it; the mark does (C15).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::LogPublicKey;
use crate::proof::Plan;
use crate::publish::Published;
use crate::storage::{self, OpenError, Opened, Tiles};
use crate::tree::Hash;

/// A file with the newest checkpoint, a signed note: any reader's copy of a newer one may be put in its place. An empty file is a
/// mark that was not set yet.
#[derive(Debug, Clone)]
pub(crate) struct HighWaterMark {
    path: PathBuf,
}

impl HighWaterMark {
    pub(crate) fn new(path: PathBuf) -> HighWaterMark {
        HighWaterMark { path }
    }

    /// At the birth of a log: it may not be another log's.
    pub(crate) fn begin(&self) -> Result<(), OpenError> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&self.path);
        let length = file.and_then(|file| Ok(file.metadata()?.len()));
        match length.map_err(storage::io_error("create the high-water mark"))? {
            0 => Ok(()),
            _ => Err(self.invalid("it is of a log that exists already")),
        }
    }

    /// Refuses a log that does not contain what was published, and takes the checkpoint from the mark if that is newer.
    pub(crate) fn check(
        &self,
        opened: &mut Opened,
        whose: (&Origin, &LogPublicKey),
    ) -> Result<(), OpenError> {
        let Some(marked) = self.read(whose)? else {
            return Ok(());
        };
        let (size, high) = (opened.head.size, marked.checkpoint.size());
        if high > size || root_at(opened, high)? != Some(marked.checkpoint.root()) {
            return Err(OpenError::BehindHighWaterMark {
                mark: self.path.clone(),
                published: high,
                size,
            });
        }
        if marked.checkpoint.timestamp() > opened.published.checkpoint.timestamp() {
            opened.published = marked;
        }
        Ok(())
    }

    fn read(&self, (origin, key): (&Origin, &LogPublicKey)) -> Result<Option<Published>, OpenError> {
        let note = match fs::read_to_string(&self.path) {
            Ok(note) if note.is_empty() => return Ok(None),
            Ok(note) => note,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(OpenError::NoHighWaterMark {
                    mark: self.path.clone(),
                });
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(self.invalid("it is not text"));
            }
            Err(error) => return Err(storage::io_error("read the high-water mark")(error)),
        };
        let checkpoint = Checkpoint::verify(&note, origin, key);
        let checkpoint = checkpoint.map_err(|error| self.invalid(&error.to_string()))?;
        let note = note.into();
        Ok(Some(Published { checkpoint, note }))
    }

    /// Durable on return, though after a power cut it may be the one before: with what was remembered then, the directory of then
    /// cannot be told from a newer one for a moment, no longer.
    pub(crate) fn raise(&self, note: &str) -> io::Result<()> {
        let unfinished = unfinished(&self.path);
        let mut file = File::create(&unfinished)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)
    }

    fn invalid(&self, what: &str) -> OpenError {
        OpenError::ForeignHighWaterMark {
            mark: self.path.clone(),
            what: what.to_owned(),
        }
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The root of the first `size` entries.
fn root_at(opened: &mut Opened, size: u64) -> Result<Option<Hash>, OpenError> {
    let edge = RwLock::new(opened.tail.clone());
    let tiles = Tiles::new(&*opened.objects, &edge);
    let plan = Plan::root(size);
    let read = |tile| Ok((tile, tiles.read(tile)?));
    let needed = plan.tiles().into_iter().map(read).collect::<io::Result<_>>();
    let hashes = plan.hashes(&needed.map_err(storage::io_error("read a tile"))?);
    Ok(hashes.and_then(|hashes| hashes.first().copied()))
}
