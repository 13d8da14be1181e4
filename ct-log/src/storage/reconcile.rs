//! What a start does with two directories that hold one log: finds which has more, makes the other equal, and refuses what does
//! not fit. Whatever was acknowledged is in both, so the one that has more only has what nobody was told of.
//!
//! A directory that is being made equal has no `log.json` meanwhile: a start that finds it so does it again.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::LogPublicKey;

use super::identity::Identity;
use super::recovery::{OpenError, io_error, read_checkpoint, segments};
use super::replay::WalReplay;
use super::store::Store;
use super::wal::segment_path;
use super::{CHECKPOINT, Head, Objects};

/// Files that are stored at once: their directories are synced together.
const FILES_AT_ONCE: usize = 256;

/// A log's directory and its mirror.
pub(crate) struct Pair<'a> {
    pub(crate) main: &'a Store,
    pub(crate) mirror: &'a Store,
    pub(crate) origin: &'a Origin,
    pub(crate) key: &'a LogPublicKey,
    pub(crate) mirror_directory: &'a Path,
}

/// What a directory holds.
enum Found {
    Nothing,
    /// A copy that was not finished, or the beginning of a log that was not born.
    Unfinished,
    Log(Head),
    Damaged(OpenError),
}

impl Pair<'_> {
    /// Makes both equal.
    ///
    /// # Errors
    /// They hold different trees, one of them is damaged, or the log is in the mirror alone. What to do then is for a person to
    /// decide, and nothing was changed.
    pub(crate) fn reconcile(&self) -> Result<(), OpenError> {
        let (main, mirror) = (self.main, self.mirror);
        match (self.find(main)?, self.find(mirror)?) {
            (Found::Log(ahead), Found::Log(head)) if ahead.size >= head.size => {
                self.extend(main, mirror, head)
            }
            (Found::Log(head), Found::Log(_)) => self.extend(mirror, main, head),
            (Found::Log(_), Found::Nothing | Found::Unfinished) => {
                tracing::warn!(mirror = %self.mirror_directory.display(), "the log's mirror is made anew");
                self.copy(main, mirror)
            }
            (Found::Unfinished, Found::Log(_)) => self.copy(mirror, main),
            (Found::Nothing, Found::Log(_)) => Err(self.only_in_mirror("is empty")),
            (Found::Damaged(error), Found::Log(_)) => {
                Err(self.only_in_mirror(&format!("is damaged ({error})")))
            }
            (_, Found::Damaged(error)) => Err(OpenError::Mirror {
                what: format!(
                    "the log's mirror {} is damaged ({error}); empty it, and it is made anew",
                    self.mirror_directory.display()
                ),
            }),
            // There is no log: recovery says so.
            _ => Ok(()),
        }
    }

    fn only_in_mirror(&self, what: &str) -> OpenError {
        let mirror = self.mirror_directory.display();
        OpenError::Mirror {
            what: format!(
                "the log's directory {what}, its mirror {mirror} is whole: make that the directory in the settings, and an \
                 empty one the mirror"
            ),
        }
    }

    fn extend(&self, from: &Store, to: &Store, head: Head) -> Result<(), OpenError> {
        let published = Checkpoint::new(head.size, head.root, head.timestamp);
        if self.replay(from, published).is_err() {
            return Err(OpenError::Mirror {
                what: format!(
                    "the log and its mirror {} hold different trees: one of them is not this log's",
                    self.mirror_directory.display()
                ),
            });
        }
        self.copy(from, to)
    }

    fn find(&self, store: &Store) -> Result<Found, OpenError> {
        match Identity::read(store) {
            Ok(identity) => match identity.check_directory(self.key.log_id(), self.origin) {
                Err(damaged @ OpenError::Corrupt { .. }) => return Ok(Found::Damaged(damaged)),
                checked => checked?,
            },
            Err(OpenError::Missing { .. }) => {
                let names = store.files().names(".").map_err(io_error("list a directory"))?;
                let nothing = names.iter().all(|name| name == "lock");
                return Ok(if nothing {
                    Found::Nothing
                } else {
                    Found::Unfinished
                });
            }
            Err(error) => return Ok(Found::Damaged(error)),
        }
        let published = read_checkpoint(store, self.origin, self.key);
        match published.and_then(|(_, published)| self.replay(store, published)) {
            Ok(head) => Ok(Found::Log(head)),
            Err(error @ OpenError::Io { .. }) => Err(error),
            Err(error) => Ok(Found::Damaged(error)),
        }
    }

    /// The head of the log in that directory, if its tree goes on from `published`.
    fn replay(&self, store: &Store, published: Checkpoint) -> Result<Head, OpenError> {
        let segments = segments(store)?;
        let mut replay = WalReplay::begin(store, self.key.log_id(), published, &segments)?;
        for number in segments {
            replay.segment(number)?;
        }
        let (_, head, _) = replay.finish()?;
        Ok(head)
    }

    /// Makes `to` hold what `from` holds.
    fn copy(&self, from: &Store, to: &Store) -> Result<(), OpenError> {
        let (new, old) = (segments(from)?, segments_or_none(to)?);
        let checkpoint = self.newer_checkpoint(from, to)?;
        let copied = || -> io::Result<()> {
            let equal = new == old && segments_equal(from, to, &new)?;
            if !equal && to.read(Identity::PATH)?.is_some() {
                to.files().remove(Identity::PATH)?;
                to.files().sync_directory(".")?;
            }
            for store in [from, to] {
                store.make_directories()?;
                store.clear_temporaries()?;
            }
            // Tiles are made of what is durable in both, whichever has them.
            copy_immutable(from, to)?;
            copy_immutable(to, from)?;
            if !equal {
                copy_segments(from, to, (&new, &old))?;
            }
            for store in [from, to] {
                replace(store, CHECKPOINT, checkpoint.as_bytes())?;
            }
            let identity = from.read(Identity::PATH)?.unwrap_or_default();
            to.put_immutable(&[(Identity::PATH.to_owned(), &identity)])
        };
        copied().map_err(io_error("make the log and its mirror equal"))
    }

    /// For both: what was published is never forgotten.
    fn newer_checkpoint(&self, from: &Store, to: &Store) -> Result<String, OpenError> {
        let (note, checkpoint) = read_checkpoint(from, self.origin, self.key)?;
        match read_checkpoint(to, self.origin, self.key) {
            Ok((newer, other)) if other.timestamp() > checkpoint.timestamp() => Ok(newer),
            _ => Ok(note),
        }
    }
}

