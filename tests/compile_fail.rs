//! Misuse that must not compile: the steps of an issuance cannot be skipped, repeated or forged.
//!
//! Each program under `tests/compile_fail` is given to `rustc` with the library that this test was built
//! with, so that a run costs seconds; the straight path must compile, which proves the harness.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn the_straight_path_compiles() {
    assert_eq!(errors("straight_path"), Vec::<String>::new());
}

#[test]
fn a_certificate_cannot_be_signed_unlogged() {
    assert_eq!(errors("unlogged_certificate"), ["error[E0308]: mismatched types"]);
}

#[test]
fn one_precertificate_cannot_lead_to_two_certificates() {
    assert_eq!(
        errors("two_certificates_from_one_precertificate"),
        ["error[E0382]: use of moved value: `logged`"]
    );
}

#[test]
fn a_verified_token_cannot_be_forged() {
    let expected = "error[E0451]: fields `issuer`, `iss`, `subject`, `claims`, `expires` and `hash` of struct `VerifiedToken` are private";
    assert_eq!(errors("forged_token"), [expected]);
}

#[test]
fn admission_cannot_be_skipped() {
    assert_eq!(errors("skipped_admission"), ["error[E0308]: mismatched types"]);
}

#[test]
fn the_proof_of_possession_cannot_be_skipped() {
    assert_eq!(errors("skipped_proof"), ["error[E0308]: mismatched types"]);
}

#[test]
fn an_issued_certificate_cannot_be_forged() {
    let expected =
        "error[E0451]: fields `der`, `logged` and `chain` of struct `IssuedCertificate` are private";
    assert_eq!(errors("forged_certificate"), [expected]);
}

/// The first line of each error that `rustc` finds in `tests/compile_fail/{program}.rs`.
fn errors(program: &str) -> Vec<String> {
    let built = env::current_exe().unwrap().parent().unwrap().to_owned();
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let output = Command::new(rustc)
        .args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "--out-dir",
        ])
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .arg("-Ldependency=".to_owned() + built.to_str().unwrap())
        .arg("--extern=mayfly=".to_owned() + library(&built).to_str().unwrap())
        .arg(format!("tests/compile_fail/{program}.rs"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("error[") || line.starts_with("error: "))
        .map(str::to_owned)
        .collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{text}");
    errors
        .into_iter()
        .filter(|line| !line.starts_with("error: aborting"))
        .collect()
}

/// The newest build of this package's library: the one that this test is linked with.
fn library(built: &Path) -> PathBuf {
    let libraries = fs::read_dir(built)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("libmayfly-") && name.ends_with(".rlib")
        });
    libraries
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap()
}
