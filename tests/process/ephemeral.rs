//! `mayfly dev --ephemeral` keeps its promise, and what it leaves when it is killed is worth nothing.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use crate::program::{Program, mayfly};

/// Starts with a folder for temporary files of its own.
fn start(temporary: &TempDir) -> Program {
    let arguments = ["dev", "--ephemeral", "--json", "--port=0"];
    let dev = Program::spawn(mayfly().args(arguments).env("TMPDIR", temporary.path()));
    dev.ready();
    dev
}

#[test]
fn an_orderly_end_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut dev = start(&temporary);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 1);
    dev.stop();
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

/// The development identity provider's key is there for tools that make tokens. Nobody trusts it once its process is gone.
#[test]
fn a_kill_leaves_no_key_of_the_ca_or_the_log() {
    let temporary = tempfile::tempdir().unwrap();
    start(&temporary).kill();
    let left = fs::read_dir(&temporary).unwrap().next().unwrap().unwrap();
    assert_eq!(left.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(keys_below(&left.path()), ["oidc-key.pem"]);
}

/// Names of the files in which a private key stands.
fn keys_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(keys_below(&entry.path()));
        } else if fs::read_to_string(entry.path()).unwrap().contains("PRIVATE KEY") {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}
