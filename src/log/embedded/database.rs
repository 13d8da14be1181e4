//! A log in PostgreSQL, as it is configured: secrets are read when it is opened.

use std::{fs, io, path::PathBuf};

use ct_log::{
    PostgresSettings, PostgresSettingsError,
    secret_file::{self, SecretFileError},
};
use zeroize::Zeroizing;

/// The variable with the password, as libpq has it.
const PASSWORD: &str = "PGPASSWORD";

/// A database, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// A connection URL without a password.
    pub url: String,
    /// A file that holds the password and nothing else; `PGPASSWORD` of the environment counts without it.
    pub password_file: Option<PathBuf>,
    /// The authorities that the server's TLS certificate must come from, PEM.
    pub ca_cert: Option<PathBuf>,
}

/// A database that cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// A file that it names.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file with the password.
    #[error("the password in {} cannot be used", path.display())]
    Password {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SecretFileError,
    },
    /// The settings themselves.
    #[error(transparent)]
    Settings(#[from] PostgresSettingsError),
}

impl Database {
    pub(super) fn settings(&self) -> Result<PostgresSettings, DatabaseError> {
        let mut settings = PostgresSettings::new(&self.url)?;
        if let Some(password) = self.password()? {
            settings = settings.password(&password);
        }
        if let Some(path) = &self.ca_cert {
            settings = settings.certificate_authorities(&read(path)?)?;
        }
        settings.check_encryption()?;
        Ok(settings)
    }

    fn password(&self) -> Result<Option<Zeroizing<Vec<u8>>>, DatabaseError> {
        let Some(path) = &self.password_file else {
            let variable = std::env::var_os(PASSWORD);
            return Ok(variable.map(|password| Zeroizing::new(password.into_encoded_bytes())));
        };
        let mut password = secret_file::read(path).map_err(|source| DatabaseError::Password {
            path: path.clone(),
            source,
        })?;
        // Editors end a file with a line break, which no password has.
        while password.last().is_some_and(|last| b"\r\n".contains(last)) {
            password.pop();
        }
        Ok(Some(password))
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, DatabaseError> {
    fs::read(path).map_err(|source| DatabaseError::Read {
        path: path.to_owned(),
        source,
    })
}
