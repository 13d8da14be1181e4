//! Folders that appear whole or not at all: filled beside their place, then renamed into it.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::durability::sync_folder_of;

/// Permissions of a folder with secrets.
pub const SECRET_FOLDER: u32 = 0o700;

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
        fs::create_dir_all(parent)?;
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
}
