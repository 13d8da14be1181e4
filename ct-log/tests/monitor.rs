//! The command `ct-log monitor`: what it shows, what it never misses, and what it calls an alarm.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use ct_log::chain::{Endpoint, Policy};
use ct_log::{Entry, Log, LogKey, PendingEntry, Submitter};
use rcgen::{CustomExtension, SanType};
use serde_json::Value;
use support::web::{Fault, Web};
use support::{Pki, grow, origin, precertificate_params};
use tempfile::TempDir;
use tokio::process::Command;

/// A log that is served, and a folder for its key and the state of monitors.
struct Scene {
    pki: Pki,
    log: Log,
    web: Web,
    folder: TempDir,
}

impl Scene {
    async fn with_key(key: LogKey) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log.der"), key.public().spki_der()).unwrap();
        let (pki, log) = (Pki::new(), Log::in_memory(origin(), key).unwrap());
        let web = Web::serve(&log, &pki).await;
        Scene {
            pki,
            log,
            web,
            folder,
        }
    }

    async fn new() -> Scene {
        Scene::with_key(LogKey::generate().unwrap()).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn grow(&self, by: u64) {
        grow(&self.log, &self.pki, by).await;
        self.published().await;
    }

    /// Entries that are no certificates, which are shown to everybody.
    async fn grow_fast(&self, by: u32) {
        let issuers = self.log.store_issuers(&[b"issuer"]).unwrap();
        for first in (0..by).step_by(500) {
            let mut submissions = tokio::task::JoinSet::new();
            for number in first..(first + 500).min(by) {
                let entry = PendingEntry::certificate(number.to_be_bytes().to_vec(), issuers.clone());
                let log = self.log.clone();
                submissions.spawn(async move { log.submit(entry, Submitter::Internal).await.unwrap() });
            }
            submissions.join_all().await;
        }
        self.published().await;
    }

    async fn published(&self) {
        while self.log.published_size() < self.log.size() {
            tokio::task::yield_now().await;
        }
    }

    /// Logs a precertificate for that email address, and a token of that issuer.
    async fn issue(&self, email: &str, issuer: &str) {
        let mut params = precertificate_params(7);
        params.subject_alt_names = vec![SanType::Rfc822Name(email.try_into().unwrap())];
        let text = [&[12, u8::try_from(issuer.len()).unwrap()], issuer.as_bytes()].concat();
        let oid = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&oid, text));
        let policy = Policy::new([self.pki.root.der().as_slice()]).unwrap();
        let accepted = policy
            .accept(&self.pki.chain(&params), Endpoint::AddPreChain)
            .unwrap();
        let issuers: Vec<&[u8]> = accepted.issuers().iter().map(Vec::as_slice).collect();
        let issuers = self.log.store_issuers(&issuers).unwrap();
        let Entry::Precertificate {
            issuer_key_hash,
            tbs,
            precertificate,
        } = accepted.into_entry()
        else {
            unreachable!()
        };
        let entry = PendingEntry::precertificate(tbs, precertificate, issuer_key_hash, issuers);
        self.log.submit(entry, Submitter::Internal).await.unwrap();
        self.published().await;
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
        command
            .args(["monitor", &self.web.url, "--key"])
            .arg(self.path("log.der"));
        command
            .arg("--state")
            .arg(self.path("state.json"))
            .args(more)
            .kill_on_drop(true);
        command
    }

    async fn once(&self, more: &[&str]) -> (i32, Vec<Value>, String) {
        let output = self.command(more).arg("--once").output().await.unwrap();
        let Output {
            status,
            stdout,
            stderr,
        } = output;
        let lines = String::from_utf8(stdout).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (status.code().unwrap(), lines, String::from_utf8(stderr).unwrap())
    }

    /// The notes that were kept as evidence, as they are named.
    fn evidence(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name.contains(".alarm-"));
        names.sort();
        names
    }
}

