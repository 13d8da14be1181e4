//! Folders and files that appear whole or not at all: made beside their place, then renamed into it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use ct_log::public_files::make_folders;
use rustix::fs::{CWD, RenameFlags};
use tempfile::{NamedTempFile, TempDir};

use crate::durability::sync_folder_of;

/// Permissions of a folder with secrets.
pub const SECRET_FOLDER: u32 = 0o700;

/// Permissions of a folder for everybody's eyes.
pub const PUBLIC_FOLDER: u32 = 0o755;

/// Permissions of a file for everybody's eyes.
const PUBLIC_FILE: u32 = 0o644;

/// A folder in the making, its owner's alone; dropped, it is gone.
#[derive(Debug)]
pub struct StagedFolder {
    folder: TempDir,
    place: PathBuf,
}

impl StagedFolder {
    /// An empty folder beside `place`, whose parents are made if need be. Its name begins with `prefix`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn beside(place: &Path, prefix: &str) -> io::Result<Self> {
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        make_folders(parent)?;
        let folder = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(SECRET_FOLDER))
            .tempdir_in(parent)?;
        Ok(Self {
            folder,
            place: place.to_owned(),
        })
    }

    /// Where to make the files.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts the folder in its place, with all that is in it on the disk.
    ///
    /// # Errors
    /// If something cannot be made durable, or there is something in its place, other than an empty folder.
    pub fn publish(self) -> io::Result<()> {
        sync_all(self.path())?;
        fs::rename(self.path(), &self.place)?;
        // Its old name is gone, so there is nothing left to remove.
        let _ = self.folder.keep();
        sync_folder_of(&self.place)
    }

    /// Puts the folder, with all that is in it on the disk, in the place of the one that is there, which goes: at no time is
    /// there anything but the one or the other.
    ///
    /// # Errors
    /// If something cannot be made durable, or there is no folder in its place, or the file system cannot exchange two.
    pub fn exchange(self) -> io::Result<()> {
        sync_all(self.path())?;
        rustix::fs::renameat_with(CWD, self.path(), CWD, &self.place, RenameFlags::EXCHANGE)?;
        sync_folder_of(&self.place)
    }
}

/// Writes a new file for everybody's eyes, on the disk on return.
///
/// # Errors
/// If it cannot be made, or there is one.
pub fn write_public_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(PUBLIC_FILE)
        .open(path)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(PUBLIC_FILE))?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Writes a file for everybody's eyes, on the disk on return: readers see the old contents or the new, never a part.
///
/// # Errors
/// If it cannot be made, or not be made durable.
pub fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let file = beside(path, contents)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder_of(path)
}

/// The same of a file that will be written again anyhow: after a power cut, the old contents may be back, or nothing.
pub(crate) fn replace_passing_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    beside(path, contents)?
        .persist(path)
        .map_err(|error| error.error)?;
    Ok(())
}

fn beside(path: &Path, contents: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(contents)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(PUBLIC_FILE))?;
    Ok(file)
}

/// Files and folders in `folder`, and itself.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_whole_in_an_empty_place_alone() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("new/place");
        let (one, two) = (
            StagedFolder::beside(&place, ".staged-").unwrap(),
            StagedFolder::beside(&place, ".staged-").unwrap(),
        );
        for staged in [&one, &two] {
            fs::create_dir(staged.path().join("folder")).unwrap();
            fs::write(staged.path().join("folder/file"), "contents").unwrap();
        }
        assert!(!place.exists());
        one.publish().unwrap();
        assert_eq!(fs::read_to_string(place.join("folder/file")).unwrap(), "contents");
        two.publish().unwrap_err();
        let left = fs::read_dir(parent.path().join("new")).unwrap().count();
        assert_eq!(left, 1, "what was not published is gone");
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            SECRET_FOLDER
        );
    }

    #[test]
    fn takes_the_place_of_another_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("place");
        for contents in ["one", "two"] {
            let staged = StagedFolder::beside(&place, ".staged-").unwrap();
            write_public_file(&staged.path().join("file"), contents.as_bytes()).unwrap();
            match place.exists() {
                true => staged.exchange().unwrap(),
                false => staged.publish().unwrap(),
            }
            assert_eq!(fs::read_to_string(place.join("file")).unwrap(), contents);
        }
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            1,
            "the old one is gone"
        );
        let staged = StagedFolder::beside(&parent.path().join("other"), ".staged-").unwrap();
        staged.exchange().unwrap_err();
    }

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace_file(&path, b"a long first text").unwrap();
        replace_file(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
