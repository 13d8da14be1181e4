//! The directory that `mayfly dev` keeps between starts.
//!
//! What identifies the deployment is made once and then never written again; what follows from it and from the port
//! is written anew at every start. The first start builds the whole directory beside its place and renames it there,
//! so a directory that lacks a part was damaged later, and nothing guesses how to mend it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use ct_log::public_files;

use super::ready::Ready;
use crate::staging::{SECRET_FOLDER, StagedFolder, replace_passing_file};

/// Permissions of the directory: keys are in it, and audit records that name everybody who signed.
pub const DIRECTORY_MODE: u32 = SECRET_FOLDER;

/// What a deployment cannot be started without, relative to the directory.
const MADE_ONCE: &[&str] = &[
    "ca/root.pem",
    "ca/chain.pem",
    "ca/key.pem",
    "log",
    "log-key.pem",
    "oidc-key.pem",
    "timestamp-chain.pem",
    "timestamp-key.pem",
];

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// A file operation failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Some of the files that belong together are gone.
    #[error(
        "{} is a development data directory without {missing}: restore that from a backup, or move the directory away to start afresh",
        path.display()
    )]
    Incomplete {
        /// The directory.
        path: PathBuf,
        /// What is not there.
        missing: String,
    },
    /// Another process has it.
    #[error(
        "another `mayfly dev` runs with {}{}: end that one, or give this one a directory of its own with --data-dir",
        path.display(), at.as_ref().map_or_else(String::new, |api| format!(", at {api}"))
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The URL of its API, if it has written that already.
        at: Option<String>,
    },
    /// It holds something else.
    #[error("{} holds other files: give an empty or new directory with --data-dir", .0.display())]
    Foreign(PathBuf),
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DataDirError + '_ {
    move |source| DataDirError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Whether a start is the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing there yet: make everything.
    First,
    /// Everything there: make nothing.
    Later,
}

/// Names of everything in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => {
        impl DataDir {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> PathBuf { self.0.join($path) })*
        }
    };
}

files! {
    /// Directory of the CA's certificates and key.
    ca = "ca";
    /// The root certificate, PEM.
    ca_root = "ca/root.pem";
    /// The chain that leaves get, PEM: the intermediate first, the root last.
    ca_chain = "ca/chain.pem";
    /// The intermediate's private key, PKCS#8 PEM, mode 0600.
    ca_key = "ca/key.pem";
    /// The CT log's directory.
    log = "log";
    /// The CT log's private key, PKCS#8 PEM, mode 0600.
    log_key = "log-key.pem";
    /// The identity provider's private key, PKCS#8 PEM, mode 0600.
    oidc_key = "oidc-key.pem";
    /// The timestamp authority's certificates, PEM: its own first, the root last.
    timestamp_chain = "timestamp-chain.pem";
    /// The timestamp authority's private key, PKCS#8 PEM, mode 0600.
    timestamp_key = "timestamp-key.pem";
    /// Locked by the process that uses the directory; empty.
    lock_file = "lock";
    /// The CT log's public key, PEM; rewritten at every start.
    log_public_key = "log.pem";
    /// The issuer file; rewritten at every start.
    issuers = "issuers.yaml";
    /// The audit records, one JSON object a line.
    audit = "audit.jsonl";
    /// The verified issuers of patterns, for the next start.
    verified_issuers = "verified-issuers.json";
    /// What verifiers trust; rewritten at every start.
    trusted_root = "trusted_root.json";
    /// Where signers connect to; rewritten at every start.
    signing_config = "signing_config.json";
    /// The addresses of the last start, as `--json` prints them.
    ready = "ready.json";
}

impl DataDir {
    /// The names under `path`; looks at nothing.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether there is nothing yet or everything.
    ///
    /// # Errors
    /// [`DataDirError::Incomplete`] or [`DataDirError::Foreign`] when it is something between, or unreadable.
    pub fn inspect(&self) -> Result<Start, DataDirError> {
        let missing: Vec<&str> = MADE_ONCE
            .iter()
            .copied()
            .filter(|name| !self.0.join(name).exists())
            .collect();
        if missing.is_empty() {
            Ok(Start::Later)
        } else if missing.len() < MADE_ONCE.len() {
            Err(DataDirError::Incomplete {
                path: self.0.clone(),
                missing: missing.join(", "),
            })
        } else if self.is_empty()? {
            Ok(Start::First)
        } else {
            Err(DataDirError::Foreign(self.0.clone()))
        }
    }

