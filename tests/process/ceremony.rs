//! `mayfly init`: what it makes starts and issues; what it refuses; what is left of it when it is interrupted.

mod existing;
mod next;
mod request;
pub(crate) mod terminal;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use mayfly::clock::{Clock, SystemClock};
use rcgen::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::Client,
    fake_issuer::{FakeIssuer, SigningKey},
    program::{HANG, Program, mayfly},
};

const EMAIL: &str = "alice@example.com";

/// A folder in which `mayfly init` is called, and an identity provider.
struct Ceremony {
    folder: TempDir,
    issuer: FakeIssuer,
    issuer_key: SigningKey,
}

impl Ceremony {
    async fn new() -> Self {
        let issuer_key = SigningKey::generate("ES256", "key-1");
        let ceremony = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer: FakeIssuer::start(&[&issuer_key]).await,
            issuer_key,
        };
        for (name, text) in [("root-secret", "root horse\n"), ("ca-secret", "ca horse\n")] {
            ceremony.secret(name, text);
        }
        ceremony
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn key(&self, name: &str, algorithm: &'static rcgen::SignatureAlgorithm) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        self.secret(name, &key.serialize_pem());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.ends_with("-secret")).collect();
        names.sort();
        names
    }

    /// Without a terminal, and with what every ceremony here has in common.
    fn command(&self, arguments: &str) -> Command {
        let mut command = mayfly();
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.arg("init").args(arguments.split_whitespace());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn make(&self, arguments: &str) -> Value {
        let issuer = self.issuer.url();
        let common =
            "--json --host ca.example.com --organization Acme --listen 127.0.0.1:0 --client-id sigstore";
        let output = self.run(&format!(
            "{arguments} {common} --private-issuer --issuer {issuer}"
        ));
        made(&output)
    }

    /// A folder of the server starts and issues; the environment is cleared of what is not named.
    async fn assert_serves(&self, server: &Path, environment: &[(&str, &str)]) {
        let settings = server.join("mayfly.yaml");
        let text = fs::read_to_string(&settings).unwrap();
        fs::write(
            &settings,
            text.replace("metrics-listen: 127.0.0.1:2112", "metrics-listen: off"),
        )
        .unwrap();
        let mut command = mayfly();
        command.envs(environment.iter().copied());
        let mut program = Program::spawn(command.arg("serve").arg("--config").arg(&settings));
        let client = Client::new(&format!("http://{}", program.serving()));
        let now = SystemClock.now().unix_seconds();
        let token = self.issuer_key.token(&json!({
            "iss": self.issuer.url(), "aud": "sigstore", "sub": "alice", "iat": now, "exp": now + 600,
            "email": EMAIL, "email_verified": true,
        }));
        client.request(&token, EMAIL).await.unwrap().issued();
        let expected = match server.join("timestamp.pem").exists() {
            true => 200,
            false => 404,
        };
        assert_eq!(client.timestamp().await.unwrap().0, expected);
        program.stop();
    }
}

fn made(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(output: &Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty());
    (
        output.status.code(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_makes_starts_as_it_is_without_the_root() {
    let ceremony = Ceremony::new().await;
    let summary = ceremony.make("ca --root-passphrase file:root-secret --ca-passphrase file:ca-secret");
    let made = ceremony.path("ca");
    for folder in ["", "root", "server"] {
        assert_eq!(mode(&made.join(folder)), 0o700, "{folder}");
    }
    for key in [
        "root/root-key.pem",
        "server/ca-key.pem",
        "server/log-key.pem",
        "server/timestamp-key.pem",
    ] {
        assert_eq!(mode(&made.join(key)), 0o600, "{key}");
        let text = fs::read_to_string(made.join(key)).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
    }
    assert_eq!(ceremony.names(), ["ca"], "nothing beside it");
    for (of, sha256) in [
        ("root", &summary["root"]["sha256"]),
        ("intermediate", &summary["intermediate"]["sha256"]),
    ] {
        assert_eq!(sha256.as_str().unwrap().len(), 64, "{of}");
    }
    assert!(
        summary["next"][0].as_str().unwrap().starts_with("Move "),
        "{summary}"
    );
    assert_eq!(summary["log"]["origin"], "ca.example.com/log");

    fs::rename(made.join("root"), ceremony.path("offline")).unwrap();
    let server = ceremony.path("elsewhere");
    fs::rename(made.join("server"), &server).unwrap();
    let mut copy = Command::new("cp");
    let copied = copy.arg("-a").arg(server.join("log")).arg(server.join("old"));
    assert!(copied.status().unwrap().success());
    ceremony.assert_serves(&server, &[]).await;

    // C15: an older copy of the log is refused, by what is beside it and without a word about that in the configuration.
    fs::rename(server.join("log"), server.join("newest")).unwrap();
    fs::rename(server.join("old"), server.join("log")).unwrap();
    for (removed, refused) in [
        ("none", "log.mark"),
        ("log.mark", "SCT was given out for entry 0"),
    ] {
        if removed == "log.mark" {
            fs::write(server.join(removed), "").unwrap();
        }
        let mut command = mayfly();
        let serve = command
            .arg("serve")
            .arg("--config")
            .arg(server.join("mayfly.yaml"));
        let mut program = Program::spawn(serve);
        assert_eq!(program.exit().code(), Some(1));
        let said = program.stderr();
        assert!(said.contains(refused) && said.contains("older copy"), "{said}");
    }
    fs::remove_dir_all(server.join("log")).unwrap();
    fs::rename(server.join("newest"), server.join("log")).unwrap();
    ceremony.assert_serves(&server, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_key_and_every_place_of_a_passphrase() {
    let ceremony = Ceremony::new().await;
    for (kind, algorithm) in [("p256", "ECDSA P-256"), ("rsa4096", "RSA")] {
        let issuer = ceremony.issuer.url().to_owned();
        let arguments = format!(
            "{kind} --json --key-kind {kind} --host https://ca.example.com/ --organization Acme --listen 127.0.0.1:0 \
             --client-id sigstore --private-issuer --issuer {issuer} --root-passphrase file:root-secret \
             --ca-passphrase env:CA_SECRET --log-passphrase credential:log --root-years 3 --ca-years 5"
        );
        fs::create_dir_all(ceremony.path("credentials")).unwrap();
        fs::write(ceremony.path("credentials/log"), "log horse").unwrap();
        let credentials = ceremony.path("credentials");
        let environment = [
            ("CA_SECRET", "ca horse"),
            ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
        ];
        let summary = made(&ceremony.command(&arguments).envs(environment).output().unwrap());
        for of in ["root", "intermediate"] {
            assert_eq!(summary[of]["algorithm"], algorithm);
        }
        assert_eq!(summary["root"]["not_after"], summary["intermediate"]["not_after"]);
        ceremony
            .assert_serves(&ceremony.path(&format!("{kind}/server")), &environment)
            .await;
    }
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let ceremony = Ceremony::new().await;
    fs::create_dir(ceremony.path("ca")).unwrap();
    fs::write(ceremony.path("ca/thesis.txt"), "precious").unwrap();
    let arguments = "ca --yes --host ca.example.com --organization Acme --root-passphrase file:root-secret --no-passphrase";
    let (code, stderr) = refusal(&ceremony.run(arguments));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is not empty"), "{stderr}");
    assert_eq!(ceremony.names(), ["ca"]);
    assert_eq!(fs::read_dir(ceremony.path("ca")).unwrap().count(), 1);
    fs::remove_file(ceremony.path("ca/thesis.txt")).unwrap();
    assert_eq!(
        ceremony.run(arguments).status.code(),
        Some(0),
        "an empty folder will do"
    );
    let before = fs::read(ceremony.path("ca/server/ca-key.pem")).unwrap();
    assert_eq!(refusal(&ceremony.run(arguments)).0, Some(1));
    assert_eq!(fs::read(ceremony.path("ca/server/ca-key.pem")).unwrap(), before);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_exit_code_2_and_nothing_is_made() {
    let ceremony = Ceremony::new().await;
    let whole = "ca --yes --host ca.example.com --organization Acme --root-passphrase file:root-secret --no-passphrase";
    for (arguments, said) in [
        (
            "ca".to_owned(),
            "--host; --organization; --root-passphrase (or --root-key); --ca-passphrase",
        ),
        (
            whole.replace("--root-passphrase file:root-secret", ""),
            "--root-passphrase",
        ),
        (
            whole.replace("--no-passphrase", ""),
            "--ca-passphrase (or --ca-key, or --no-passphrase)",
        ),
        (
            whole.replace("file:root-secret", "swordfish"),
            "a passphrase is named by its place",
        ),
        (
            whole.replace("ca.example.com", "http://ca.example.com"),
            "is not the public name of a CA",
        ),
        (
            whole.replace("Acme", &"x".repeat(65)),
            "cannot stand in a certificate",
        ),
        (format!("{whole} --csr"), "cannot be used with"),
        (format!("{whole} --ca-passphrase env:X"), "cannot be used with"),
        (format!("{whole} --ca-key kms:x"), "is not a kind of key"),
        (format!("{whole} --root-years 0"), "--root-years"),
        (format!("{whole} --issuer ftp"), "--issuer is not a URL"),
        (format!("{whole} --issuer http://idp.example.com"), "issuers.yaml"),
        (
            format!("{whole} --ca-key hashivault://x --timestamp-key hashivault://x"),
            "the timestamp authority needs one of its own",
        ),
        (format!("{whole} --timestamp-key kms:x"), "is not a kind of key"),
        (
            format!("{whole} --log-key log-key.pem"),
            "a log's key in a file is made here",
        ),
        (
            format!("{whole} --log-key hashivault://log"),
            "never signed for a log",
        ),
    ] {
        let (code, stderr) = refusal(&ceremony.run(&arguments));
        assert_eq!(code, Some(2), "{arguments}: {stderr}");
        assert!(
            stderr.contains(said) && !stderr.contains("swordfish"),
            "{arguments}: {stderr}"
        );
        assert!(ceremony.names().is_empty(), "{arguments}");
    }
    let (code, stderr) = refusal(&ceremony.run(&whole.replace("root-secret", "none-secret")));
    assert!(
        code == Some(1) && stderr.contains("there is no passphrase for the root's key"),
        "{stderr}"
    );
    assert!(ceremony.names().is_empty());
}

/// RSA takes long enough to be interrupted.
#[tokio::test]
async fn interrupted_it_leaves_nothing_and_killed_nothing_that_looks_finished() {
    let ceremony = Ceremony::new().await;
    let arguments = "ca --yes --key-kind rsa4096 --host ca.example.com --organization Acme --no-passphrase \
                     --insecure-unencrypted-root-key";
    for (signal, left) in [(Signal::INT, 0), (Signal::KILL, 1)] {
        let mut child = ceremony
            .command(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while ceremony.names().is_empty() && started.elapsed() < HANG {
            thread::sleep(Duration::from_millis(2));
        }
        // Its handler of the signal is there by the time that it makes keys.
        thread::sleep(Duration::from_millis(20));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        let names = ceremony.names();
        assert_eq!(names.len(), left, "{names:?}");
        assert!(
            names.iter().all(|name| name.starts_with(".mayfly-init-")),
            "{names:?}"
        );
    }
    assert_eq!(
        ceremony.run(&arguments.replace("rsa4096", "p256")).status.code(),
        Some(0)
    );
}