/// An unfinished directory may lack its `wal`.
fn segments_or_none(store: &Store) -> Result<Vec<u64>, OpenError> {
    match segments(store) {
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        segments => segments,
    }
}

fn segments_equal(from: &Store, to: &Store, numbers: &[u64]) -> io::Result<bool> {
    for number in numbers {
        let path = segment_path(*number);
        if from.files().read(&path)? != to.files().read(&path)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn copy_immutable(from: &Store, to: &Store) -> io::Result<()> {
    let there: BTreeSet<String> = immutable(to)?.into_iter().collect();
    let missing: Vec<String> = immutable(from)?
        .into_iter()
        .filter(|path| !there.contains(path))
        .collect();
    for paths in missing.chunks(FILES_AT_ONCE) {
        let bytes = paths
            .iter()
            .map(|path| from.files().read(path))
            .collect::<io::Result<Vec<_>>>()?;
        let files: Vec<_> = paths
            .iter()
            .cloned()
            .zip(bytes.iter().map(Vec::as_slice))
            .collect();
        to.put_immutable(&files)?;
    }
    Ok(())
}

/// The paths of all tiles and issuers.
fn immutable(store: &Store) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut directories = vec!["issuer".to_owned()];
    for level in store.files().names("tile")? {
        directories.push(format!("tile/{level}"));
    }
    while let Some(directory) = directories.pop() {
        for name in store.files().names(&directory)? {
            let path = format!("{directory}/{name}");
            // The groups of a tile's path but its last one (C2SP tlog-tiles).
            if name.starts_with('x') {
                directories.push(path);
            } else {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn copy_segments(from: &Store, to: &Store, (new, old): (&[u64], &[u64])) -> io::Result<()> {
    for number in new {
        let path = segment_path(*number);
        replace(to, &path, &from.files().read(&path)?)?;
    }
    for number in old.iter().filter(|number| !new.contains(number)) {
        to.files().remove(&segment_path(*number))?;
    }
    to.files().sync_directory("wal")
}

fn replace(store: &Store, path: &str, bytes: &[u8]) -> io::Result<()> {
    let (temporary, _) = store.write_temporary(bytes)?;
    store.files().rename(&temporary, path)
}
