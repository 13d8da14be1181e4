//! Whether a file system keeps what a log relies on: what `fdatasync` acknowledged, and one writer's lock.

use std::io;
use std::path::Path;

use super::recovery::OpenError;

/// What a log can expect of a file system, by the magic number that `statfs` gives (linux/magic.h, statfs(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Everything,
    /// Nothing beyond the machine's or container's life.
    NothingForLong(&'static str),
    /// Neither locks nor syncs as a local disk does.
    NoPromise(&'static str),
}

impl Keeps {
    fn by_magic(magic: u64) -> Keeps {
        // The field is signed on some machines, so the numbers of 32 bits may come extended.
        match magic & 0xffff_ffff {
            0x0102_1994 => Keeps::NothingForLong("tmpfs"),
            0x8584_58f6 => Keeps::NothingForLong("ramfs"),
            0x794c_7630 => Keeps::NothingForLong("overlayfs"),
            0x6969 => Keeps::NoPromise("NFS"),
            0x517b | 0xff53_4d42 | 0xfe53_4d42 => Keeps::NoPromise("SMB"),
            0x0102_1997 => Keeps::NoPromise("9p"),
            0x00c3_6400 => Keeps::NoPromise("Ceph"),
            0x5346_414f | 0x6b41_4653 => Keeps::NoPromise("AFS"),
            _ => Keeps::Everything,
        }
    }
}

/// Refuses a directory on a network, and warns of one that will not last.
///
/// # Errors
/// The file system is not local. One that cannot be asked is taken as local: the next write will tell.
#[cfg(target_os = "linux")]
pub(crate) fn check(directory: &Path) -> Result<(), OpenError> {
    let Ok(stat) = rustix::fs::statfs(directory) else {
        return Ok(());
    };
    match Keeps::by_magic(u64::from_ne_bytes(stat.f_type.to_ne_bytes())) {
        Keeps::Everything => Ok(()),
        Keeps::NothingForLong(name) => {
            let directory = directory.display();
            tracing::warn!(%directory, "the log is on {name}, which does not last: losing it ends the log");
            Ok(())
        }
        Keeps::NoPromise(name) => {
            let directory = directory.display();
            let what = format!("{directory} is on {name}; a log needs a local disk, or a database or bucket");
            Err(OpenError::Io {
                doing: "rely on the file system",
                source: io::Error::new(io::ErrorKind::Unsupported, what),
            })
        }
    }
}

/// Elsewhere nothing is known.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check(_directory: &Path) -> Result<(), OpenError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_promise_nothing() {
        for magic in [
            0x6969,
            0xff53_4d42,
            0xffff_ffff_ff53_4d42,
            0xfe53_4d42,
            0x0102_1997,
        ] {
            assert!(matches!(Keeps::by_magic(magic), Keeps::NoPromise(_)), "{magic:x}");
        }
        for magic in [0x0102_1994, 0x8584_58f6, 0x794c_7630] {
            assert!(
                matches!(Keeps::by_magic(magic), Keeps::NothingForLong(_)),
                "{magic:x}"
            );
        }
        // ext4, xfs, btrfs, zfs, f2fs
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1, 0xf2f5_2010] {
            assert_eq!(Keeps::by_magic(magic), Keeps::Everything, "{magic:x}");
        }
    }

    #[test]
    fn the_file_system_of_the_tests_will_do() {
        let directory = tempfile::tempdir().unwrap();
        check(directory.path()).unwrap();
    }
}
