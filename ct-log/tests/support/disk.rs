//! File systems of their own, to be filled and to be made read-only; only root can have them. Also used by the tests of the program
//! that embeds the log.

#![allow(dead_code, reason = "each test program uses its part")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const MIB: u64 = 1024 * 1024;

/// Mounted until it goes.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn tmpfs(place: PathBuf, bytes: u64) -> Disk {
        let options = format!("size={bytes}");
        mount(&place, &["-t", "tmpfs", "-o", &options, "tmpfs"]);
        Disk(place)
    }

    /// In a file beside the place, on a loop device that goes with the mount.
    pub(crate) fn ext4(place: PathBuf, bytes: u64) -> Disk {
        let image = place.with_extension("img");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0"])
            .arg(&image));
        mount(&place, &["-t", "ext4", "-o", "loop", image.to_str().unwrap()]);
        Disk(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.0));
    }

    /// Takes so much of its space, or all that is left, until the file is removed.
    pub(crate) fn fill(&self, bytes: u64) -> PathBuf {
        let filler = self.path("filler");
        // It may be full before.
        let _ = fs::write(&filler, vec![1; usize::try_from(bytes).unwrap()]);
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn mount(place: &Path, what: &[&str]) {
    fs::create_dir_all(place).unwrap();
    run(Command::new("mount").args(what).arg(place));
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
