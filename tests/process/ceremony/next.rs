//! `mayfly intermediate` and `mayfly timestamp-authority`: what comes next under the root that is there.

use std::{fs, process::Output, process::Stdio};

use super::{Ceremony, mode, refusal};
use crate::program::mayfly;

const ROOT: &str =
    "--root offline/root.pem --root-key offline/root-key.pem --root-passphrase file:root-secret";

impl Ceremony {
    /// The root leaves the machine, as an operator is told.
    pub(super) fn move_root(&self, of: &str, to: &str) {
        fs::rename(self.path(of).join("root"), self.path(to)).unwrap();
    }

    /// These files, and no others, are in `next`; the server starts with them in the place of those that it has.
    async fn assert_takes_over(&self, names: &[&str]) {
        for name in names {
            let server = self.path("ca/server").join(name);
            let before = fs::read(&server).unwrap();
            fs::rename(self.path("next").join(name), &server).unwrap();
            assert_ne!(fs::read(&server).unwrap(), before);
        }
        assert_eq!(fs::read_dir(self.path("next")).unwrap().count(), 0);
        self.assert_serves(&self.path("ca/server"), &[]).await;
    }

    fn next(&self, arguments: &str) -> Output {
        self.call("intermediate", arguments)
    }

    fn call(&self, command_name: &str, arguments: &str) -> Output {
        let mut command = mayfly();
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.arg(command_name).args(arguments.split_whitespace());
        command.output().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_intermediate_takes_the_place_of_the_first() {
    let ceremony = Ceremony::new().await;
    ceremony.make("ca --root-passphrase file:root-secret --ca-passphrase file:ca-secret");
    ceremony.move_root("ca", "offline");
    let output = ceremony.next(&format!("next {ROOT} --ca-passphrase file:ca-secret"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.starts_with("CN=Acme code signing intermediate,O=Acme, valid until 20"),
        "{said}"
    );
    assert_eq!(mode(&ceremony.path("next")), 0o700);
    assert_eq!(mode(&ceremony.path("next/ca-key.pem")), 0o600);
    ceremony.assert_takes_over(&["ca.pem", "ca-key.pem"]).await;
}

#[tokio::test]
async fn its_key_may_be_there_and_its_end_is_its_root_s() {
    let ceremony = Ceremony::new().await;
    ceremony.key("i.pem", &rcgen::PKCS_ECDSA_P384_SHA384);
    let made =
        ceremony.make("ca --key-kind p256 --root-passphrase file:root-secret --no-passphrase --root-years 2");
    ceremony.move_root("ca", "offline");
    let output = ceremony.next(&format!(
        "next {ROOT} --ca-key i.pem --common-name 2028 --ca-years 9"
    ));
    let said = String::from_utf8(output.stdout).unwrap();
    let end = made["root"]["not_after"].as_str().unwrap();
    assert!(
        said.starts_with(&format!("CN=2028,O=Acme, valid until {end}, is in next/ca.pem.")),
        "{said}"
    );
    assert_eq!(fs::read_dir(ceremony.path("next")).unwrap().count(), 1);
}

#[tokio::test]
async fn another_root_and_a_key_without_protection_are_refused_and_nothing_is_made() {
    let ceremony = Ceremony::new().await;
    ceremony.make("ca --key-kind p256 --root-passphrase file:root-secret --no-passphrase");
    ceremony.move_root("ca", "offline");
    ceremony.make("other --key-kind p256 --root-passphrase file:root-secret --no-passphrase");
    ceremony.move_root("other", "elsewhere");
    ceremony.secret("wrong-secret", "wrong horse");
    ceremony.key("ed25519.pem", &rcgen::PKCS_ED25519);
    let before = ceremony.names();
    for (arguments, code, said) in [
        (ROOT.to_owned(), 2, "say how the new key is protected"),
        (
            format!("{ROOT} --no-passphrase --ca-passphrase file:ca-secret"),
            2,
            "cannot be used with",
        ),
        (
            format!("{} --no-passphrase", ROOT.replace("root.pem", "root-key.pem")),
            2,
            "is not one certificate",
        ),
        (
            format!(
                "{} --no-passphrase",
                ROOT.replace("--root offline", "--root elsewhere")
            ),
            1,
            "is not the key of the root's certificate",
        ),
        (
            format!("{} --no-passphrase", ROOT.replace("root-secret", "wrong-secret")),
            1,
            "passphrase",
        ),
        (
            format!("{ROOT} --ca-key offline/root-key.pem --ca-passphrase file:root-secret"),
            1,
            "have the same key",
        ),
        (
            format!("{ROOT} --no-passphrase --key-kind rsa4096"),
            1,
            "must be of one scheme",
        ),
        (format!("{ROOT} --ca-key ed25519.pem"), 1, "the key is Ed25519"),
        (
            format!(
                "{} --no-passphrase",
                ROOT.replace("offline/root.pem", "ca/server/ca.pem")
            ),
            2,
            "is not one certificate",
        ),
    ] {
        let (status, stderr) = refusal(&ceremony.next(&format!("next {arguments}")));
        assert_eq!(status, Some(code), "{arguments}: {stderr}");
        assert!(stderr.contains(said), "{arguments}: {stderr}");
        assert_eq!(ceremony.names(), before, "{arguments}");
    }
    let (code, stderr) = refusal(&ceremony.next(&format!("ca {ROOT} --no-passphrase")));
    assert!(code == Some(1) && stderr.contains("is not empty"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_timestamp_authority_takes_the_place_of_the_first() {
    let ceremony = Ceremony::new().await;
    let made = ceremony.make("ca --root-passphrase file:root-secret --ca-passphrase file:ca-secret");
    ceremony.move_root("ca", "offline");
    for (arguments, code, said) in [
        (
            "",
            2,
            "--timestamp-passphrase, --timestamp-key or --no-passphrase",
        ),
        (
            "--timestamp-key offline/root-key.pem --timestamp-passphrase file:root-secret",
            1,
            "root and timestamp authority have the same key",
        ),
    ] {
        let refused = ceremony.call("timestamp-authority", &format!("next {ROOT} {arguments}"));
        let (status, stderr) = refusal(&refused);
        assert_eq!(status, Some(code), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
        assert!(!ceremony.path("next").exists());
    }
    let arguments = format!("next {ROOT} --timestamp-passphrase file:ca-secret --years 20");
    let output = ceremony.call("timestamp-authority", &arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    let end = made["root"]["not_after"].as_str().unwrap();
    let expected = format!(
        "{}, valid until {end}, is in",
        made["timestamp"]["subject"].as_str().unwrap()
    );
    assert!(
        output.status.success() && said.starts_with(&expected),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(mode(&ceremony.path("next/timestamp-key.pem")), 0o600);
    ceremony
        .assert_takes_over(&["timestamp.pem", "timestamp-key.pem"])
        .await;
}
