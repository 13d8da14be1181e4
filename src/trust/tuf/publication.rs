//! Publishing: the next state is made beside the present one, looked at as a client would, and takes its place at once.
//!
//! At no time is there anything in the public folder but the old state, whole, or the new. A client that began with the old
//! one finds all of its files in the new one, except for the timestamp.

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    io,
    num::NonZeroU64,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use ct_log::public_files::make_folder;
use futures_util::stream;
use tough::{
    Bytes, ExpirationEnforcement, IntoVec, RepositoryLoader, Transport, TransportError, TransportErrorKind,
    TransportStream, async_trait,
    schema::{
        Hashes, Metafile, Role, RoleType, Root, Signed, Snapshot, Target, Targets,
        Timestamp as TimestampMetadata,
    },
};
use url::Url;

use super::{
    Periods, Signer, TufError,
    folder::{
        FIRST_ROOT, STAGED, TARGETS, TIMESTAMP, files_in, io_error, read, read_if_there, root_file,
        snapshot_file, target_file, targets_file,
    },
    metadata::{LARGEST, SPECIFICATION, after, encode, end, keys_of, sign, unsigned},
    proposal::missing_by,
    published::Published,
};
use crate::{
    clock::Timestamp,
    staging::{PUBLIC_FOLDER, StagedFolder, write_public_file},
};

/// Makes the metadata of the online roles.
pub(super) struct Online<'a> {
    root: &'a Root,
    signers: &'a [Signer],
    periods: Periods,
    now: Timestamp,
}

impl<'a> Online<'a> {
    pub(super) fn new(root: &'a Root, signers: &'a [Signer], now: Timestamp) -> Self {
        Self {
            root,
            signers,
            periods: Periods::of(root),
            now,
        }
    }

    /// Specification 4.4.
    pub(super) async fn snapshot(
        &self,
        targets: &Signed<Targets>,
        before: Option<&Signed<Snapshot>>,
    ) -> Result<Signed<Snapshot>, TufError> {
        let version = next(before)?;
        let end = end(self.now, self.periods.snapshot, RoleType::Snapshot)?;
        let mut snapshot = Snapshot::new(SPECIFICATION.to_owned(), version, end);
        let file = describe(targets)?;
        snapshot.meta.insert("targets.json".to_owned(), file);
        self.sign(snapshot).await
    }

    /// Specification 4.6.
    pub(super) async fn timestamp(
        &self,
        snapshot: &Signed<Snapshot>,
        before: Option<&Signed<TimestampMetadata>>,
    ) -> Result<Signed<TimestampMetadata>, TufError> {
        let version = next(before)?;
        let end = end(self.now, self.periods.timestamp, RoleType::Timestamp)?;
        let mut timestamp = TimestampMetadata::new(SPECIFICATION.to_owned(), version, end);
        let file = describe(snapshot)?;
        timestamp.meta.insert("snapshot.json".to_owned(), file);
        self.sign(timestamp).await
    }

    async fn sign<T: Role>(&self, metadata: T) -> Result<Signed<T>, TufError> {
        let mut metadata = unsigned(metadata);
        sign(&mut metadata, &keys_of(self.root, T::TYPE), self.signers).await?;
        match missing_by(self.root, &metadata) {
            None => Ok(metadata),
            Some(missing) => Err(TufError::Missing(vec![missing])),
        }
    }
}

fn next<T: Role>(before: Option<&Signed<T>>) -> Result<NonZeroU64, TufError> {
    before.map_or(Ok(NonZeroU64::MIN), |before| {
        after(before.signed.version(), T::TYPE)
    })
}

/// With length and hash, which the specification leaves open: a client then reads no byte more.
fn describe<T: Role>(metadata: &Signed<T>) -> Result<Metafile, TufError> {
    let bytes = encode(metadata)?;
    Ok(Metafile {
        length: u64::try_from(bytes.len()).ok(),
        hashes: Some(Hashes {
            sha256: digest(&SHA256, &bytes).as_ref().to_vec().into(),
            _extra: HashMap::new(),
        }),
        version: metadata.signed.version(),
        _extra: HashMap::new(),
    })
}

/// The next state in the making; dropped, it is gone, and the present one is as it was.
#[derive(Debug)]
pub(super) struct Publication {
    staged: StagedFolder,
    place: PathBuf,
}

impl Publication {
    /// With all that is public now, except for the timestamp.
    pub(super) fn begin(place: &Path) -> Result<Self, TufError> {
        let staged = StagedFolder::beside(place, STAGED).map_err(io_error(place))?;
        let folder = staged.path();
        let targets = folder.join(TARGETS);
        make_folder(&targets).map_err(io_error(&targets))?;
        for folder in [folder, &targets] {
            fs::set_permissions(folder, Permissions::from_mode(PUBLIC_FOLDER)).map_err(io_error(folder))?;
        }
        let metadata = files_in(place)?;
        let kept = metadata.iter().filter(|file| !file.ends_with(TIMESTAMP));
        kept.map(|file| link(file, folder))
            .chain(
                files_in(&place.join(TARGETS))?
                    .iter()
                    .map(|file| link(file, &targets)),
            )
            .collect::<Result<(), _>>()?;
        Ok(Self {
            staged,
            place: place.to_owned(),
        })
    }

