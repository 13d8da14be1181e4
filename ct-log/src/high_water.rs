//! What a log remembers of itself outside of itself: the furthest tree that it published, in a file on another disk, and the furthest
//! that it acknowledged, in a second one beside it. A log's directory that was rolled back as a whole cannot know it; the marks do (C15).
//! The entries of SCTs that are known to be given out are looked up, too.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::LogPublicKey;
use crate::leaf::{LeafIndex, LogId, SequencedEntry};
use crate::proof::Plan;
use crate::public_files;
use crate::publish::Published;
use crate::read::data_tile;
use crate::sct::Sct;
use crate::storage::{self, Head, HighWater, OpenError, Opened, Tiles};
use crate::threads;
use crate::tree::Hash;

/// The end of the name of the file beside a mark.
const ACKNOWLEDGED: &str = ".acknowledged";

/// A file with the newest checkpoint, a signed note: any reader's copy of a newer one may be put in its place. An empty file is a
/// mark that was not set yet. Beside it, with `.acknowledged` at the end of its name, is how far the log acknowledged entries, written
/// once a second and before a log that failed says so; it may be missing.
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
        let file = public_files::open(&self.path);
        let length = file.and_then(|file| Ok(file.metadata()?.len()));
        let acknowledged = beside(&self.path, ACKNOWLEDGED).try_exists();
        let acknowledged = acknowledged.map_err(storage::io_error("look for a high-water mark"))?;
        match length.map_err(storage::io_error("create the high-water mark"))? {
            0 if !acknowledged => Ok(()),
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
        self.check_acknowledged(opened, whose.1)?;
        if marked.checkpoint.timestamp() > opened.published.checkpoint.timestamp() {
            opened.published = marked;
        }
        Ok(())
    }

    fn check_acknowledged(&self, opened: &mut Opened, key: &LogPublicKey) -> Result<(), OpenError> {
        let acknowledged = self.acknowledged(key.log_id());
        let Some(mark) = acknowledged.read()? else {
            return Ok(());
        };
        let size = opened.head.size;
        if mark.size > size || root_at(opened, mark.size)? != Some(mark.root) {
            return Err(OpenError::BehindHighWaterMark {
                mark: acknowledged.path().to_owned(),
                published: mark.size,
                size,
            });
        }
        Ok(())
    }

    /// The file beside it.
    fn acknowledged(&self, log_id: LogId) -> HighWater {
        HighWater::new(beside(&self.path, ACKNOWLEDGED), log_id)
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
        threads::check_alive()?;
        let unfinished = beside(&self.path, ".new");
        let mut file = public_files::create(&unfinished)?;
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

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The marks of a log that runs.
#[derive(Debug)]
pub(crate) struct Marks {
    published: Vec<HighWaterMark>,
    acknowledged: Vec<HighWater>,
}

impl Marks {
    /// None, of a log that is only read.
    pub(crate) fn none() -> Marks {
        Marks {
            published: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    /// They have been checked.
    pub(crate) fn new(published: Vec<HighWaterMark>, log_id: LogId) -> Marks {
        let acknowledged = published.iter().map(|mark| mark.acknowledged(log_id));
        Marks {
            acknowledged: acknowledged.collect(),
            published,
        }
    }

    /// Before anybody sees the checkpoint.
    pub(crate) fn raise_published(&self, note: &str) -> io::Result<()> {
        self.published.iter().try_for_each(|mark| mark.raise(note))
    }

    /// The tree that is durable and acknowledged.
    pub(crate) fn raise_acknowledged(&self, head: &Head) -> io::Result<()> {
        self.acknowledged.iter().try_for_each(|mark| mark.raise(head))
    }
}

/// Refuses a log that does not hold the entry of an SCT that it gave out. SCTs of other logs do not count.
pub(crate) fn check_given_out(opened: &Opened, scts: &[Sct], key: &LogPublicKey) -> Result<(), OpenError> {
    for sct in scts.iter().filter(|sct| sct.log_id() == key.log_id()) {
        let entry = entry_at(opened, sct.leaf_index())?;
        if entry.is_none_or(|entry| sct.verify(entry.entry(), key).is_err()) {
            return Err(OpenError::LacksEntry {
                index: sct.leaf_index().get(),
                size: opened.head.size,
            });
        }
    }
    Ok(())
}

fn entry_at(opened: &Opened, index: LeafIndex) -> Result<Option<SequencedEntry>, OpenError> {
    let end = index.get().saturating_add(1);
    let Some(tile) = data_tile(index.get()..end).filter(|_| end <= opened.head.size) else {
        return Ok(None);
    };
    let edge = RwLock::new(opened.tail.clone());
    let read = Tiles::new(&*opened.objects, &edge).read(tile);
    let bytes = read.map_err(storage::io_error("read a tile"))?;
    let entries = SequencedEntry::decode_all(&bytes);
    let entries = entries.map_err(|_| storage::corrupt(format!("{tile} is damaged")))?;
    Ok(entries.into_iter().find(|entry| entry.index() == index))
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
