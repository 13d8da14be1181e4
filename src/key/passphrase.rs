//! What unlocks a key, the passphrase of its file or the PIN of its token, and where it comes from. It never stands in a
//! configuration file.

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use ct_log::secret_file::{self, Exposed, SecretFileError};
use zeroize::Zeroizing;

/// Set by systemd for a service with credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A passphrase or PIN, wiped on drop.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// # Errors
    /// If nothing is left without the line break at its end.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, PassphraseError> {
        let mut bytes = bytes;
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        match bytes.is_empty() {
            true => Err(PassphraseError::Empty),
            false => Ok(Self(bytes)),
        }
    }

    /// Its bytes, UTF-8 or not.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase(elided)")
    }
}

/// Where a passphrase comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// The file at this path, which nobody else can read ([`secret_file`]); a line break at its end
    /// does not count.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
    /// The systemd credential of this name.
    Credential(String),
}

impl PassphraseSource {
    /// Reads it; each time anew, since it may change with the key.
    ///
    /// # Errors
    /// If it is not there, empty, or open to others.
    pub fn read(&self) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::File(path) => read_private(path),
            Self::Environment(name) => match env::var_os(name) {
                Some(value) => Passphrase::new(Zeroizing::new(value.into_encoded_bytes())),
                None => Err(PassphraseError::NoVariable(name.clone())),
            },
            // systemd lets the service's user alone read it, whatever the mode bits say.
            Self::Credential(name) => match env::var_os(CREDENTIALS_DIRECTORY) {
                Some(folder) => read(&Path::new(&folder).join(name)),
                None => Err(PassphraseError::NoCredentials(name.clone())),
            },
        }
    }

    /// The same, with a relative path counted from `folder`.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }
}

impl FromStr for PassphraseSource {
    type Err = PassphraseError;

    fn from_str(text: &str) -> Result<Self, PassphraseError> {
        let is_name = |name: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            !name.is_empty() && name.chars().all(allowed) && !matches!(name, "." | "..")
        };
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if is_name(name) => Ok(Self::Environment(name.to_owned())),
            Some(("credential", name)) if is_name(name) => Ok(Self::Credential(name.to_owned())),
            _ => Err(PassphraseError::Source),
        }
    }
}

impl fmt::Display for PassphraseSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "file:{}", path.display()),
            Self::Environment(name) => write!(formatter, "env:{name}"),
            Self::Credential(name) => write!(formatter, "credential:{name}"),
        }
    }
}

fn read_private(path: &Path) -> Result<Passphrase, PassphraseError> {
    let path = path.to_owned();
    match secret_file::read(&path) {
        Ok(bytes) => Passphrase::new(bytes),
        Err(SecretFileError::Exposed(exposed)) => Err(PassphraseError::Exposed { path, exposed }),
        Err(SecretFileError::Io(source)) => Err(PassphraseError::Read { path, source }),
        Err(other) => {
            let source = io::Error::other(other);
            Err(PassphraseError::Read { path, source })
        }
    }
}

fn read(path: &Path) -> Result<Passphrase, PassphraseError> {
    let bytes = fs::read(path).map_err(|source| PassphraseError::Read {
        path: path.to_owned(),
        source,
    })?;
    Passphrase::new(Zeroizing::new(bytes))
}

/// Why there is no passphrase. No variant carries any of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Not a place that a passphrase can come from; perhaps the passphrase itself.
    #[error(
        "a passphrase is named by its place: file:PATH, env:NAME of an environment variable, or credential:NAME of a \
         systemd credential"
    )]
    Source,
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error("{} {exposed}, and change the passphrase if they may have", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// To whom.
        exposed: Exposed,
    },
    /// There is no such environment variable.
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    /// The process was not given any systemd credentials.
    #[error(
        "there is no credential {0}: CREDENTIALS_DIRECTORY is not set, so systemd gave this process none"
    )]
    NoCredentials(String),
    /// Nothing but a line break.
    #[error("the passphrase is empty")]
    Empty,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_passphrase_is_named_by_its_place() {
        for text in [
            "file:/run/secrets/ca",
            "env:MAYFLY_CA_PASSPHRASE",
            "credential:ca.pass-1",
        ] {
            assert_eq!(text.parse::<PassphraseSource>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "swordfish",
            "file:",
            "env:",
            "env:A=B",
            "credential:../x",
            "credential:..",
        ] {
            let error = text.parse::<PassphraseSource>().unwrap_err().to_string();
            assert!(
                !error.contains("swordfish") && error.contains("file:PATH"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_file_of_ones_own_is_read_without_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        let source = PassphraseSource::File("pass".into()).in_folder(folder.path());
        for (text, expected) in [("a b ", "a b "), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n")] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(source.read().unwrap().expose(), expected.as_bytes());
        }
        fs::write(&path, "\n").unwrap();
        assert!(matches!(source.read(), Err(PassphraseError::Empty)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(source.read(), Err(PassphraseError::Exposed { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(source.read(), Err(PassphraseError::Read { .. })));
        let unset = PassphraseSource::Environment("MAYFLY_TEST_UNSET".to_owned());
        assert!(matches!(unset.read(), Err(PassphraseError::NoVariable(_))));
    }

    #[test]
    fn debug_elides_it() {
        let passphrase = Passphrase::new(Zeroizing::new(b"swordfish".to_vec())).unwrap();
        assert_eq!(format!("{passphrase:?}"), "Passphrase(elided)");
    }
}
