//! Private keys in files that nobody else can read: PKCS#8 PEM (RFC 5958, RFC 7468 sections 10 and
//! 11), encrypted or not.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aws_lc_rs::rand;
use ct_log::secret_file::{self, Exposed, SecretFileError};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef,
    der::{SecretDocument, pem::PemLabel},
    pkcs5::pbes2,
};
use zeroize::Zeroizing;

use super::passphrase::{Passphrase, PassphraseError, PassphraseSource};
use crate::durability::sync_folder_of;

/// Readable and writable by the owner.
const MODE: u32 = 0o600;

/// Of PBKDF2 with HMAC-SHA-256, as OWASP recommends (2023).
const ROUNDS: u32 = 600_000;

/// Reads the one key of a file that nobody else can read ([`secret_file`]): PKCS#8 DER,
/// unencrypted, wiped on drop. An encrypted one takes the second or so that its key derivation was
/// made to take.
///
/// # Errors
/// If the file cannot be read, is open to others, does not hold exactly one such key, or `passphrase` does not decrypt it.
pub fn read(path: &Path, passphrase: Option<&PassphraseSource>) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    unlocked(path, || Ok(passphrase.ok_or(KeyFileError::Encrypted)?.read()?))
}

/// The same with a passphrase that somebody typed.
///
/// # Errors
/// As [`read`].
pub fn read_with(path: &Path, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    unlocked(path, || Ok(passphrase.clone()))
}

/// `passphrase` is asked for only if there is one.
fn unlocked(
    path: &Path,
    passphrase: impl FnOnce() -> Result<Passphrase, KeyFileError>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let text = secret_file::read(path).map_err(|error| match error {
        SecretFileError::Exposed(exposed) => KeyFileError::Exposed(exposed),
        SecretFileError::Io(source) => KeyFileError::Read(source),
        other => KeyFileError::Read(io::Error::other(other)),
    })?;
    let text = std::str::from_utf8(&text).map_err(|_| KeyFileError::NotPem)?;
    if is_legacy_encrypted(text) {
        return Err(KeyFileError::LegacyEncryption);
    }
    let (label, document) = SecretDocument::from_pem(text).map_err(|_| KeyFileError::NotPem)?;
    let document = match label {
        PrivateKeyInfoRef::PEM_LABEL => document,
        EncryptedPrivateKeyInfoRef::PEM_LABEL => decrypt(&document, &passphrase()?)?,
        _ => return Err(KeyFileError::Unsupported),
    };
    Ok(document.to_bytes())
}

/// RFC 1421 section 4.6.1.1, OpenSSL's traditional format: the header makes the block something
/// else than RFC 7468's.
fn is_legacy_encrypted(text: &str) -> bool {
    let is_header = |line: &str| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("Proc-Type") && value.to_ascii_uppercase().contains("ENCRYPTED")
        })
    };
    text.lines().any(is_header)
}

fn decrypt(document: &SecretDocument, passphrase: &Passphrase) -> Result<SecretDocument, KeyFileError> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|_| KeyFileError::UnsupportedEncryption)?;
    if encrypted.encryption_algorithm.pbes2().is_none() {
        return Err(KeyFileError::UnsupportedEncryption);
    }
    encrypted
        .decrypt(passphrase.expose())
        .map_err(|_| KeyFileError::WrongPassphrase)
}

/// Writes a key (PKCS#8 DER) into a new file, mode 0600, durably: content and name. With a passphrase it is encrypted
/// (RFC 8018 PBES2: PBKDF2 and AES-256, which every tool reads).
///
/// # Errors
/// If the file exists, since a key is never overwritten, or cannot be written.
pub fn write_new(path: &Path, pkcs8: &[u8], passphrase: Option<&Passphrase>) -> Result<(), KeyFileError> {
    let text = encode(pkcs8, passphrase)?;
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

fn encryption() -> Result<pbes2::Parameters, KeyFileError> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    let filled = rand::fill(&mut salt).and_then(|()| rand::fill(&mut iv));
    filled.map_err(|_| KeyFileError::UnsupportedEncryption)?;
    pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv)
        .map_err(|_| KeyFileError::UnsupportedEncryption)
}

