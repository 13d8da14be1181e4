//! The embedded log's start: its key and its directory belong together from birth.

mod database;
mod error;
mod key;
mod promise;
mod settings;

use std::{fs, io, path::Path, time::SystemTime};

use ct_log::{Log, LogKey, LogSettings, OpenError, Origin, Phase, S3Settings};

pub use self::database::{Database, DatabaseError};
pub use self::error::EmbeddedLogError;
pub use self::promise::{PromiseSettings, WitnessSettings};
pub use self::settings::{
    EmbeddedLogSettings, ShardKey, ShardSettings, Storage, SubmissionRate, SubmissionSettings,
};
use crate::{
    key::{
        KeyReference, KeySettings, file as key_file,
        passphrase::{Passphrase, PassphraseError, PassphraseSource},
    },
    telemetry::KeyMetrics,
};

impl ShardSettings {
    /// Opens the shard; makes it now if its directory and the file of its key are both missing. A retired one is opened to be
    /// read.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn open(
        &self,
        promise: &PromiseSettings,
        metrics: &KeyMetrics,
    ) -> Result<Log, EmbeddedLogError> {
        let remote = match self.key_elsewhere() {
            Some(key) => Some(key::open(key, &self.origin, metrics).await?),
            None => None,
        };
        let (shard, promise) = (self.clone(), promise.clone());
        // Recovery reads, a database or a bucket is waited for, and a key's passphrase takes its time.
        tokio::task::spawn_blocking(move || shard.open_with(&promise, remote))
            .await
            .map_err(|_| EmbeddedLogError::Interrupted)?
    }

    /// Makes a shard whose key is not in a file, in an empty place. Whoever calls this says that the key never signed for a log:
    /// nothing else can tell.
    ///
    /// # Errors
    /// If the key is in a file, since then [`ShardSettings::open`] makes both; if there is something in its place; or if it
    /// cannot be made.
    pub async fn create(
        &self,
        promise: &PromiseSettings,
        metrics: &KeyMetrics,
    ) -> Result<Log, EmbeddedLogError> {
        let key = self.key_elsewhere().ok_or(EmbeddedLogError::MadeByStart)?;
        let key = key::open(key, &self.origin, metrics).await?;
        let (shard, promise) = (self.clone(), promise.clone());
        tokio::task::spawn_blocking(move || shard.create_with(&promise, key))
            .await
            .map_err(|_| EmbeddedLogError::Interrupted)?
    }

    /// Makes a shard and its key, which goes into the file that is named for it, encrypted if there is a passphrase.
    ///
    /// # Errors
    /// If the key is not in a file, or either is there already or cannot be made.
    pub fn create_with_new_key(
        &self,
        promise: &PromiseSettings,
        passphrase: Option<Passphrase>,
    ) -> Result<Log, EmbeddedLogError> {
        let ShardKey::Signing(KeySettings {
            reference: KeyReference::File(path),
            ..
        }) = &self.key
        else {
            return Err(EmbeddedLogError::NotMade);
        };
        let (origin, settings) = self.log_settings()?;
        create(promise.apply(settings, &origin)?, path, || Ok(passphrase))
    }

    /// The key, if the shard has one that is not in a file.
    #[must_use]
    pub fn key_elsewhere(&self) -> Option<&KeySettings> {
        match &self.key {
            ShardKey::Signing(key) if key.reference.as_file().is_none() => Some(key),
            ShardKey::Signing(_) | ShardKey::Retired => None,
        }
    }

    /// Whether this server has the shard already: its directory is not empty.
    ///
    /// # Errors
    /// If that cannot be looked at.
    pub fn is_here(&self) -> Result<bool, EmbeddedLogError> {
        let empty = is_empty(self.storage.directory()).map_err(EmbeddedLogError::Directory)?;
        Ok(!empty)
    }

    fn create_with(&self, promise: &PromiseSettings, key: LogKey) -> Result<Log, EmbeddedLogError> {
        let (origin, settings) = self.log_settings()?;
        if self.phase() == Some(Phase::ReadOnly) {
            return Err(EmbeddedLogError::Over);
        }
        let settings = promise.apply(settings, &origin)?;
        Log::check_vacant(&settings)?;
        Ok(Log::create(settings, key)?)
    }

    fn log_settings(&self) -> Result<(Origin, LogSettings), EmbeddedLogError> {
        let origin = Origin::new(&self.origin)?;
        let settings = self.storage.settings(origin.clone())?;
        let settings = self
            .high_water
            .iter()
            .fold(settings, LogSettings::high_water_mark);
        Ok((
            origin,
            self.window.into_iter().fold(settings, LogSettings::window),
        ))
    }

    /// Its key, if that is in a file, and whether it is a key with which the log in the directory can go on, if there is one.
    /// `None` also if the file is not there yet, because log and key are made together. Changes nothing.
    pub(crate) fn check_key_file(&self) -> Option<(&KeySettings, Result<(), EmbeddedLogError>)> {
        let ShardKey::Signing(key) = &self.key else {
            return None;
        };
        let file = key.reference.as_file()?;
        match self.storage.may_exist(&key.reference) {
            Ok(false) if !file.exists() => None,
            Ok(_) => Some((key, self.open_key_file(file, key))),
            Err(error) => Some((key, Err(error))),
        }
    }

    fn open_key_file(&self, file: &Path, key: &KeySettings) -> Result<(), EmbeddedLogError> {
        if !file.try_exists().map_err(EmbeddedLogError::Directory)? {
            return Err(EmbeddedLogError::KeyMissing(file.to_owned()));
        }
        let opened = LogKey::from_pkcs8_der(&key.read_file()?)?;
        match Log::identify(self.storage.directory()) {
            Ok((public, _)) if public.log_id() == opened.public().log_id() => Ok(()),
            Ok((public, _)) => Err(EmbeddedLogError::Open(OpenError::OtherKey {
                found: public.log_id().to_string(),
                expected: opened.public().log_id().to_string(),
            })),
            // It is elsewhere, or not made yet.
            Err(OpenError::Absent { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.window.map(|window| window.phase(SystemTime::now()))
    }

    fn open_with(&self, promise: &PromiseSettings, remote: Option<LogKey>) -> Result<Log, EmbeddedLogError> {
        let (origin, settings) = self.log_settings()?;
        match &self.key {
            ShardKey::Retired => Ok(Log::open_read_only(settings, None)?),
            ShardKey::Signing(key) => {
                let may_exist = self.storage.may_exist(&key.reference)?;
                if self.phase() == Some(Phase::ReadOnly) && !may_exist {
                    return Err(EmbeddedLogError::Over);
                }
                let settings = promise.apply(settings, &origin)?;
                match (remote, &key.reference) {
                    // Nothing tells a new key there from one whose log was lost.
                    (Some(_), _) if !may_exist => Err(EmbeddedLogError::NotMade),
                    (Some(remote), _) => Ok(Log::open(settings, remote)?),
                    (None, KeyReference::File(path)) => open_or_create(settings, path, key),
                    (None, _) => Err(EmbeddedLogError::Interrupted),
                }
            }
        }
    }
}

impl Storage {
    /// The directory of the log, or of this server.
    pub(crate) fn directory(&self) -> &Path {
        match self {
            Self::Directory(directory)
            | Self::Mirrored { directory, .. }
            | Self::S3 { directory, .. }
            | Self::Postgres { directory, .. } => directory,
        }
    }

    /// All directories.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        let mirror = match self {
            Self::Directory(_) | Self::S3 { .. } | Self::Postgres { .. } => None,
            Self::Mirrored { mirror, .. } => Some(mirror.as_path()),
        };
        std::iter::once(self.directory()).chain(mirror)
    }

    /// The bucket with its files, if there is one.
    pub(crate) fn bucket(&self) -> Option<&S3Settings> {
        match self {
            Self::Directory(_) | Self::Mirrored { .. } => None,
            Self::S3 { place, .. } => Some(place),
            Self::Postgres { files, .. } => files.as_ref(),
        }
    }

    fn settings(&self, origin: Origin) -> Result<LogSettings, DatabaseError> {
        let settings = LogSettings::new(self.directory(), origin);
        Ok(match self {
            Self::Directory(_) => settings,
            Self::Mirrored { mirror, .. } => settings.mirror(mirror),
            Self::S3 { place, .. } => settings.in_s3(place.clone()),
            Self::Postgres { database, files, .. } => match files {
                None => settings.in_postgres(database.settings()?),
                Some(files) => settings.in_postgres_and_s3(database.settings()?, files.clone()),
            },
        })
    }

    /// False if there is certainly no log.
    fn may_exist(&self, key: &KeyReference) -> Result<bool, EmbeddedLogError> {
        match self {
            Self::Directory(directory) | Self::Mirrored { directory, .. } => is_empty(directory)
                .map(|empty| !empty)
                .map_err(EmbeddedLogError::Directory),
            Self::S3 { .. } | Self::Postgres { .. } => Ok(key.as_file().is_none_or(Path::exists)),
        }
    }
}

