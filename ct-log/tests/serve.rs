//! The command `ct-log serve`: birth, service, reload, stop.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Pki, precertificate_params};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

struct Scene {
    folder: TempDir,
    pki: Pki,
}

struct Server {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    url: String,
}

fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene {
            folder: tempfile::tempdir().unwrap(),
            pki: Pki::new(),
        };
        fs::write(scene.path("roots.pem"), pem(&scene.pki.root.der())).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
        command.args([
            "serve",
            "--origin",
            "log.example/2027",
            "--listen",
            "127.0.0.1:0",
            "--min-free",
            "1",
        ]);
        for (option, name) in [
            ("--directory", "log"),
            ("--key", "key.pem"),
            ("--accept", "roots.pem"),
        ] {
            command.arg(option).arg(self.path(name));
        }
        command.kill_on_drop(true).stderr(Stdio::piped());
        command
    }

    async fn start(&self) -> Server {
        let mut child = self.command().spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
        let url = format!("http://{address}");
        Server { child, lines, url }
    }

    async fn refused(&self) -> String {
        let output = self.command().output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Server {
    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    async fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().await.unwrap().code()
    }

    async fn add(&self, pki: &Pki, serial: u64) -> reqwest::Response {
        let chain = pki.chain(&precertificate_params(serial));
        let chain: Vec<_> = chain.iter().map(|der| STANDARD.encode(der)).collect();
        let url = format!("{}/2027/ct/v1/add-pre-chain", self.url);
        let body = json!({ "chain": chain }).to_string();
        reqwest::Client::new().post(url).body(body).send().await.unwrap()
    }
}

fn size_of(directory: &Path) -> String {
    fs::read_to_string(directory.join("checkpoint"))
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned()
}

/// C2, C10: what got an SCT is there after the end and after the next start.
#[tokio::test]
async fn log_is_born_serves_stops_and_goes_on() {
    let scene = Scene::new();
    let server = scene.start().await;
    let mode = fs::metadata(scene.path("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let health = reqwest::get(format!("{}/health", server.url)).await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let answer = server.add(&scene.pki, 1).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let sct: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(sct["extensions"], STANDARD.encode([0, 0, 5, 0, 0, 0, 0, 0]));
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(size_of(&scene.path("log")), "1");

    let server = scene.start().await;
    assert_eq!(server.add(&scene.pki, 2).await.status(), StatusCode::OK);
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(size_of(&scene.path("log")), "2");
}

/// A new log under an old key would be a fork; an old log under a new key is nobody's.
#[tokio::test]
async fn key_and_directory_are_made_together_or_not_at_all() {
    let scene = Scene::new();
    assert_eq!(scene.start().await.stop().await, Some(0));
    fs::rename(scene.path("log"), scene.path("lost")).unwrap();
    let said = scene.refused().await;
    assert!(said.contains("ct-log restore"), "{said}");
    fs::rename(scene.path("lost"), scene.path("log")).unwrap();
    fs::rename(scene.path("key.pem"), scene.path("lost.pem")).unwrap();
    let said = scene.refused().await;
    assert!(said.contains("restore the key"), "{said}");
    assert!(!scene.path("key.pem").exists());
    fs::copy(scene.path("lost.pem"), scene.path("key.pem")).unwrap();
    fs::set_permissions(scene.path("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = scene.refused().await;
    assert!(said.contains("mode 644"), "{said}");
    fs::write(scene.path("key.pem"), "nonsense").unwrap();
    fs::set_permissions(scene.path("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = scene.refused().await;
    assert!(
        said.contains("PRIVATE KEY") && !said.contains("nonsense"),
        "{said}"
    );
}

#[tokio::test]
async fn accepted_roots_are_read_again_on_sighup() {
    let scene = Scene::new();
    let mut server = scene.start().await;
    let other = Pki::new();
    assert_eq!(server.add(&other, 1).await.status(), StatusCode::BAD_REQUEST);

    fs::write(scene.path("roots.pem"), "nonsense").unwrap();
    server.signal("-HUP");
    let line = server.lines.next_line().await.unwrap().unwrap();
    assert!(line.contains("ERROR") && line.contains("stay in force"), "{line}");
    assert_eq!(server.add(&scene.pki, 2).await.status(), StatusCode::OK);

    fs::write(scene.path("roots.pem"), pem(&other.root.der())).unwrap();
    server.signal("-HUP");
    let line = server.lines.next_line().await.unwrap().unwrap();
    assert!(line.contains("read again"), "{line}");
    assert_eq!(server.add(&other, 3).await.status(), StatusCode::OK);
    assert_eq!(server.add(&scene.pki, 4).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.stop().await, Some(0));
}

/// Checkpoints cannot be written any more: nothing may be promised, and a supervisor must notice.
#[tokio::test]
async fn failed_write_ends_the_server_with_a_code_of_its_own() {
    let scene = Scene::new();
    let mut server = scene.start().await;
    fs::remove_dir_all(scene.path("log/tmp")).unwrap();
    // The next checkpoint is due within ten seconds.
    assert_eq!(server.child.wait().await.unwrap().code(), Some(3));
}
