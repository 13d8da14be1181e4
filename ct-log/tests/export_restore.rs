//! The commands `ct-log export` and `ct-log restore`: what they make is accepted by the audit, served by any web server, and
//! opened by the log.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use ct_log::{Log, LogKey, LogSettings, Submitter};
use support::web::{Fault, Web};
use support::{Pki, files, grow, origin, pending};
use tempfile::TempDir;
use tokio::process::Command;

const SOUND: i32 = 0;
const FAILED: i32 = 1;
const UNSOUND: i32 = 4;
const CONFIRM: &str = "--i-accept-that-later-scts-are-lost";

struct Scene {
    pki: Pki,
    log: Log,
    web: Web,
    folder: TempDir,
    key: LogKey,
}

fn again(key: &LogKey) -> LogKey {
    LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap()
}

impl Scene {
    async fn new(size: u64) -> Scene {
        Scene::with_key(size, LogKey::generate().unwrap()).await
    }

    async fn with_key(size: u64, key: LogKey) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log.der"), key.public().spki_der()).unwrap();
        write_private(&folder.path().join("key.pem"), &key);
        let (pki, log) = (Pki::new(), Log::in_memory(origin(), again(&key)).unwrap());
        let web = Web::serve(&log, &pki).await;
        let scene = Scene {
            pki,
            log,
            web,
            folder,
            key,
        };
        scene.grow(size).await;
        scene
    }

    async fn grow(&self, by: u64) {
        grow(&self.log, &self.pki, by).await;
        while self.log.published_size() < self.log.size() {
            tokio::task::yield_now().await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
        command.current_dir(self.folder.path()).args(arguments);
        command.kill_on_drop(true).output().await.unwrap()
    }

    async fn export(&self) -> Output {
        self.run(&["export", "--key", "log.der", "--to", "copy", &self.web.url])
            .await
    }

    async fn restore(&self, from: &str, more: &[&str]) -> Output {
        self.restore_of("key.pem", from, more).await
    }

    async fn restore_of(&self, key: &str, from: &str, more: &[&str]) -> Output {
        let fixed = ["restore", "--key", key, "--directory", "new", "--from", from];
        self.run(&[&fixed, more].concat()).await
    }

    fn settings(&self) -> LogSettings {
        LogSettings::new(self.path("new"), origin()).min_free_bytes(0)
    }
}