/// Opens the log of `settings` with the key in a file; makes both if neither is there.
///
/// One without the other is refused: whoever lost the log's directory must restore it, since a new log
/// under an old key would be a fork; and nobody else than the old key can go on with an old log.
fn open_or_create(settings: LogSettings, path: &Path, key: &KeySettings) -> Result<Log, EmbeddedLogError> {
    // A name that cannot be looked at is not a key that is yet to be made.
    if path.try_exists().map_err(EmbeddedLogError::Directory)? {
        let key = LogKey::from_pkcs8_der(&key.read_file()?)?;
        return Ok(Log::open(settings, key)?);
    }
    if !is_empty(settings.directory()).map_err(EmbeddedLogError::Directory)? {
        return Err(EmbeddedLogError::KeyMissing(path.to_owned()));
    }
    let passphrase = || key.passphrase.as_ref().map(PassphraseSource::read).transpose();
    create(settings, path, passphrase)
}

/// Makes the log of `settings` and its key, which goes into a new file.
fn create(
    settings: LogSettings,
    path: &Path,
    passphrase: impl FnOnce() -> Result<Option<Passphrase>, PassphraseError>,
) -> Result<Log, EmbeddedLogError> {
    Log::check_vacant(&settings)?;
    let passphrase = passphrase()?;
    let key = LogKey::generate()?;
    key_file::write_new(path, &key.to_pkcs8_der()?, passphrase.as_ref()).map_err(|source| {
        EmbeddedLogError::KeyFile {
            path: path.to_owned(),
            source,
        }
    })?;
    Ok(Log::create(settings, key)?)
}

/// Also if it is not there.
fn is_empty(directory: &Path) -> io::Result<bool> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
