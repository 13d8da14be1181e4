//! Files that hold a secret: who may own and read them, and reading them without leaving copies
//! behind.
//!
//! The rule is PostgreSQL's for `ssl_key_file`. A file of our own user must be ours alone. A file
//! of root may also be readable by its group, because this is how Kubernetes mounts a Secret for a
//! container with an `fsGroup`, and how a distribution shares keys with a service. Whoever else
//! owns a file could read and change it. Links are followed: what counts is the file at their end.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;
use zeroize::Zeroizing;

const ROOT: u32 = 0;

/// All of group and others.
const NOT_THE_OWNERS: u32 = 0o077;

/// As [`NOT_THE_OWNERS`], without reading by the group.
const NOT_THE_GROUPS: u32 = 0o037;

/// Who may read a file beside the user that reads it as a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposed {
    /// Its permissions let others read or change it.
    #[error("has mode {mode:03o}, so others can read it: run chmod {allowed:03o} on it")]
    ToOthers {
        /// Its permission bits.
        mode: u32,
        /// Those that it may have at most.
        allowed: u32,
    },
    /// It belongs to somebody else, who can read and change it whatever its permissions are.
    #[error("belongs to the user {owner}, who can read it: run this as that user, or chown {user} on it")]
    ToItsOwner {
        /// The owner's user id.
        owner: u32,
        /// Our user id.
        user: u32,
    },
}

/// Why a secret cannot be read from its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no secret.
    #[error("it {0}")]
    Exposed(#[from] Exposed),
}

/// What the rule looks at.
#[derive(Clone, Copy)]
struct Access {
    owner: u32,
    mode: u32,
}

impl Access {
    /// Whether the file is a secret of `user`.
    fn check(self, user: u32) -> Result<(), Exposed> {
        let Self { owner, mode } = self;
        let (others, allowed) = match owner {
            _ if owner == user => (NOT_THE_OWNERS, 0o600),
            ROOT => (NOT_THE_GROUPS, 0o640),
            _ => return Err(Exposed::ToItsOwner { owner, user }),
        };
        if mode & others == 0 {
            return Ok(());
        }
        let mode = mode & 0o777;
        Err(Exposed::ToOthers { mode, allowed })
    }
}

/// Whether a file with this metadata is a secret of the user that this process runs as.
///
/// # Errors
/// Who else may read it.
pub fn check(metadata: &Metadata) -> Result<(), Exposed> {
    let user = geteuid().as_raw();
    // A pipe belongs to whoever feeds it, such as the shell before `sudo`, and is empty afterwards.
    let owner = if metadata.is_file() { metadata.uid() } else { user };
    let mode = metadata.mode();
    Access { owner, mode }.check(user)
}

/// Reads the file at `path` if it is a secret; the bytes are wiped on drop. What is read is what
/// was checked: the file is opened once.
///
/// # Errors
/// If it cannot be read, or others may read it.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok(read_to_end(&mut file, metadata.len())?)
}

/// A buffer that grows leaves copies of its contents behind, so it has room for the whole file, and
/// for the read that finds its end.
fn read_to_end(file: &mut File, length: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let capacity = usize::try_from(length).unwrap_or_default().saturating_add(32);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{PermissionsExt as _, chown, fchown, symlink};

    use super::*;

    const US: u32 = 1000;

    fn verdict(owner: u32, mode: u32, user: u32) -> &'static str {
        match (Access { owner, mode }).check(user) {
            Ok(()) => "taken",
            Err(Exposed::ToOthers { allowed: 0o600, .. }) => "chmod 600",
            Err(Exposed::ToOthers { .. }) => "chmod 640",
            Err(Exposed::ToItsOwner { .. }) => "chown",
        }
    }

    #[test]
    fn the_rule_is_that_of_postgresql() {
        let root_group = "taken";
        for (owner, mode, user, expected) in [
            (US, 0o100_600, US, "taken"),
            (US, 0o100_400, US, "taken"),
            (US, 0o100_640, US, "chmod 600"),
            (US, 0o100_440, US, "chmod 600"),
            (US, 0o100_620, US, "chmod 600"),
            (US, 0o100_604, US, "chmod 600"),
            (US, 0o100_444, US, "chmod 600"),
            // A Secret of Kubernetes: `defaultMode: 0400` and an `fsGroup` make it 0440.
            (ROOT, 0o100_440, US, root_group),
            (ROOT, 0o100_640, US, root_group),
            (ROOT, 0o100_400, US, "taken"),
            (ROOT, 0o100_600, US, "taken"),
            (ROOT, 0o100_444, US, "chmod 640"),
            (ROOT, 0o100_644, US, "chmod 640"),
            (ROOT, 0o100_660, US, "chmod 640"),
            (ROOT, 0o100_650, US, "chmod 640"),
            (ROOT, 0o100_641, US, "chmod 640"),
            // Root's own files are files of one's own.
            (ROOT, 0o100_600, ROOT, "taken"),
            (ROOT, 0o100_640, ROOT, "chmod 600"),
            (ROOT, 0o100_440, ROOT, "chmod 600"),
            // Root could read any of these.
            (US, 0o100_600, ROOT, "chown"),
            (1001, 0o100_600, ROOT, "chown"),
            (1001, 0o100_600, US, "chown"),
            (1001, 0o100_640, US, "chown"),
            (1001, 0o100_400, US, "chown"),
        ] {
            assert_eq!(
                verdict(owner, mode, user),
                expected,
                "{mode:o} of {owner} read by {user}"
            );
        }
    }

    #[test]
    fn what_a_link_of_a_mounted_secret_leads_to_counts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("..2026")).unwrap();
        fs::write(at("..2026/key"), "secret").unwrap();
        symlink("..2026", at("..data")).unwrap();
        symlink("..data/key", at("key")).unwrap();
        let set_mode = |mode| fs::set_permissions(at("..2026/key"), Permissions::from_mode(mode)).unwrap();

        set_mode(0o400);
        assert_eq!(read(&at("key")).unwrap().as_slice(), b"secret");
        set_mode(0o444);
        let error = read(&at("key")).unwrap_err().to_string();
        assert_eq!(
            error,
            "it has mode 444, so others can read it: run chmod 600 on it"
        );
        assert!(matches!(
            read(&at("none")),
            Err(SecretFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound
        ));
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        writer.write_all(&[b'x'; 5000]).unwrap();
        drop(writer);
        assert_eq!(read(Path::new(&path)).unwrap().len(), 5000);
    }

    /// The same by real files of others, which only root can make.
    #[test]
    #[ignore = "needs root"]
    fn as_root_a_file_of_somebody_else_is_refused() {
        assert!(geteuid().is_root(), "only root can give files away");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(read(&path).is_ok());
        chown(&path, Some(US), None).unwrap();
        let expected = Exposed::ToItsOwner {
            owner: US,
            user: ROOT,
        };
        assert!(matches!(read(&path), Err(SecretFileError::Exposed(found)) if found == expected));

        // As in `echo … | sudo mayfly …`.
        let (reader, writer) = io::pipe().unwrap();
        fchown(&reader, Some(US), None).unwrap();
        drop(writer);
        assert!(read(Path::new(&format!("/proc/self/fd/{}", reader.as_raw_fd()))).is_ok());
    }
}
