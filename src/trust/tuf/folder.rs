//! What is where in a repository's folder.

use std::{
    fs, io,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use tough::{TargetName, schema::Target};

use super::TufError;

/// Names of folders in the making begin so; one that is left over is removed.
pub const STAGED: &str = ".mayfly-tuf-";

/// The first root: what clients are given.
pub const FIRST_ROOT: &str = "1.root.json";

pub(super) const TARGETS: &str = "targets";
pub(super) const TIMESTAMP: &str = "timestamp.json";

/// The part of a repository's folder that is for everybody.
#[must_use]
pub fn public_folder(folder: &Path) -> PathBuf {
    folder.join("public")
}

/// Where a change waits for signatures.
#[must_use]
pub fn pending_folder(folder: &Path) -> PathBuf {
    folder.join("pending")
}

/// The root's file of a version (specification 3.2: roots always have their version in the name).
pub(super) fn root_file(version: NonZeroU64) -> String {
    format!("{version}.root.json")
}

pub(super) fn targets_file(version: NonZeroU64) -> String {
    format!("{version}.targets.json")
}

pub(super) fn snapshot_file(version: NonZeroU64) -> String {
    format!("{version}.snapshot.json")
}

/// The name of a target's file below `targets` (specification 6.2).
pub(super) fn target_file(name: &TargetName, target: &Target) -> String {
    format!("{}.{}", hex::encode(&target.hashes.sha256), name.resolved())
}

/// The highest version of a root in `folder`; nothing if there is none.
pub(super) fn newest_root(folder: &Path) -> Result<Option<NonZeroU64>, TufError> {
    let files = files_in(folder)?;
    let versions = files.iter().filter_map(|file| {
        let name = file.file_name()?.to_str()?;
        name.strip_suffix(".root.json")?.parse().ok()
    });
    Ok(versions.max())
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> TufError + '_ {
    move |source| TufError::Io {
        path: path.to_owned(),
        source,
    }
}

/// A file of up to `limit` bytes; nothing if there is none. It may have come from another machine, so it may be anything.
pub(super) fn read_if_there(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    };
    if !kind.is_file() || kind.len() > limit {
        let error = io::Error::other(format!("it is not a file of at most {limit} bytes"));
        return Err(io_error(path)(error));
    }
    fs::read(path).map(Some).map_err(io_error(path))
}

/// The same of a file that must be there.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, TufError> {
    read_if_there(path, limit)?.ok_or_else(|| io_error(path)(io::ErrorKind::NotFound.into()))
}

/// Names of the files in a folder, in order; none if it is not there.
pub(super) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, TufError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error(folder))?;
        if entry.file_type().map_err(io_error(folder))?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
