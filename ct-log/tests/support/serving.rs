//! The command `ct-log serve` as a process, and a CA that it accepts.

#![allow(dead_code, reason = "each test program uses its part")]

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Pki, precertificate_params};

pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) pki: Pki,
    /// Of the log.
    pub(crate) directory: PathBuf,
    /// In MiB.
    pub(crate) min_free: u64,
}

pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    pub(crate) url: String,
}

pub(crate) fn pem(der: &[u8]) -> String {
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

/// Of a precertificate, to the server at that URL.
pub(crate) async fn add_chain(url: &str, chain: &[Vec<u8>]) -> reqwest::Response {
    let chain: Vec<_> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    let url = format!("{url}/2027/ct/v1/add-pre-chain");
    let body = json!({ "chain": chain }).to_string();
    reqwest::Client::new().post(url).body(body).send().await.unwrap()
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let scene = Scene {
            directory: folder.path().join("log"),
            folder,
            pki: Pki::new(),
            min_free: 1,
        };
        fs::write(scene.path("roots.pem"), pem(&scene.pki.root.der())).unwrap();
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
        command.args([
            "serve",
            "--origin",
            "log.example/2027",
            "--listen",
            "127.0.0.1:0",
            "--rate",
            "1000000",
        ]);
        command.arg("--min-free").arg(self.min_free.to_string());
        command.arg("--directory").arg(&self.directory);
        for (option, name) in [("--key", "key.pem"), ("--accept", "roots.pem")] {
            command.arg(option).arg(self.path(name));
        }
        command.kill_on_drop(true).stderr(Stdio::piped());
        command
    }

    /// The same, in a process that takes those permissions away from what it makes.
    pub(crate) fn command_with_umask(&self, umask: &str) -> Command {
        let command = self.command();
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"umask "$0" && exec "$@""#, umask]);
        shell.arg(command.as_std().get_program());
        shell.args(command.as_std().get_args());
        shell.kill_on_drop(true).stderr(Stdio::piped());
        shell
    }

    pub(crate) async fn start(&self) -> Server {
        self.start_as(self.command()).await
    }

    pub(crate) async fn start_as(&self, mut command: Command) -> Server {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
        let url = format!("http://{address}");
        Server { child, lines, url }
    }

    pub(crate) async fn refused(&self) -> String {
        let output = self.command().output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Server {
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) async fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().await.unwrap().code()
    }

    /// Gone on return, its locks too.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn add(&self, pki: &Pki, serial: u64) -> reqwest::Response {
        self.add_chain(&pki.chain(&precertificate_params(serial))).await
    }

    /// Of a precertificate.
    pub(crate) async fn add_chain(&self, chain: &[Vec<u8>]) -> reqwest::Response {
        add_chain(&self.url, chain).await
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}/2027/{path}", self.url)).await.unwrap()
    }
}
