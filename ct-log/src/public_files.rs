//! Files and folders that everybody may read and only their owner may write, whatever the umask of
//! the process is: a web server can serve them, and nobody else can change them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FILE: u32 = 0o644;
const FOLDER: u32 = 0o755;
const PERMISSIONS: u32 = 0o777;

/// Opens a new file for writing.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(FILE).open(path)?;
    let permissions = file.metadata()?.permissions();
    if let Some(wanted) = unlike(&permissions, FILE) {
        file.set_permissions(wanted)?;
    }
    Ok(file)
}

/// Opens a file for writing, with what it holds; makes it if it is not there.
///
/// # Errors
/// As [`OpenOptions::open`].
pub fn open(path: &Path) -> io::Result<File> {
    open_or_create(path, false)
}

/// As [`File::create`].
pub(crate) fn create(path: &Path) -> io::Result<File> {
    open_or_create(path, true)
}

fn open_or_create(path: &Path, truncate: bool) -> io::Result<File> {
    match create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(truncate).mode(FILE);
            options.open(path)
        }
        created => created,
    }
}

/// Makes a folder.
///
/// # Errors
/// As [`fs::create_dir`].
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER).create(path)?;
    match unlike(&fs::metadata(path)?.permissions(), FOLDER) {
        Some(wanted) => fs::set_permissions(path, wanted),
        None => Ok(()),
    }
}

/// Makes a folder and those above it, as far as they are not there.
///
/// # Errors
/// As [`fs::create_dir_all`].
pub fn make_folders(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folders(above)?;
    }
    match make_folder(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// With `mode` in place of what the umask left, if that is another; a bit such as setgid stays.
fn unlike(now: &Permissions, mode: u32) -> Option<Permissions> {
    let wanted = now.mode() & !PERMISSIONS | mode;
    (now.mode() != wanted).then(|| Permissions::from_mode(wanted))
}
