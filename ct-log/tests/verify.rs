//! The command `ct-log verify`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::{Log, LogKey, LogPublicKey, LogSettings};
use support::{Pki, files, finished_directory, grow, origin};

fn verify(arguments: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
    command.arg("verify").args(arguments).output().unwrap()
}

fn pem(key: &LogPublicKey) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        wrapped(&STANDARD.encode(key.spki_der()))
    )
}

fn wrapped(base64: &str) -> String {
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    lines.join("\n")
}

#[tokio::test]
async fn command_exits_with_zero_only_for_a_sound_log_of_that_key() {
    let (directory, key) = finished_directory(2).await;
    let keys = tempfile::tempdir().unwrap();
    let [pem_file, der_file, other] = ["log.pem", "log.der", "other.der"].map(|name| keys.path().join(name));
    fs::write(&pem_file, pem(&key)).unwrap();
    fs::write(&der_file, key.spki_der()).unwrap();
    fs::write(&other, LogKey::generate().unwrap().public().spki_der()).unwrap();
    let (log, option) = (directory.path(), Path::new("--key"));
    for arguments in [
        vec![log],
        vec![option, &pem_file, log],
        vec![option, &der_file, log],
    ] {
        let output = verify(&arguments);
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains("read 2 entries") && said.contains("the log is sound"),
            "{said}"
        );
    }
    let nothing = keys.path().join("nothing");
    for (code, arguments) in [
        (4, vec![option, &other, log]),
        (1, vec![&nothing]),
        (1, vec![option, &nothing, log]),
    ] {
        assert_eq!(verify(&arguments).status.code(), Some(code));
    }
    assert_eq!(verify(&[]).status.code(), Some(2));
    let issuer = files(&log.join("issuer")).remove(0);
    fs::remove_file(issuer).unwrap();
    let output = verify(&[log]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stdout).unwrap().contains("is missing"));
}

/// A trusted root of Sigstore's clients with these logs.
fn trusted_root(logs: &[(&str, &LogPublicKey)]) -> String {
    let entries: Vec<String> = logs
        .iter()
        .map(|(url, key)| {
            let key = STANDARD.encode(key.spki_der());
            format!(r#"{{"baseUrl": "{url}", "publicKey": {{"rawBytes": "{key}"}}}}"#)
        })
        .collect();
    format!(r#"{{"tlogs": [], "ctlogs": [{}]}}"#, entries.join(", "))
}

#[tokio::test]
async fn the_key_can_come_from_a_trusted_root() {
    let (directory, key) = finished_directory(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trusted_root.json");
    let [one, two] = [(); 2].map(|()| LogKey::generate().unwrap().public().clone());
    let (log, option) = (directory.path(), Path::new("--trusted-root"));
    let here = log.to_str().unwrap();
    for (root, code, says) in [
        (
            trusted_root(&[("https://a.example", &key)]),
            0,
            "the log is sound",
        ),
        (
            trusted_root(&[("https://a.example", &one), ("https://b.example", &key)]),
            0,
            "the log is sound",
        ),
        (trusted_root(&[("https://a.example", &one)]), 4, "NOT sound"),
        (
            trusted_root(&[("https://a.example", &one), ("https://b.example", &two)]),
            4,
            "signed the checkpoint of",
        ),
        // The file says which key a log in this place has.
        (
            trusted_root(&[(here, &one), ("https://b.example", &key)]),
            4,
            "NOT sound",
        ),
        (trusted_root(&[]), 1, "names no certificate log"),
        ("{}".to_owned(), 1, "names no certificate log"),
        ("-----BEGIN".to_owned(), 1, "is not a trusted root"),
    ] {
        fs::write(&file, root).unwrap();
        let output = verify(&[option, &file, log]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        assert!(!said.contains("own word"), "{said}");
    }
    fs::write(&file, trusted_root(&[("https://a.example", &key)])).unwrap();
    let both = verify(&[option, &file, Path::new("--key"), &file, log]);
    assert_eq!(both.status.code(), Some(2), "one source of the key");
}

#[test]
fn nothing_is_advised_about_keys_where_there_is_no_log() {
    let output = verify(&[Path::new("/nonexistent")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said, "error: there is no log in /nonexistent\n");
}

#[test]
fn examples_call_the_program_by_its_name() {
    for command in ["verify", "monitor", "export", "restore", "serve"] {
        let output = Command::new(env!("CARGO_BIN_EXE_ct-log"))
            .args([command, "--help"])
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains(&format!("\n  ct-log {command} ")), "{help}");
        assert!(!help.contains('{'), "{help}");
    }
}

#[tokio::test]
async fn running_log_can_be_verified() {
    let directory = tempfile::tempdir().unwrap();
    let settings = LogSettings::new(directory.path(), origin());
    let log = Log::create(settings, LogKey::generate().unwrap()).unwrap();
    grow(&log, &Pki::new(), 3).await;
    assert_eq!(verify(&[directory.path()]).status.code(), Some(0));
    assert!(log.health().is_ok());
}

/// `head` reads what it wants and goes: no message, and the verdict is the exit code all the same.
#[tokio::test]
async fn verdict_is_the_exit_code_also_if_nobody_reads_the_report() {
    let (directory, _) = finished_directory(2).await;
    let other = directory.path().with_extension("der");
    fs::write(&other, LogKey::generate().unwrap().public().spki_der()).unwrap();
    for (code, key) in [(0, None), (4, Some(&other))] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct-log"));
        command.arg("verify");
        if let Some(key) = key {
            command.arg("--key").arg(key);
        }
        command.arg(directory.path());
        let child = command
            .stdout(std::io::pipe().unwrap().1)
            .stderr(std::process::Stdio::piped())
            .spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            !said.contains("panicked") && !said.contains("Broken pipe"),
            "{said}"
        );
    }
    fs::remove_file(other).unwrap();
}