#[tokio::test]
async fn certificates_that_name_somebody_are_shown_once() {
    let scene = Scene::new().await;
    scene.grow(300).await;
    scene.issue("me@example.com", "https://accounts.example").await;
    scene
        .issue("me@example.com.evil.example", "https://accounts.example")
        .await;
    scene.issue("me@example.com", "https://other.example").await;
    let mine = [
        "--identity",
        "me@example.com",
        "--issuer",
        "https://accounts.example",
    ];
    let (code, lines, said) = scene.once(&mine).await;
    assert_eq!((code, lines.len()), (0, 1), "{said}");
    assert_eq!(lines[0]["index"], 300);
    assert_eq!(lines[0]["identities"], serde_json::json!(["me@example.com"]));
    assert_eq!(lines[0]["issuer"], "https://accounts.example");
    assert_eq!(
        (&lines[0]["serial"], &lines[0]["type"]),
        (&"07".into(), &"precertificate".into())
    );
    assert_eq!(lines[0]["fingerprint"].as_str().unwrap().len(), 64);

    scene.web.asked();
    let (code, lines, _) = scene.once(&mine).await;
    assert_eq!((code, lines.len()), (0, 0));
    assert!(
        !scene.web.asked().iter().any(|path| path.contains("data")),
        "nothing is new"
    );

    scene.issue("me@example.com", "https://accounts.example").await;
    let (code, lines, _) = scene.once(&["--identity-regex", "me@example\\.com"]).await;
    assert_eq!((code, lines.len()), (0, 1), "a pattern matches whole names only");
}

#[tokio::test]
async fn what_is_no_certificate_is_shown_to_everybody() {
    let scene = Scene::new().await;
    let issuers = scene.log.store_issuers(&[b"issuer"]).unwrap();
    let entry = PendingEntry::certificate(b"garbage".to_vec(), issuers);
    scene.log.submit(entry, Submitter::Internal).await.unwrap();
    scene.published().await;
    let (code, lines, _) = scene.once(&["--identity", "me@example.com"]).await;
    assert_eq!((code, lines.len()), (0, 1));
    assert!(lines[0]["problem"].is_string());
}

/// At least once: the state moves on only after the webhook took it.
#[tokio::test]
async fn webhook_gets_everything_at_least_once() {
    let scene = Scene::new().await;
    scene.grow(3).await;
    let (got, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(500)));
    let hook = {
        let (got, answer) = (Arc::clone(&got), Arc::clone(&answer));
        post(async move |body: String| {
            got.lock().unwrap().push(body);
            StatusCode::from_u16(*answer.lock().unwrap()).unwrap()
        })
    };
    let hook = Web::serve_router(Router::new().route("/hook", hook)).await;
    let url = format!("{}/hook", hook.url);
    for _ in 0..2 {
        let (code, ..) = scene.once(&["--webhook", &url]).await;
        assert_eq!(code, 1);
    }
    *answer.lock().unwrap() = 204;
    assert_eq!(scene.once(&["--webhook", &url]).await.0, 0);
    assert_eq!(scene.once(&["--webhook", &url]).await.0, 0);
    let got = got.lock().unwrap().clone();
    assert_eq!(got.len(), 3, "three attempts, nothing afterwards");
    assert!(
        got.iter()
            .all(|body| body == &got[0] && body.lines().count() == 3)
    );
}

/// C1. What is served is signed by the log's key, and each by itself is in order.
#[tokio::test]
async fn fork_and_rollback_are_alarms_with_evidence() {
    let key = LogKey::generate().unwrap();
    let again = || LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
    let scene = Scene::with_key(again()).await;
    scene.grow(5).await;
    assert_eq!(scene.once(&[]).await.0, 0);
    let before = scene.log.checkpoint().to_string();
    let state = fs::read(scene.path("state.json")).unwrap();
    for size in [5, 4, 9, 300] {
        let fork = Scene::with_key(again()).await;
        fork.grow(size).await;
        fs::write(fork.path("state.json"), &state).unwrap();
        let (code, lines, said) = fork.once(&[]).await;
        assert_eq!(code, 4, "{size}: {said}");
        assert!(lines[0]["alarm"].is_string(), "{lines:?}");
        let evidence = fork.evidence();
        assert_eq!(evidence.len(), 2, "{evidence:?}");
        let kept = evidence.map_notes(&fork);
        assert_eq!(
            kept[0].lines().nth(1),
            before.lines().nth(1),
            "the checkpoint before"
        );
        assert_eq!(
            kept[1],
            fork.log.checkpoint().to_string(),
            "the one that contradicts it"
        );
        assert_eq!(
            fs::read(fork.path("state.json")).unwrap(),
            state,
            "nothing was forgotten"
        );
        // And again: the alarm does not go away by itself.
        assert_eq!(fork.once(&[]).await.0, 4);
    }
}

trait Notes {
    fn map_notes(&self, scene: &Scene) -> Vec<String>;
}

