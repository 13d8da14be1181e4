//! Where `mayfly dev` keeps its data: in a directory, or nowhere.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use mayfly::dev::{
    ProviderKey,
    data_dir::{DIRECTORY_MODE, DataDir, DataDirError, DataDirLock, Start},
};
use mayfly::issuer::ceremony::KeyKind;
use tempfile::TempDir;

use super::{deployment, failure::Failure};

pub(crate) const DEFAULT_DATA_DIR: &str = "./mayfly-dev";

/// What `--data-dir` and `--ephemeral` mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Everything stays in this directory.
    In(PathBuf),
    /// The CA's key, certificates and log live in memory; only the files for clients and the identity provider's key
    /// are written, and removed at the end.
    Nothing,
}

/// A prepared place: at a first start, everything that is made once has been made.
#[derive(Debug)]
pub(crate) enum Place {
    Kept {
        data_dir: DataDir,
        start: Start,
        /// Held as long as the server runs.
        _lock: DataDirLock,
    },
    Ephemeral {
        data_dir: DataDir,
        _removed_on_drop: TempDir,
    },
}

impl Place {
    pub(crate) async fn prepare(keep: &Keep, kind: KeyKind) -> Result<Self, Failure> {
        match keep {
            Keep::In(path) => {
                let start = first_start(path, kind).await?;
                let data_dir = DataDir::at(absolute(path)?);
                let lock = data_dir.lock()?;
                Ok(Self::Kept {
                    data_dir,
                    start,
                    _lock: lock,
                })
            }
            Keep::Nothing => {
                let directory = tempfile::Builder::new()
                    .prefix("mayfly-dev-")
                    .permissions(Permissions::from_mode(DIRECTORY_MODE))
                    .tempdir()?;
                let data_dir = DataDir::at(absolute(directory.path())?);
                Ok(Self::Ephemeral {
                    data_dir,
                    _removed_on_drop: directory,
                })
            }
        }
    }

    pub(crate) fn data_dir(&self) -> &DataDir {
        match self {
            Self::Kept { data_dir, .. } | Self::Ephemeral { data_dir, .. } => data_dir,
        }
    }

    pub(crate) fn provider_key(&self) -> Result<ProviderKey, Failure> {
        Ok(match self {
            Self::Kept { data_dir, .. } => ProviderKey::open(&data_dir.oidc_key())?,
            // For tools that make tokens, as `mayfly bench` does.
            Self::Ephemeral { data_dir, .. } => ProviderKey::create(&data_dir.oidc_key())?,
        })
    }
}

async fn first_start(path: &Path, kind: KeyKind) -> Result<Start, Failure> {
    let data_dir = DataDir::at(path);
    let start = data_dir.inspect()?;
    if start == Start::First {
        let staged = data_dir.stage()?;
        ProviderKey::create(&staged.data_dir().oidc_key())?;
        deployment::create(staged.data_dir(), kind).await?;
        if let Err(error) = staged.publish() {
            // Another process may have been faster; which of them uses the directory is for the lock to say.
            return match data_dir.inspect()? {
                Start::Later => Ok(Start::Later),
                Start::First => Err(error.into()),
            };
        }
    }
    Ok(start)
}

fn absolute(path: &Path) -> Result<PathBuf, DataDirError> {
    path.canonicalize().map_err(|source| DataDirError::Io {
        path: path.to_owned(),
        source,
    })
}
