//! Paths in a configuration file: relative ones count from its folder, and what they name is looked at.

use std::{
    fs::{self, Metadata},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use ct_log::secret_file::{self, Exposed};

use super::{fields::Text, problem::Problems};

/// The folder of a configuration file.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder of the file at `path`.
    pub(super) fn of(path: &Path) -> Self {
        Self(path.parent().map(Path::to_owned).unwrap_or_default())
    }

    /// A file that exists.
    pub(super) fn file(&self, text: &Text<'_>, problems: &mut Problems) -> Option<PathBuf> {
        self.existing_file(text, problems).map(|(path, _)| path)
    }

    /// A file with a private key, which exists and which nobody else can read ([`secret_file`]).
    pub(super) fn key_file(&self, text: &Text<'_>, problems: &mut Problems) -> Option<PathBuf> {
        self.secret_file(text, "a private key", problems)
    }

    /// The same of another secret.
    pub(super) fn secret_file(
        &self,
        text: &Text<'_>,
        secret: &str,
        problems: &mut Problems,
    ) -> Option<PathBuf> {
        let (path, metadata) = self.existing_file(text, problems)?;
        let Err(exposed) = secret_file::check(&metadata) else {
            return Some(path);
        };
        let name = path.display();
        let (what, suggestion) = match exposed {
            Exposed::ToItsOwner { owner, user } => (
                format!("{name} holds {secret} and belongs to another user ({owner})"),
                match user {
                    0 => format!("Run this as that user; if the server runs as root: chown 0 {name}"),
                    _ => format!("Run: chown {user} {name}, or leave it to root"),
                },
            ),
            Exposed::ToOthers { allowed, .. } => (
                format!("{name} holds {secret} and is open to others than its owner"),
                format!("Run: chmod {allowed:03o} {name}"),
            ),
            other => (format!("{name} holds {secret} and {other}"), String::new()),
        };
        problems.report(&text.place, what, suggestion);
        None
    }

    /// A key file as [`Folder::key_file`], or none yet in a folder that exists.
    pub(super) fn new_key_file(&self, text: &Text<'_>, problems: &mut Problems) -> Option<PathBuf> {
        // A link that leads nowhere, or a name that cannot be looked at, is not a key that is yet to be made.
        match fs::symlink_metadata(self.0.join(text.value)) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.new_file(text, problems),
            _ => self.key_file(text, problems),
        }
    }

    /// A file that exists or can be made: its folder exists.
    pub(super) fn new_file(&self, text: &Text<'_>, problems: &mut Problems) -> Option<PathBuf> {
        let path = self.0.join(text.value);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let what = if path.is_dir() {
            format!("{} is a folder, not a file", path.display())
        } else if parent.is_some_and(|parent| !parent.is_dir()) {
            format!("the folder of {} does not exist", path.display())
        } else {
            return Some(path);
        };
        problems.report(&text.place, what, "");
        None
    }

    /// A folder that exists.
    pub(super) fn folder(&self, text: &Text<'_>, problems: &mut Problems) -> Option<PathBuf> {
        let path = self.0.join(text.value);
        if !path.is_dir() {
            problems.report(&text.place, format!("{} is not a folder", path.display()), "");
            return None;
        }
        Some(path)
    }

    /// A folder that exists or can be made.
    pub(super) fn new_folder(&self, text: &Text<'_>, problems: &mut Problems) -> Option<PathBuf> {
        let path = self.0.join(text.value);
        if path.exists() && !path.is_dir() {
            problems.report(&text.place, format!("{} is not a folder", path.display()), "");
            return None;
        }
        Some(path)
    }

    fn existing_file(&self, text: &Text<'_>, problems: &mut Problems) -> Option<(PathBuf, Metadata)> {
        let path = self.0.join(text.value);
        let what = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => return Some((path, metadata)),
            Ok(_) => format!("{} is not a file", path.display()),
            Err(error) => format!("{} cannot be read: {error}", path.display()),
        };
        problems.report(&text.place, what, "");
        None
    }
}
