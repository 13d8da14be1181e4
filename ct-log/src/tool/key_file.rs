//! Keys in files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use der::pem::{self, LineEnding};
use der::{DecodePem as _, Encode as _};
use spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

use super::birth::{self, BirthError};
use super::file::sync_folder_of;
use crate::LogPublicKey;
use crate::secret_file::{self, Exposed, SecretFileError};

const PRIVATE_KEY: &str = "PRIVATE KEY";

/// A file without a log's public key.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a log's public key: SubjectPublicKeyInfo, ECDSA P-256, PEM or DER", path.display())]
pub(super) struct PublicKeyError {
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A file without a private key that may be used. No variant carries any of its contents.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrivateKeyError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it {0}, and replace the key if they may have")]
    Exposed(#[from] Exposed),
    #[error(
        "it must hold one PEM block, -----BEGIN PRIVATE KEY-----: PKCS#8, not encrypted; convert others with: \
         openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
    )]
    NotPkcs8,
}

/// Reads a `SubjectPublicKeyInfo`, PEM or DER.
pub(super) fn read_public(path: &Path) -> Result<LogPublicKey, PublicKeyError> {
    public(path).map_err(|source| PublicKeyError {
        path: path.to_owned(),
        source,
    })
}

/// The public half of a log's key, from a file with that or with the private key.
pub(super) fn read_public_half(path: &Path) -> Result<LogPublicKey, BirthError> {
    match read_public(path) {
        Ok(key) => Ok(key),
        Err(_) => Ok(birth::read_key(path)?.public().clone()),
    }
}

fn public(path: &Path) -> Result<LogPublicKey, Box<dyn std::error::Error + Send + Sync>> {
    let bytes = fs::read(path)?;
    let der = if bytes.starts_with(b"-----") {
        SubjectPublicKeyInfoOwned::from_pem(&bytes)?.to_der()?
    } else {
        bytes
    };
    Ok(LogPublicKey::from_spki_der(&der)?)
}

/// Reads a private key that nobody else can read ([`secret_file`]): PKCS#8 DER, wiped on drop.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    let text = secret_file::read(path).map_err(|error| match error {
        SecretFileError::Io(error) => PrivateKeyError::Io(error),
        SecretFileError::Exposed(exposed) => PrivateKeyError::Exposed(exposed),
    })?;
    match pem::decode_vec(&text) {
        Ok((PRIVATE_KEY, der)) => Ok(Zeroizing::new(der)),
        Ok((_, other)) => {
            drop(Zeroizing::new(other));
            Err(PrivateKeyError::NotPkcs8)
        }
        Err(_) => Err(PrivateKeyError::NotPkcs8),
    }
}

/// Writes a private key (PKCS#8 DER) into a new file, mode 0600, durably. A key is never overwritten.
pub(super) fn write_private(path: &Path, pkcs8: &[u8]) -> Result<(), PrivateKeyError> {
    let text = pem::encode_string(PRIVATE_KEY, LineEnding::LF, pkcs8);
    let text = Zeroizing::new(text.map_err(|_| PrivateKeyError::NotPkcs8)?);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(sync_folder_of(path)?)
}
