//! Private keys in files: unencrypted PKCS#8 PEM (RFC 5958, RFC 7468 section 10), their owner's alone.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use crate::durability::sync_folder_of;

/// Any permission for group or others: a private key must be its owner's alone.
const OTHERS: u32 = 0o077;

/// Readable and writable by the owner.
const MODE: u32 = 0o600;

const LABEL: &str = "PRIVATE KEY";

/// Reads the one `PRIVATE KEY` block of a file that only its owner can read: PKCS#8 DER, wiped on drop.
///
/// # Errors
/// If the file cannot be read, is open to others, or does not hold exactly one such block.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let mode = fs::metadata(path).map_err(KeyFileError::Read)?.mode();
    if mode & OTHERS != 0 {
        return Err(KeyFileError::OpenToOthers { mode: mode & 0o777 });
    }
    let text = Zeroizing::new(fs::read(path).map_err(KeyFileError::Read)?);
    let mut blocks = pem::parse_many(text.as_slice())
        .map_err(|_| KeyFileError::NotPem)?
        .into_iter();
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return Err(KeyFileError::NotPem);
    };
    match block.tag() {
        LABEL => Ok(Zeroizing::new(block.into_contents())),
        "ENCRYPTED PRIVATE KEY" => Err(KeyFileError::Encrypted),
        _ => Err(KeyFileError::Unsupported),
    }
}

/// Writes a key (PKCS#8 DER) into a new file, mode 0600, durably: content and name.
///
/// # Errors
/// If the file exists, since a key is never overwritten, or cannot be written.
pub fn write_new(path: &Path, pkcs8: &[u8]) -> Result<(), KeyFileError> {
    let text = pem::encode_config(
        &Pem::new(LABEL, pkcs8),
        EncodeConfig::new().set_line_ending(LineEnding::LF),
    );
    let text = Zeroizing::new(text);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
        .map_err(KeyFileError::Write)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder_of(path))
        .map_err(KeyFileError::Write)
}

/// Why a key file cannot be used. No variant carries any of the file's contents.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file")]
    Read(#[source] io::Error),
    /// It cannot be written.
    #[error("cannot write the key file")]
    Write(#[source] io::Error),
    /// Its permissions let others read it.
    #[error(
        "the key file has mode {mode:03o}, so others can read it: run chmod 600 on it, and replace the key if they may have"
    )]
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// Not exactly one PEM block.
    #[error("the key file must hold exactly one PEM block, -----BEGIN PRIVATE KEY-----")]
    NotPem,
    /// An encrypted key.
    #[error("the key file is encrypted, which is not supported yet: give an unencrypted PKCS#8 key")]
    Encrypted,
    /// Not a key that may be used here.
    #[error(
        "the key must be PKCS#8 and ECDSA P-256, ECDSA P-384 or RSA of 2048 to 8192 bits; \
         convert others with: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
    )]
    Unsupported,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_written_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_new(&path, b"not really a key").unwrap();
        assert_eq!(read(&path).unwrap().as_slice(), b"not really a key");
        assert!(matches!(
            write_new(&path, b"another"),
            Err(KeyFileError::Write(_))
        ));
    }

    #[test]
    fn files_that_are_not_one_private_key_of_ones_own_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let refusal = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path).unwrap_err().to_string()
        };
        let block = |label: &str| pem::encode(&Pem::new(label, b"x".as_slice()));

        assert!(refusal(&block(LABEL), 0o640).contains("mode 640"));
        assert!(refusal(&block(LABEL), 0o604).contains("mode 604"));
        assert!(refusal(&(block(LABEL) + &block(LABEL)), 0o600).contains("exactly one PEM block"));
        assert!(refusal("", 0o600).contains("exactly one PEM block"));
        assert!(refusal(&block("ENCRYPTED PRIVATE KEY"), 0o600).contains("encrypted"));
        assert!(refusal(&block("EC PRIVATE KEY"), 0o600).contains("openssl pkcs8"));
    }
}