fn write_private(path: &Path, key: &LogKey) {
    use base64::Engine as _;
    use std::os::unix::fs::PermissionsExt as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(&*key.to_pkcs8_der().unwrap());
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    fs::write(path, pem).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn assert_said(output: &Output, code: i32, text: &str) {
    let both = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(both).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{said}");
}

/// A web server that knows nothing of logs.
async fn serve_files(directory: &Path) -> Web {
    let file = async |State(directory): State<PathBuf>, UrlPath(path): UrlPath<String>| {
        fs::read(directory.join(path)).map_err(|_| StatusCode::NOT_FOUND)
    };
    let router = Router::new()
        .route("/{*path}", get(file))
        .with_state(directory.to_owned());
    Web::serve_router(router).await
}

/// C6, C7, C9: everything that the checkpoint needs is there, as files.
#[tokio::test]
async fn export_is_a_log_that_any_web_server_can_serve() {
    let scene = Scene::new(300).await;
    assert_said(&scene.export().await, SOUND, "complete and sound");
    for path in [
        "checkpoint",
        "log.v3.json",
        "tile/0/000",
        "tile/data/000",
        "tile/0/001.p/44",
        "tile/data/001.p/44",
        "tile/1/000.p/1",
    ] {
        let served = reqwest::get(format!("{}/{path}", scene.web.url)).await.unwrap();
        let served = served.bytes().await.unwrap();
        assert_eq!(fs::read(scene.path("copy").join(path)).unwrap(), served, "{path}");
    }
    assert_said(
        &scene.run(&["verify", "--key", "log.der", "copy"]).await,
        SOUND,
        "the log is sound",
    );
    let mirror = serve_files(&scene.path("copy")).await;
    assert_said(
        &scene.run(&["verify", "--key", "log.der", &mirror.url]).await,
        SOUND,
        "the log is sound",
    );

    // Brought up to date: only what is new is read, and nothing that was there changes.
    let before: Vec<_> = files(&scene.path("copy/tile"))
        .into_iter()
        .map(|file| (fs::read(&file).unwrap(), file))
        .collect();
    scene.grow(1).await;
    scene.web.asked();
    assert_said(&scene.export().await, SOUND, "complete and sound");
    let asked = scene.web.asked();
    assert!(!asked.iter().any(|path| path == "/tile/data/000"), "{asked:?}");
    for (bytes, file) in before {
        assert_eq!(fs::read(file).unwrap(), bytes);
    }
    let report = scene.run(&["verify", "--key", "log.der", "copy"]).await;
    assert_said(&report, SOUND, "read 301 entries");
}

/// C7: a source that is damaged or another changes nothing of what the copy publishes.
#[tokio::test]
async fn unsound_source_and_fork_do_not_get_into_a_copy() {
    let scene = Scene::new(300).await;
    scene.web.fault("tile/data/001.p/44", Fault::Body(vec![0; 50]));
    assert_said(&scene.export().await, UNSOUND, "not sound");
    assert!(!scene.path("copy/checkpoint").exists());
    scene.web.mend();
    assert_said(&scene.export().await, SOUND, "complete and sound");
    let kept = fs::read(scene.path("copy/checkpoint")).unwrap();

    let fork = Scene::with_key(310, again(&scene.key)).await;
    let into = scene.path("copy");
    let output = fork
        .run(&[
            "export",
            "--key",
            "log.der",
            "--to",
            into.to_str().unwrap(),
            &fork.web.url,
        ])
        .await;
    assert_said(&output, UNSOUND, "FORKED");
    assert_eq!(fs::read(scene.path("copy/checkpoint")).unwrap(), kept);
    assert_said(
        &scene.run(&["verify", "--key", "log.der", "copy"]).await,
        SOUND,
        "the log is sound",
    );

    fs::write(scene.path("copy/tile/0/000"), [0; 8192]).unwrap();
    scene.grow(1).await;
    assert_said(&scene.export().await, UNSOUND, "tile/0/000");
    assert_eq!(fs::read(scene.path("copy/checkpoint")).unwrap(), kept);
}

/// Killed on the way, it goes on with what is there.
#[tokio::test]
async fn killed_export_goes_on() {
    let scene = Scene::new(600).await;
    scene.web.fault("tile/data/002.p/88", Fault::Hang);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
    command.current_dir(scene.folder.path());
    command.args(["export", "--key", "log.der", "--to", "copy", &scene.web.url]);
    let mut export = command.kill_on_drop(true).spawn().unwrap();
    while !scene.path("copy/tile/data/001").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    export.kill().await.unwrap(); // SIGKILL
    assert!(!scene.path("copy/checkpoint").exists());
    scene.web.mend();
    scene.web.asked();
    assert_said(&scene.export().await, SOUND, "read 600 entries");
    let asked = scene.web.asked();
    assert!(!asked.iter().any(|path| path == "/tile/data/000"), "{asked:?}");
}

/// C1, C10: the log goes on after the last entry that was published, under the same key, of which restoring needs the public half.
#[tokio::test]
async fn restored_log_goes_on_where_it_was() {
    for (size, key) in [(0, "key.pem"), (3, "log.der"), (256, "log.der"), (300, "key.pem")] {
        let scene = Scene::new(size).await;
        let before = scene.log.checkpoint();
        assert_said(
            &scene.restore_of(key, &scene.web.url, &[CONFIRM]).await,
            SOUND,
            "restored",
        );
        assert_said(
            &scene.run(&["verify", "--key", "log.der", "new"]).await,
            SOUND,
            "the log is sound",
        );
        let log = Log::open(scene.settings(), again(&scene.key)).unwrap();
        assert_eq!(log.size(), size);
        let sct = log
            .submit(pending(&log, &scene.pki, 9999), Submitter::Internal)
            .await
            .unwrap();
        assert_eq!(sct.leaf_index().get(), size);
        log.shutdown().await;
        // The new tree begins with the old one: an auditor that saw the old one agrees.
        fs::write(scene.path("before.note"), before.as_bytes()).unwrap();
        let state = ["verify", "--key", "log.der", "--state", "state.json"];
        assert_said(
            &scene.run(&[&state[..], &[&scene.web.url]].concat()).await,
            SOUND,
            "sound",
        );
        assert_said(&scene.run(&[&state[..], &["new"]].concat()).await, SOUND, "sound");
    }
}

/// C15: a source that is behind any other memory of the log would be a fork.
#[tokio::test]
async fn restore_refuses_a_source_that_is_behind_or_another() {
    let scene = Scene::new(5).await;
    assert_said(&scene.export().await, SOUND, "complete");
    scene.grow(1).await;
    fs::write(scene.path("newest.note"), scene.log.checkpoint().as_bytes()).unwrap();
    assert_said(
        &scene.restore("copy", &[CONFIRM, "--at-least", "6"]).await,
        FAILED,
        "has 5 entries",
    );
    assert_said(
        &scene
            .restore("copy", &[CONFIRM, "--checkpoint", "newest.note"])
            .await,
        FAILED,
        "is a checkpoint of 6",
    );
    assert_said(&scene.restore("copy", &[]).await, 2, CONFIRM);
    assert!(!scene.path("new").exists(), "nothing was made");

    let fork = Scene::with_key(9, again(&scene.key)).await;
    let output = scene
        .restore(&fork.web.url, &[CONFIRM, "--checkpoint", "newest.note"])
        .await;
    assert_said(&output, UNSOUND, "FORKED");
    let stranger = Scene::new(9).await;
    assert_said(
        &scene.restore(&stranger.web.url, &[CONFIRM]).await,
        UNSOUND,
        "not signed",
    );
    assert!(!scene.path("new").exists(), "nothing was made");

    let checkpoint = ["--checkpoint", "newest.note", "--at-least", "6", CONFIRM];
    assert_said(
        &scene.restore(&scene.web.url, &checkpoint).await,
        SOUND,
        "restored",
    );
    assert_said(
        &scene.restore(&scene.web.url, &checkpoint).await,
        FAILED,
        "not empty",
    );
}

/// What was damaged on the way is not taken for the log; the restore goes on when it is mended.
#[tokio::test]
async fn interrupted_restore_is_no_log_and_goes_on() {
    let scene = Scene::new(300).await;
    scene.web.fault("tile/data/001.p/44", Fault::Status(403));
    assert_said(
        &scene.restore(&scene.web.url, &[CONFIRM]).await,
        FAILED,
        "tile/data/001.p/44",
    );
    assert!(scene.path("new/tile/data/000").exists() && !scene.path("new/log.json").exists());
    assert!(Log::open(scene.settings(), again(&scene.key)).is_err());
    scene.web.mend();
    assert_said(
        &scene.restore(&scene.web.url, &[CONFIRM]).await,
        SOUND,
        "restored",
    );
    let log = Log::open(scene.settings(), again(&scene.key)).unwrap();
    assert_eq!(log.size(), 300);
    log.shutdown().await;
}