fn encode(pkcs8: &[u8], passphrase: Option<&Passphrase>) -> Result<Zeroizing<String>, KeyFileError> {
    let unsupported = |_| KeyFileError::Unsupported;
    let plain = SecretDocument::try_from(pkcs8).map_err(unsupported)?;
    let (label, document) = match passphrase {
        None => (PrivateKeyInfoRef::PEM_LABEL, plain),
        Some(passphrase) => {
            let key = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|_| KeyFileError::Unsupported)?;
            let encrypted = key
                .encrypt_with_params(encryption()?, passphrase.expose())
                .map_err(|_| KeyFileError::UnsupportedEncryption)?;
            (EncryptedPrivateKeyInfoRef::PEM_LABEL, encrypted)
        }
    };
    document.to_pem(label, pkcs8::LineEnding::LF).map_err(unsupported)
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
    /// Others can read it.
    #[error("the key file {0}, and replace the key if they may have")]
    Exposed(Exposed),
    /// Not one PEM block.
    #[error(
        "the key file must hold one PEM block, -----BEGIN PRIVATE KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY-----"
    )]
    NotPem,
    /// An encrypted key, and no passphrase.
    #[error("the key file is encrypted: say where its passphrase is")]
    Encrypted,
    /// The place of the passphrase was named, but it is not to be had.
    #[error("the key file's passphrase is missing")]
    Passphrase(#[from] PassphraseError),
    /// The passphrase is another key's, or the file is damaged.
    #[error("the passphrase does not decrypt the key file")]
    WrongPassphrase,
    /// Encrypted by an old method.
    #[error(
        "the key file is encrypted in a way that is not supported (PBES2 with PBKDF2 or scrypt, and AES, is); convert it \
         with: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW"
    )]
    UnsupportedEncryption,
    /// Encrypted by the method of RFC 1421, whose key derivation is one round of MD5.
    #[error(
        "the key file is encrypted in the old way of OpenSSL (Proc-Type: 4,ENCRYPTED), which is not supported; convert it \
         with: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW"
    )]
    LegacyEncryption,
    /// A key that clients would not accept.
    #[error(
        "the key is Ed25519, which cannot sign here: sigstore-python, for one, rejects the SCTs of certificates that an \
         Ed25519 CA signed. Make one on P-384 or P-256, or RSA"
    )]
    Ed25519,
    /// Not a key that may be used here.
    #[error(
        "the key must be PKCS#8 and ECDSA P-256, ECDSA P-384 or RSA of 2048 to 8192 bits; \
         convert others with: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
    )]
    Unsupported,
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
    };

    use super::*;

    fn new_key() -> Vec<u8> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        pkcs8.as_ref().to_vec()
    }

    fn passphrase(folder: &Path, name: &str, text: &str) -> PassphraseSource {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        PassphraseSource::File(path)
    }

    #[test]
    fn a_key_is_written_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("key.pem"), new_key());
        write_new(&path, &key, None).unwrap();
        assert_eq!(*read(&path, None).unwrap(), key);
        assert!(matches!(
            write_new(&path, &key, None),
            Err(KeyFileError::Write(_))
        ));
    }

    #[test]
    fn an_encrypted_key_needs_its_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("key.pem"), new_key());
        let right = passphrase(folder.path(), "right", "correct horse\n");
        let wrong = passphrase(folder.path(), "wrong", "battery staple\n");
        write_new(&path, &key, Some(&right.read().unwrap())).unwrap();

        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
            "{text}"
        );
        assert_eq!(*read(&path, Some(&right)).unwrap(), key);
        assert!(matches!(read(&path, None), Err(KeyFileError::Encrypted)));
        assert!(matches!(
            read(&path, Some(&wrong)),
            Err(KeyFileError::WrongPassphrase)
        ));
        let missing = PassphraseSource::File(folder.path().join("missing"));
        assert!(matches!(
            read(&path, Some(&missing)),
            Err(KeyFileError::Passphrase(_))
        ));
    }

    #[test]
    #[ignore = "needs openssl"]
    fn openssl_reads_what_is_written_and_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("key.pem"), new_key());
        let source = passphrase(folder.path(), "pass", "correct horse");
        write_new(&path, &key, Some(&source.read().unwrap())).unwrap();
        for kind in [
            &["-v2", "aes256"][..],
            &["-scrypt"],
            &["-v2", "aes128", "-v2prf", "hmacWithSHA512"],
        ] {
            let theirs = folder.path().join("theirs.pem");
            let status = Command::new("openssl")
                .args([
                    "pkcs8",
                    "-topk8",
                    "-passin",
                    "pass:correct horse",
                    "-passout",
                    "pass:correct horse",
                ])
                .args(kind)
                .arg("-in")
                .arg(&path)
                .arg("-out")
                .arg(&theirs)
                .status();
            assert!(status.unwrap().success(), "{kind:?}");
            fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
            let read = read(&theirs, Some(&source)).unwrap();
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key);
            let same = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &read);
            let (key, same) = (key.unwrap(), same.unwrap());
            use aws_lc_rs::signature::KeyPair;
            assert_eq!(key.public_key().as_ref(), same.public_key().as_ref());
        }
    }

    #[test]
    fn files_that_are_not_one_private_key_of_ones_own_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let refusal = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path, None).unwrap_err().to_string()
        };
        let block = |label: &str| pem::encode(&pem::Pem::new(label, new_key())).replace('\r', "");
        let whole = block("PRIVATE KEY");
        let half = whole.split_at(whole.len() / 2).0;

        assert!(refusal(&whole, 0o640).contains("mode 640"));
        assert!(refusal(&whole, 0o604).contains("mode 604"));
        assert!(refusal(&(whole.clone() + &whole), 0o600).contains("must hold one PEM block"));
        assert!(refusal("", 0o600).contains("must hold one PEM block"));
        assert!(
            refusal(half, 0o600).contains("must hold one PEM block"),
            "written by half"
        );
        assert!(refusal(&block("ENCRYPTED PRIVATE KEY"), 0o600).contains("passphrase"));
        assert!(refusal(&block("EC PRIVATE KEY"), 0o600).contains("openssl pkcs8"));
    }

    /// What `openssl ec -aes256` and `openssl rsa -traditional -des3` write.
    #[test]
    fn a_key_that_is_encrypted_in_the_old_way_is_told_how_to_convert_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        for header in [
            "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,000102030405060708090A0B0C0D0E0F",
            "Proc-Type: 4,ENCRYPTED\r\nDEK-Info: DES-EDE3-CBC,0001020304050607",
        ] {
            for label in ["EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY"] {
                let text = format!("-----BEGIN {label}-----\n{header}\n\nAAAA\n-----END {label}-----\n");
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                let refusal = read(&path, None).unwrap_err();
                assert!(matches!(refusal, KeyFileError::LegacyEncryption), "{refusal}");
                let line = "openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW";
                assert!(refusal.to_string().contains(line), "{refusal}");
            }
        }
    }
}
