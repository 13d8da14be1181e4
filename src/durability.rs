//! Names that survive a power cut: a new file's name is on the disk only once its folder is.

use std::{fs::File, io, path::Path};

/// Makes the names in the folder of `path` durable, that of `path` among them.
///
/// # Errors
/// If the folder cannot be opened or written.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
