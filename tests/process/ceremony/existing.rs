//! Keys that are there already, and logs that are made on purpose.

use std::fs;

use super::{Ceremony, refusal};
use crate::{installation::Installation, program::mayfly};

/// Files stand for what an HSM does: nothing but the name is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_there_are_certified_and_stay_where_they_are() {
    let ceremony = Ceremony::new().await;
    ceremony.key("r.pem", &rcgen::PKCS_ECDSA_P384_SHA384);
    ceremony.key("i.pem", &rcgen::PKCS_ECDSA_P256_SHA256);
    let summary = ceremony.make("ca --root-key r.pem --ca-key file:i.pem --no-passphrase");
    assert_eq!(summary["root"]["algorithm"], "ECDSA P-384");
    assert_eq!(summary["intermediate"]["algorithm"], "ECDSA P-256");
    let place = ceremony.path("i.pem");
    assert_eq!(summary["ca_key"]["place"], place.to_str().unwrap());
    assert!(
        summary["next"][0]
            .as_str()
            .unwrap()
            .starts_with("Take from this machine"),
        "{summary}"
    );
    for name in ["root/root-key.pem", "server/ca-key.pem"] {
        assert!(!ceremony.path("ca").join(name).exists(), "{name}");
    }
    ceremony.assert_serves(&ceremony.path("ca/server"), &[]).await;
}

#[tokio::test]
async fn keys_that_make_no_ca_are_refused_and_nothing_is_made() {
    let ceremony = Ceremony::new().await;
    ceremony.key("p.pem", &rcgen::PKCS_ECDSA_P256_SHA256);
    ceremony.key("e.pem", &rcgen::PKCS_ED25519);
    let before = ceremony.names();
    let common = "ca --yes --host ca.example.com --organization Acme --no-passphrase";
    for (keys, said) in [
        ("--root-key p.pem --ca-key p.pem", "have the same key"),
        (
            "--root-key p.pem --timestamp-key p.pem",
            "root and timestamp authority have the same key",
        ),
        (
            "--root-key p.pem --ca-key e.pem",
            "the key is Ed25519, which cannot sign here",
        ),
        ("--root-key p.pem --key-kind rsa4096", "must be of one scheme"),
        ("--root-key none.pem", "cannot read the key file"),
    ] {
        let (code, stderr) = refusal(&ceremony.run(&format!("{common} {keys}")));
        assert_eq!(code, Some(1), "{keys}: {stderr}");
        assert!(stderr.contains(said), "{keys}: {stderr}");
        assert_eq!(ceremony.names(), before, "{keys}");
    }
    // What it was called once, when --ca-key was not the place of a key.
    let (code, stderr) = refusal(&ceremony.run(&format!("{common} --root-key p.pem --ca-key P384")));
    assert!(
        code == Some(2) && stderr.contains("the kind of new keys is --key-kind P384"),
        "{stderr}"
    );
    let same = "--insecure-unencrypted-root-key --log-key hashivault://x --ca-key hashivault://x";
    let (code, stderr) = refusal(&ceremony.run(&format!("{common} {same}")));
    assert!(
        code == Some(2) && stderr.contains("name the same key"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_made_on_purpose_only_where_the_first_start_would_not() {
    let installation = Installation::new().await;
    let create = || {
        let mut command = mayfly();
        command
            .args(["log", "create", "--config"])
            .arg(installation.path("mayfly.yaml"));
        command.stdin(std::process::Stdio::null()).output().unwrap()
    };
    let output = create();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        said,
        "ca.example.com/log: is made by the first start, if it is not there\n"
    );
    assert!(!installation.path("log").exists());

    installation.configure("key: log-key.pem", "key: hashivault://log");
    let (code, stderr) = refusal(&create());
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("--the-key-never-signed-for-a-log") && stderr.contains("hashivault://log"),
        "{stderr}"
    );
    fs::create_dir(installation.path("log")).unwrap();
    installation.write("log/checkpoint", "");
    assert_eq!(create().stdout, b"ca.example.com/log: is there already\n");
}