    fn is_empty(&self) -> Result<bool, DataDirError> {
        match fs::read_dir(&self.0) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(io_error(&self.0)(error)),
        }
    }

    /// Takes the directory for this process. Nothing in it may be written before.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] if another process has it; [`DataDirError::Io`].
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let path = self.lock_file();
        let file = public_files::open(&path).map_err(io_error(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse {
                path: self.0.clone(),
                at: Ready::read(self).ok().map(|ready| ready.api),
            }),
            Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
        }
    }

    /// An empty directory beside this one, to be filled and then put in place by [`Staged::publish`].
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn stage(&self) -> Result<Staged, DataDirError> {
        let folder = StagedFolder::beside(&self.0, ".mayfly-dev-").map_err(io_error(&self.0))?;
        let staged = DataDir::at(folder.path());
        public_files::make_folder(&staged.ca()).map_err(io_error(&self.0))?;
        Ok(Staged {
            folder,
            staged,
            place: self.clone(),
        })
    }
}

/// A data directory that no other process uses, until this is dropped.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// A data directory in the making; dropped, it is gone.
#[derive(Debug)]
pub struct Staged {
    folder: StagedFolder,
    staged: DataDir,
    place: DataDir,
}

impl Staged {
    /// Where to make the files.
    #[must_use]
    pub fn data_dir(&self) -> &DataDir {
        &self.staged
    }

    /// Puts the directory in its place, whole or not at all.
    ///
    /// # Errors
    /// [`DataDirError::Incomplete`] if something was not made; [`DataDirError::Io`], also if the place was filled
    /// by somebody else in the meantime.
    pub fn publish(self) -> Result<(), DataDirError> {
        self.staged.inspect()?;
        self.folder.publish().map_err(io_error(self.place.path()))
    }
}

/// Writes a file for everybody's eyes: readers see the old contents or the new, never a part. It is not made durable:
/// what is made once, [`Staged::publish`] makes so, and the rest is written again at every start.
///
/// # Errors
/// [`DataDirError::Io`].
pub fn write_public(path: &Path, contents: &str) -> Result<(), DataDirError> {
    replace_passing_file(path, contents.as_bytes()).map_err(io_error(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fill(data_dir: &DataDir) {
        for name in MADE_ONCE {
            fs::write(data_dir.path().join(name), "contents").unwrap();
        }
    }

    #[test]
    fn whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let data_dir = DataDir::at(parent.path().join("new/data"));
        assert_eq!(data_dir.inspect().unwrap(), Start::First);
        let half_made = data_dir.stage().unwrap();
        assert!(matches!(half_made.publish(), Err(DataDirError::Foreign(_))));
        drop(data_dir.stage().unwrap());
        assert_eq!(fs::read_dir(parent.path().join("new")).unwrap().count(), 0);

        let staged = data_dir.stage().unwrap();
        fill(staged.data_dir());
        staged.publish().unwrap();
        assert_eq!(data_dir.inspect().unwrap(), Start::Later);
    }

    #[test]
    fn the_second_of_two_first_starts_loses() {
        let parent = tempfile::tempdir().unwrap();
        let data_dir = DataDir::at(parent.path().join("data"));
        let (one, two) = (data_dir.stage().unwrap(), data_dir.stage().unwrap());
        fill(one.data_dir());
        fill(two.data_dir());
        one.publish().unwrap();
        assert!(matches!(two.publish(), Err(DataDirError::Io { .. })));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_directory_is_taken() {
        let data = tempfile::tempdir().unwrap();
        let data_dir = DataDir::at(data.path());
        let staged = data_dir.stage().unwrap();
        fill(staged.data_dir());
        staged.publish().unwrap();
        assert_eq!(data_dir.inspect().unwrap(), Start::Later);
    }

    #[test]
    fn one_directory_one_process() {
        let data = tempfile::tempdir().unwrap();
        let data_dir = DataDir::at(data.path());
        let lock = data_dir.lock().unwrap();
        let refusal = data_dir.lock().unwrap_err();
        assert!(
            matches!(refusal, DataDirError::InUse { at: None, .. }),
            "{refusal}"
        );
        drop(lock);
        data_dir.lock().unwrap();
    }

    #[test]
    fn whatever_is_missing_is_named() {
        let data = tempfile::tempdir().unwrap();
        let data_dir = DataDir::at(data.path());
        fs::create_dir(data_dir.ca()).unwrap();
        fill(&data_dir);
        for name in MADE_ONCE {
            let (path, aside) = (data.path().join(name), data.path().join("aside"));
            fs::rename(&path, &aside).unwrap();
            let refusal = data_dir.inspect().unwrap_err().to_string();
            assert!(refusal.contains(&format!("without {name}:")), "{refusal}");
            fs::rename(&aside, &path).unwrap();
        }
    }

    #[test]
    fn public_files_are_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_public(&path, "a long first text").unwrap();
        write_public(&path, "short").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
}
