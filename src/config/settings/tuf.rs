//! `tuf`: the TUF repository that is served, and kept from going out of date.

use std::path::{Path, PathBuf};

use super::key::{self, Existing};
use crate::{
    config::{
        fields::{Fields, Keys},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    key::KeySettings,
};

const TUF: Keys = &["directory", "key", "passphrase"];

/// A TUF repository, and the online key that renews its timestamp.
#[derive(Clone, Debug)]
pub struct TufFiles {
    directory: PathBuf,
    key: Option<KeySettings>,
}

impl TufFiles {
    /// What `mayfly trust tuf init` made.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The key of snapshot and timestamp. Without it, somebody else renews them.
    #[must_use]
    pub fn key(&self) -> Option<&KeySettings> {
        self.key.as_ref()
    }
}

pub(super) fn settings(
    place: Place,
    node: &Node,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<TufFiles> {
    let fields = Fields::open(place, node, TUF, problems)?;
    let suggestion = "Name the folder that `mayfly trust tuf init` made";
    let directory = fields.required_text("directory", suggestion, problems);
    let directory = directory.and_then(|text| folder.folder(&text, problems));
    let key = match (fields.get("key"), fields.text("passphrase", problems)) {
        (None, None) => Some(None),
        _ => key::read(&fields, Existing::Yes, folder, problems).map(Some),
    };
    Some(TufFiles {
        directory: directory?,
        key: key?,
    })
}