    /// Adds what is new. Files of targets that are not public yet are in the folder `proposed`; nothing else there counts.
    pub(super) fn write(&self, next: &Published, proposed: &Path) -> Result<(), TufError> {
        let folder = self.staged.path();
        for (name, target) in &next.targets.signed.targets {
            let file = target_file(name, target);
            let place = folder.join(TARGETS).join(&file);
            if !place.try_exists().map_err(io_error(&place))? {
                let contents = signed_contents(&proposed.join(file), target)?;
                write_public_file(&place, &contents).map_err(io_error(&place))?;
            }
        }
        put(
            &folder.join(targets_file(next.targets.signed.version)),
            &next.targets,
        )?;
        put(
            &folder.join(snapshot_file(next.snapshot.signed.version)),
            &next.snapshot,
        )?;
        put(&folder.join(root_file(next.root.signed.version)), &next.root)?;
        put(&folder.join(TIMESTAMP), &next.timestamp)
    }

    /// Follows it as a client that has the first root only, and reads all files. What is over is left to those who
    /// know what time it is.
    pub(super) async fn check(&self, next: &Published) -> Result<(), TufError> {
        let refused = |error| TufError::Refused(Box::new(error));
        let folder = self.staged.path();
        let memory = StagedFolder::beside(&self.place, STAGED).map_err(io_error(&self.place))?;
        let root = read(&folder.join(FIRST_ROOT), LARGEST)?;
        let client = RepositoryLoader::new(&root, url(folder)?, url(&folder.join(TARGETS))?)
            .transport(Disk)
            .datastore(memory.path())
            .expiration_enforcement(ExpirationEnforcement::Unsafe)
            .load()
            .await
            .map_err(refused)?;
        for (name, target) in &next.targets.signed.targets {
            let file = client.read_target(name).await.map_err(refused)?;
            let file = file.ok_or_else(|| TufError::TargetContents(target_file(name, target).into()))?;
            file.into_vec().await.map_err(refused)?;
        }
        match client.timestamp() == &next.timestamp && client.root() == &next.root {
            true => Ok(()),
            false => Err(TufError::Differs),
        }
    }

    pub(super) fn finish(self) -> Result<(), TufError> {
        let replaced = match self.place.try_exists().map_err(io_error(&self.place))? {
            true => self.staged.exchange(),
            false => self.staged.publish(),
        };
        replaced.map_err(io_error(&self.place))
    }
}

fn url(folder: &Path) -> Result<Url, TufError> {
    let absolute = fs::canonicalize(folder).map_err(io_error(folder))?;
    Url::from_directory_path(&absolute).map_err(|()| io_error(folder)(io::ErrorKind::InvalidFilename.into()))
}

/// Reads files where a client asks a web server. (`tough`'s own takes no folder with a space in its name.)
#[derive(Clone, Debug)]
struct Disk;

#[async_trait]
impl Transport for Disk {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let path = url.to_file_path();
        let path = path.map_err(|()| TransportError::new(TransportErrorKind::Other, &url))?;
        let contents = fs::read(path).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => TransportErrorKind::FileNotFound,
                _ => TransportErrorKind::Other,
            };
            TransportError::new_with_cause(kind, &url, error)
        })?;
        Ok(Box::pin(stream::iter([Ok(Bytes::from(contents))])))
    }
}

/// The contents that were signed, from a folder in which anything may be.
fn signed_contents(path: &Path, target: &Target) -> Result<Vec<u8>, TufError> {
    let wrong = || TufError::TargetContents(path.to_owned());
    let contents = read_if_there(path, target.length)?.ok_or_else(wrong)?;
    match digest(&SHA256, &contents).as_ref() == target.hashes.sha256.to_vec() {
        true => Ok(contents),
        false => Err(wrong()),
    }
}

/// The file in another folder, unless it is there. Files here are never written again, so they can be shared.
fn link(file: &Path, folder: &Path) -> Result<(), TufError> {
    let Some(name) = file.file_name() else {
        return Ok(());
    };
    let to = folder.join(name);
    if to.try_exists().map_err(io_error(&to))? {
        return Ok(());
    }
    fs::hard_link(file, &to)
        .or_else(|_| fs::copy(file, &to).map(|_| ()))
        .map_err(io_error(&to))
}

/// A version that is there stays as it is.
fn put<T: Role>(path: &Path, metadata: &Signed<T>) -> Result<(), TufError> {
    let bytes = encode(metadata)?;
    match path.try_exists().map_err(io_error(path))? {
        true if read(path, LARGEST)? == bytes => Ok(()),
        true => Err(TufError::RolledBack(path.to_owned())),
        false => write_public_file(path, &bytes).map_err(io_error(path)),
    }
}

#[cfg(test)]
mod tests;
