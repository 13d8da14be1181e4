//! The log and its key are born together, by the first start of `mayfly serve`, and never again.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{audit::AuditRecord, installation::Installation, program::Program};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_makes_the_log_and_the_second_goes_on_with_it() {
    let installation = Installation::new().await;
    let log = installation.path("log");
    let mut serving = installation.serve();
    let first = serving.request().await.issued();
    serving.program.stop();
    let key = fs::read(installation.path("log-key.pem")).unwrap();
    let mode = fs::metadata(installation.path("log-key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut serving = installation.serve();
    let second = serving.request().await.issued();
    serving.program.stop();
    assert_eq!(fs::read(installation.path("log-key.pem")).unwrap(), key);

    let serving = installation.serve();
    let published = serving.published(&log);
    let entries = published.audited_entries().await;
    assert_eq!(entries.len(), 2);
    let record = AuditRecord::read(&installation.path("audit.jsonl"));
    for (issued, entry) in [first, second].iter().zip(&entries) {
        issued.assert_is_logged_as(entry, &published.key);
        record.assert_holds(issued);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_its_log_starts_no_other_log() {
    let installation = Installation::new().await;
    installation.serve().program.stop();
    fs::rename(installation.path("log"), installation.path("aside")).unwrap();
    for empty in [false, true] {
        if empty {
            fs::create_dir(installation.path("log")).unwrap();
        }
        let (code, stderr) = installation.refusal();
        assert_eq!(code, Some(1));
        assert!(
            stderr.contains("its key exists: restore the directory"),
            "{stderr}"
        );
        assert!(!installation.path("log/log.json").exists());
    }
    fs::remove_dir_all(installation.path("log")).unwrap();
    fs::rename(installation.path("aside"), installation.path("log")).unwrap();
    installation.serve();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_its_key_gets_no_other_key() {
    let installation = Installation::new().await;
    installation.serve().program.stop();
    fs::rename(installation.path("log-key.pem"), installation.path("aside")).unwrap();
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("log-key.pem is missing: restore the key"),
        "{stderr}"
    );
    assert!(!installation.path("log-key.pem").exists());
    fs::rename(installation.path("aside"), installation.path("log-key.pem")).unwrap();
    installation.serve();
}

/// The second `mayfly dev` wrote its own address into the issuer file that the first one follows.
#[test]
fn a_second_dev_leaves_the_directory_of_the_first_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut first = Program::dev(&data);
    let ready = first.ready();
    let before = contents(&data);
    let mut second = Program::dev(&data);
    assert_eq!(second.exit().code(), Some(1));
    let said = second.stderr();
    for words in [
        "another `mayfly dev` runs with ",
        ready["api"].as_str().unwrap(),
        "end that one, or give this one a directory of its own with --data-dir",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(contents(&data), before);
    first.stop();
    let mut third = Program::dev(&data);
    assert_eq!(third.ready()["data_dir"], ready["data_dir"]);
    third.stop();
}

/// Of the files that every start writes, and of what is there once.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_open_in_one_process_only() {
    let installation = Installation::new().await;
    let serving = installation.serve();
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("is open in another process; stop that one first"),
        "{stderr}"
    );
    serving.request().await.issued();
}
