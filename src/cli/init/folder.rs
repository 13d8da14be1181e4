//! What is where in the folder that is made.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use mayfly::staging::{SECRET_FOLDER, write_public_file};

use crate::cli::failure::Failure;

/// The names of everything in one folder; looks at nothing.
#[derive(Clone, Debug)]
pub(super) struct Layout(PathBuf);

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => {
        impl Layout {
            $($(#[$doc])* pub(super) fn $name(&self) -> PathBuf { self.0.join($path) })*
        }
    };
}

files! {
    root = "root";
    root_key = "root/root-key.pem";
    root_certificate = "root/root.pem";
    server = "server";
    settings = "server/mayfly.yaml";
    /// What becomes `settings` when the chain is there.
    settings_without_chain = "server/mayfly.yaml.waiting-for-chain";
    issuers = "server/issuers.yaml";
    chain = "server/ca.pem";
    ca_key = "server/ca-key.pem";
    timestamp_chain = "server/timestamp.pem";
    timestamp_key = "server/timestamp-key.pem";
    log = "server/log";
    log_key = "server/log-key.pem";
    log_public_key = "server/log.pem";
    log_mark = "server/log.mark";
    clients = "clients";
    trusted_root = "clients/trusted_root.json";
    signing_config = "clients/signing_config.json";
    request = "request";
    signing_request = "request/ca.csr.pem";
    extensions = "request/ca-extensions.cnf";
    timestamp_request = "request/timestamp.csr.pem";
    timestamp_extensions = "request/timestamp-extensions.cnf";
    instructions = "request/README.txt";
}

impl Layout {
    pub(super) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// Something is there.
#[derive(Debug, thiserror::Error)]
#[error("{} is not empty: nothing is overwritten, so name a new folder", .0.display())]
struct Taken(PathBuf);

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
pub(in crate::cli) struct FileError {
    path: PathBuf,
    source: io::Error,
}

pub(in crate::cli) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    move |source| FileError {
        path: path.to_owned(),
        source,
    }
}

/// Refuses a folder with anything in it, before anybody is asked anything.
pub(in crate::cli) fn check_vacant(folder: &Path) -> Result<(), Failure> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Taken(folder.to_owned()).into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(folder)(error).into()),
    }
}

/// A folder for its owner alone.
pub(super) fn make(folder: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder
        .mode(SECRET_FOLDER)
        .create(folder)
        .map_err(io_error(folder))
}

pub(in crate::cli) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(io_error(path))
}

/// A new file without secrets, on the disk.
pub(in crate::cli) fn write_new(path: &Path, text: &str) -> Result<(), FileError> {
    write_public_file(path, text.as_bytes()).map_err(io_error(path))
}