impl Notes for Vec<String> {
    fn map_notes(&self, scene: &Scene) -> Vec<String> {
        self.iter()
            .map(|name| fs::read_to_string(scene.path(name)).unwrap())
            .collect()
    }
}

/// An old checkpoint that a cache kept contradicts nothing.
#[tokio::test]
async fn stale_checkpoint_is_a_warning() {
    let scene = Scene::new().await;
    scene.grow(2).await;
    let old = scene.log.checkpoint();
    scene.grow(2).await;
    assert_eq!(scene.once(&[]).await.0, 0);
    scene
        .web
        .fault("checkpoint", Fault::Body(old.as_bytes().to_vec()));
    let (code, lines, said) = scene.once(&[]).await;
    assert_eq!((code, lines.len()), (0, 0), "{said}");
    assert!(said.contains("old one"), "{said}");
    assert!(scene.evidence().is_empty());
}

/// Killed at any time, it shows again what it may not have shown, and misses nothing.
#[tokio::test]
async fn killed_monitor_misses_nothing() {
    let scene = Scene::new().await;
    scene.grow_fast(5000).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut monitor = scene
            .command(&[])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = tokio::io::BufReader::new(monitor.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..100 {
            line.clear();
            tokio::io::AsyncBufReadExt::read_line(&mut output, &mut line)
                .await
                .unwrap();
            if let Ok(value) = serde_json::from_str::<Value>(&line) {
                seen.insert(value["index"].as_u64().unwrap());
            }
            if seen.len() > 4000 {
                break;
            }
        }
        monitor.kill().await.unwrap(); // SIGKILL
        // What was in the pipe was delivered.
        let mut rest = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut output, &mut rest)
            .await
            .unwrap();
        for line in rest.lines() {
            if let Ok(value) = serde_json::from_str::<Value>(line) {
                seen.insert(value["index"].as_u64().unwrap());
            }
        }
    }
    let (code, lines, _) = scene.once(&[]).await;
    assert_eq!(code, 0);
    seen.extend(lines.iter().map(|line| line["index"].as_u64().unwrap()));
    assert_eq!(seen, (0..5000).collect());
}

/// Whoever reads its warnings goes away: it follows the log as before.
#[tokio::test]
async fn monitor_goes_on_when_nobody_reads_its_warnings() {
    let scene = Scene::new().await;
    scene.grow_fast(1).await;
    let mut monitor = scene.command(&["--interval", "1"]);
    monitor
        .stdout(std::process::Stdio::piped())
        .stderr(std::io::pipe().unwrap().1);
    let mut monitor = monitor.spawn().unwrap();
    let output = tokio::io::BufReader::new(monitor.stdout.take().unwrap());
    let mut lines = tokio::io::AsyncBufReadExt::lines(output);
    assert!(lines.next_line().await.unwrap().unwrap().contains("\"index\":0"));

    scene.web.fault("checkpoint", Fault::Status(404));
    scene.web.asked();
    let mut looks = 0;
    while looks < 2 && monitor.try_wait().unwrap().is_none() {
        let asked = scene.web.asked();
        looks += asked.iter().filter(|path| *path == "/checkpoint").count();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    scene.web.mend();
    scene.grow_fast(2).await;
    let line = lines.next_line().await.unwrap();
    assert!(
        line.is_some_and(|line| line.contains("\"index\":1")),
        "it has ended"
    );
    monitor.kill().await.unwrap();
}

/// Its own word for its key would hide that a log was replaced.
#[tokio::test]
async fn a_log_is_followed_only_with_a_key_from_elsewhere() {
    let scene = Scene::new().await;
    scene.grow(1).await;
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
        command
            .arg("monitor")
            .args(arguments)
            .current_dir(scene.folder.path());
        let output = command.output().await.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said)
    };
    let state = ["--once", "--state", "state.json", scene.web.url.as_str()];
    let (code, said) = run(&state).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("<--key <FILE>|--trusted-root <FILE>>"), "{said}");
    let (_, help) = run(&["--help"]).await;
    assert!(!help.contains("[default: what the log says"), "{help}");

    let key = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        scene.log.public_key().spki_der(),
    );
    let root = serde_json::json!({"ctlogs": [{"baseUrl": scene.web.url, "publicKey": {"rawBytes": key}}]});
    fs::write(scene.path("trusted_root.json"), root.to_string()).unwrap();
    let (code, said) = run(&[&["--trusted-root", "trusted_root.json"][..], &state].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
