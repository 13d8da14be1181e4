//! Disks that are full or read-only, as file systems of their own. Run as root: `cargo test --test process -- --ignored`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time;

use crate::{audit::AuditRecord, installation::Installation, program::HANG};

const MIB: usize = 1024 * 1024;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// A file system in memory; it goes with the value.
struct Mount(PathBuf);

impl Mount {
    fn at(place: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&place).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&place));
        Self(place)
    }

    fn remount(&self, options: &str) {
        run(Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0));
    }

    /// Takes space, to the last byte if need be.
    fn fill(&self, bytes: usize) -> PathBuf {
        let filler = self.0.join("filler");
        // The disk may be full before.
        let _ = fs::write(&filler, vec![1; bytes]);
        filler
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn put_log_into(installation: &Installation, place: &Path) {
    installation.configure("directory: log", &format!("directory: {}", place.display()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount"]
async fn a_log_short_of_space_waits_for_it() {
    let installation = Installation::new().await;
    let mount = Mount::at(installation.path("disk"), "size=300m");
    put_log_into(&installation, &mount.0.join("log"));
    let mut serving = installation.serve();
    serving.request().await.issued();

    let filler = mount.fill(64 * MIB);
    let refused = until(async || serving.request().await, |answer| answer.status != 200).await;
    assert_eq!(refused.reason(), (503, "log_unavailable"));
    let ready = serving.client.get("/readyz").await;
    assert_eq!((ready.status, &ready.body["log"]["usable"]), (503, &false.into()));
    assert_eq!(serving.client.get("/log/checkpoint").await.status, 200);

    fs::remove_file(filler).unwrap();
    until(async || serving.request().await, |answer| answer.status == 200).await;
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount"]
async fn an_audit_record_on_a_full_disk_stops_issuing_until_the_restart() {
    let installation = Installation::new().await;
    let mount = Mount::at(installation.path("disk"), "size=64k");
    let audit = mount.0.join("audit.jsonl");
    installation.configure("audit: audit.jsonl", &format!("audit: {}", audit.display()));
    let mut serving = installation.serve();
    let before = serving.request().await.issued();

    let filler = mount.fill(MIB);
    let refused = until(async || serving.request().await, |answer| answer.status != 200).await;
    assert_eq!(refused.reason(), (503, "audit_unavailable"));
    fs::remove_file(filler).unwrap();
    assert_eq!(serving.request().await.reason(), (503, "audit_unavailable"));
    serving.program.stop();

    let serving = installation.serve();
    let after = serving.request().await.issued();
    let record = AuditRecord::read(&audit);
    record.assert_holds(&before);
    record.assert_holds(&after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount"]
async fn a_log_on_a_read_only_disk_does_not_start() {
    let installation = Installation::new().await;
    let mount = Mount::at(installation.path("disk"), "size=300m");
    put_log_into(&installation, &mount.0.join("log"));
    installation.serve().program.stop();
    mount.remount("ro");
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("Read-only file system"), "{stderr}");
    assert!(
        File::create(mount.0.join("file")).is_err(),
        "the disk is not read-only"
    );
    mount.remount("rw");
    installation.serve();
}

/// The first result that will do.
async fn until<T>(attempt: impl AsyncFn() -> T, will_do: impl Fn(&T) -> bool) -> T {
    let attempts = async {
        loop {
            let result = attempt().await;
            if will_do(&result) {
                return result;
            }
            time::sleep(PAUSE).await;
        }
    };
    time::timeout(HANG, attempts).await.unwrap()
}
