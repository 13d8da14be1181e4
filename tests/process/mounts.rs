//! Disks that are full or read-only, as file systems of their own. Run as root: `cargo test --test process -- --ignored`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time;

use crate::{
    audit::AuditRecord,
    disk::{Disk, MIB},
    installation::Installation,
    load::assert_holds,
    program::HANG,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

fn put_log_into(installation: &Installation, place: &Path) {
    installation.configure("directory: log", &format!("directory: {}", place.display()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount"]
async fn a_log_short_of_space_on_tmpfs_waits_for_it() {
    a_log_short_of_space_waits_for_it(Disk::tmpfs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount"]
async fn a_log_short_of_space_on_ext4_waits_for_it() {
    a_log_short_of_space_waits_for_it(Disk::ext4).await;
}

/// C2, C10: also for what was issued just before there was no space, and just before a kill.
async fn a_log_short_of_space_waits_for_it(disk: impl Fn(PathBuf, u64) -> Disk) {
    let installation = Installation::new().await;
    let disk = disk(installation.path("disk"), 340 * MIB);
    put_log_into(&installation, &disk.path("log"));
    let mut serving = installation.serve();
    let mut left = vec![serving.request().await.issued()];

    let filler = disk.fill(340 * MIB);
    let refused = loop {
        let answer = serving.request().await;
        if answer.status != 200 {
            break answer;
        }
        left.push(answer.issued());
    };
    assert_eq!(refused.reason(), (503, "log_unavailable"));
    let ready = serving.client.get("/readyz").await;
    assert_eq!((ready.status, &ready.body["log"]["usable"]), (503, &false.into()));
    for path in ["checkpoint", "ct/v1/get-sth", "ct/v1/get-entries?start=0&end=0"] {
        let read = serving.client.get(&format!("/log/{path}")).await;
        assert_eq!(read.status, 200, "{path}");
    }

    fs::remove_file(filler).unwrap();
    let answer = until(async || serving.request().await, |answer| answer.status == 200).await;
    left.push(answer.issued());
    serving.program.kill();
    let mut serving = installation.serve();
    left.push(serving.request().await.issued());
    assert_holds(&serving, &disk.path("log"), &left).await;
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount"]
async fn an_audit_record_on_a_full_disk_waits_for_space() {
    let installation = Installation::new().await;
    let disk = Disk::tmpfs(installation.path("disk"), 4 * MIB);
    let audit = disk.path("audit.jsonl");
    installation.configure("audit: audit.jsonl", &format!("audit: {}", audit.display()));
    let mut serving = installation.serve();
    let before = serving.request().await.issued();

    let filler = disk.fill(4 * MIB);
    let refused = until(async || serving.request().await, |answer| answer.status != 200).await;
    assert_eq!(refused.reason(), (503, "audit_unavailable"));
    let ready = serving.client.get("/readyz").await;
    let problem = ready.body["audit"]["problem"].as_str().unwrap();
    assert!(ready.status == 503 && problem.contains("no space"), "{problem}");
    fs::remove_file(filler).unwrap();
    let after = until(async || serving.request().await, |answer| answer.status == 200).await;
    let record = AuditRecord::read(&audit);
    record.assert_holds(&before);
    record.assert_holds(&after.issued());
    assert!(record.torn <= 1);
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount"]
async fn a_log_on_a_read_only_disk_does_not_start() {
    let installation = Installation::new().await;
    let disk = Disk::tmpfs(installation.path("disk"), 300 * MIB);
    put_log_into(&installation, &disk.path("log"));
    installation.serve().program.stop();
    disk.remount("ro");
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("Read-only file system"), "{stderr}");
    assert!(
        File::create(disk.path("file")).is_err(),
        "the disk is not read-only"
    );
    disk.remount("rw");
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
