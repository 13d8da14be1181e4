//! The command `ct-log verify` over HTTP: what it finds, what it resists, and how it goes on where it was.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Output;

use ct_log::{Log, LogKey, Submitter};
use support::web::{Fault, Web};
use support::{Pki, grow, origin, pending};
use tempfile::TempDir;
use tokio::process::Command;

const SOUND: i32 = 0;
const UNCHECKED: i32 = 1;
const UNSOUND: i32 = 4;

/// A log that is served, and a folder for its key and the state of audits.
struct Scene {
    pki: Pki,
    log: Log,
    web: Web,
    folder: TempDir,
}

impl Scene {
    async fn new(size: u64) -> Scene {
        Scene::with_key(size, LogKey::generate().unwrap(), Pki::new()).await
    }

    async fn with_key(size: u64, key: LogKey, pki: Pki) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log.der"), key.public().spki_der()).unwrap();
        let log = Log::in_memory(origin(), key).unwrap();
        grow(&log, &pki, size).await;
        published(&log).await;
        let web = Web::serve(&log, &pki).await;
        Scene {
            pki,
            log,
            web,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn verify(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
        command
            .args(["verify", &self.web.url, "--key"])
            .arg(self.path("log.der"));
        command.args(more).kill_on_drop(true).output().await.unwrap()
    }

    async fn verify_with_state(&self) -> Output {
        let state = self.path("state.json");
        self.verify(&["--state", state.to_str().unwrap()]).await
    }
}

/// Waits for a checkpoint that covers all entries.
async fn published(log: &Log) {
    while log.published_size() < log.size() {
        tokio::task::yield_now().await;
    }
}

async fn submit(scene: &Scene, serial: u64) {
    let entry = pending(&scene.log, &scene.pki, serial);
    scene.log.submit(entry, Submitter::Internal).await.unwrap();
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

#[track_caller]
fn assert_said(output: &Output, code: i32, text: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{said}");
}

fn data_000(log_entries: u64) -> String {
    match log_entries {
        256.. => "tile/data/000".to_owned(),
        width => format!("tile/data/000.p/{width}"),
    }
}

/// C9, and what `--key` is for.
#[tokio::test]
async fn served_log_is_sound_and_its_own_word_for_its_key_is_called_weak() {
    let scene = Scene::new(300).await;
    let output = scene.verify(&[]).await;
    assert_said(
        &output,
        SOUND,
        "read 300 entries, 2 data tiles, 3 hash tiles, 2 issuers",
    );
    assert!(!said(&output).contains("warning"));

    let mut keyless = Command::new(env!("CARGO_BIN_EXE_ct-log"));
    let output = keyless.args(["verify", &scene.web.url]).output().await.unwrap();
    assert_said(&output, SOUND, "the log is sound");
    assert!(said(&output).contains("warning: without --key"));

    let other = scene.path("log.der");
    fs::write(&other, LogKey::generate().unwrap().public().spki_der()).unwrap();
    assert_said(&scene.verify(&[]).await, UNSOUND, "not signed by the log's key");
    assert_said(
        &scene.verify(&["--origin", "other.example/ct"]).await,
        UNSOUND,
        "another log",
    );
}

/// C6, C8, C9: what is missing or wrong is the log's fault; what does not answer is not.
#[tokio::test]
async fn faults_of_the_log_and_of_the_way_to_it_have_their_own_exit_codes() {
    let scene = Scene::new(3).await;
    let gzip_of_zeros = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..64 {
            encoder.write_all(&zeros).unwrap();
        }
        encoder.finish().unwrap()
    };
    let elsewhere = Scene::new(3).await;
    let elsewhere = vec![("location", format!("{}/checkpoint", elsewhere.web.url))];
    let bomb = vec![("content-encoding", "gzip".to_owned())];
    for (path, fault, code) in [
        (data_000(3), Fault::Status(404), UNSOUND),
        (data_000(3), Fault::Body(b"nonsense".to_vec()), UNSOUND),
        ("tile/0/000.p/3".into(), Fault::Body(vec![0; 96]), UNSOUND),
        ("checkpoint".into(), Fault::Body(b"nonsense".to_vec()), UNSOUND),
        ("checkpoint".into(), Fault::Status(403), UNCHECKED),
        (
            "checkpoint".into(),
            Fault::Headers(302, elsewhere, vec![]),
            UNCHECKED,
        ),
        (data_000(3), Fault::Headers(200, bomb, gzip_of_zeros), UNCHECKED),
        ("tile/0/000.p/3".into(), Fault::Body(vec![0; 8193]), UNCHECKED),
        ("tile/0/000.p/3".into(), Fault::Status(500), UNCHECKED),
    ] {
        scene.web.fault(&path, fault);
        // The name is given, so that a checkpoint that is nonsense is the audit's to judge.
        let output = scene.verify(&["--origin", "log.example/ct"]).await;
        assert_eq!(output.status.code(), Some(code), "{path}: {}", said(&output));
        scene.web.mend();
    }
    assert_said(&scene.verify(&[]).await, SOUND, "the log is sound");
}

#[tokio::test]
async fn short_trouble_is_waited_out_and_a_dropped_partial_tile_is_cut_from_the_full_one() {
    let scene = Scene::new(3).await;
    scene.web.fault(&data_000(3), Fault::Unwell(2));
    assert_said(&scene.verify(&[]).await, SOUND, "the log is sound");

    let old = scene.log.checkpoint();
    for serial in 10..263 {
        submit(&scene, serial).await;
    }
    published(&scene.log).await;
    // Readers of the old checkpoint find the full tiles only (C2SP tlog-tiles allows that).
    scene
        .web
        .fault("checkpoint", Fault::Body(old.as_bytes().to_vec()));
    scene.web.fault(&data_000(3), Fault::Status(404));
    scene.web.fault("tile/0/000.p/3", Fault::Status(404));
    assert_said(&scene.verify(&[]).await, SOUND, "read 3 entries");
}

/// C1: what was seen before must be the beginning of what is there now.
#[tokio::test]
async fn later_audit_reads_only_what_is_new_and_proves_that_the_log_only_grew() {
    let scene = Scene::new(600).await;
    assert_said(&scene.verify_with_state().await, SOUND, "read 600 entries");
    scene.web.asked();
    submit(&scene, 1000).await;
    published(&scene.log).await;
    let output = scene.verify_with_state().await;
    assert_said(
        &output,
        SOUND,
        "512 entries were checked before, now read 89 entries",
    );
    let asked = scene.web.asked();
    assert!(!asked.iter().any(|path| path == "/tile/data/000"), "{asked:?}");
    assert!(
        asked.iter().any(|path| path == "/tile/data/002.p/89"),
        "{asked:?}"
    );
    let output = scene.verify_with_state().await;
    assert_said(&output, SOUND, "the log is sound");
}

/// C1: the same key, another tree. One part of the fork is before the tiles that are read again, one after.
#[tokio::test]
async fn fork_rollback_and_stale_checkpoint_are_told_apart() {
    let key = LogKey::generate().unwrap();
    let again = || LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
    let scene = Scene::with_key(5, again(), Pki::new()).await;
    let young = scene.log.checkpoint();
    submit(&scene, 100).await;
    published(&scene.log).await;
    assert_said(&scene.verify_with_state().await, SOUND, "the log is sound");
    let state = fs::read(scene.path("state.json")).unwrap();

    scene
        .web
        .fault("checkpoint", Fault::Body(young.as_bytes().to_vec()));
    assert_said(&scene.verify_with_state().await, UNCHECKED, "an old one");
    scene.web.mend();

    for (size, words) in [(6, "FORKED"), (9, "FORKED"), (260, "FORKED"), (4, "ROLLED BACK")] {
        let fork = Scene::with_key(size, again(), Pki::new()).await;
        fs::write(fork.path("state.json"), &state).unwrap();
        let output = fork.verify_with_state().await;
        assert_said(&output, UNSOUND, words);
        assert!(
            fs::read(fork.path("state.json")).unwrap() == state,
            "evidence is kept"
        );
    }
    assert_said(&scene.verify_with_state().await, SOUND, "the log is sound");

    let other = Scene::new(1).await;
    fs::write(other.path("state.json"), &state).unwrap();
    assert_said(&other.verify_with_state().await, UNCHECKED, "another log");
}

/// An audit that was killed goes on where it was.
#[tokio::test]
async fn killed_audit_goes_on() {
    let scene = Scene::new(600).await;
    scene.web.fault("tile/data/002.p/88", Fault::Hang);
    let state = scene.path("state.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
    command
        .args(["verify", &scene.web.url, "--key"])
        .arg(scene.path("log.der"));
    let audit = command.arg("--state").arg(&state).kill_on_drop(true).spawn();
    let mut audit = audit.unwrap();
    while !state.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    audit.kill().await.unwrap(); // SIGKILL
    scene.web.mend();
    let output = scene.verify_with_state().await;
    assert_said(&output, SOUND, "entries were checked before");
}
