//! Timestamp authorities that clients would refuse: what an operator is told by `mayfly serve`, before anything is made.

use std::fs;

use mayfly::{
    clock::{Clock, SystemClock, Timestamp},
    issuer::ceremony::{KeyKind, TimestampNames, generate_timestamp_authority},
    key::file as key_file,
    timestamp::TimestampChain,
};

use crate::{installation::Installation, program::mayfly};

impl Installation {
    /// With a timestamp authority in `timestamp.pem` and `timestamp-key.pem`.
    pub(crate) async fn with_timestamps() -> Self {
        let installation = Self::new().await;
        let section = "timestamp: {chain: timestamp.pem, key: timestamp-key.pem}\n";
        let configuration = fs::read_to_string(installation.path("mayfly.yaml")).unwrap();
        installation.write("mayfly.yaml", &(configuration + section));
        installation.make_timestamps("timestamp").await;
        installation
    }

    /// Makes a timestamp authority with its chain in `NAME.pem` and its key in `NAME-key.pem`.
    pub(crate) async fn make_timestamps(&self, name: &str) {
        self.make_timestamps_from(name, SystemClock.now()).await;
    }

    /// The same, valid for ten years from `start`.
    pub(crate) async fn make_timestamps_from(&self, name: &str, start: Timestamp) {
        let names = TimestampNames::of("Acme", "Acme").unwrap();
        let new = generate_timestamp_authority(names, KeyKind::EcdsaP256, start)
            .await
            .unwrap();
        let chain = TimestampChain::from_der(new.chain, start).unwrap();
        self.write(&format!("{name}.pem"), &chain.to_pem());
        let key = self.path(&format!("{name}-key.pem"));
        let _ = fs::remove_file(&key);
        key_file::write_new(&key, &new.key, None).unwrap();
    }

    fn assert_refused_before_a_log(&self, said: &str) {
        let (code, stderr) = self.refusal();
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(said), "not said: {said}\n{stderr}");
        assert!(!self.path("log").exists() && !self.path("log-key.pem").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_right_starts() {
    let installation = Installation::with_timestamps().await;
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates() {
    let installation = Installation::with_timestamps().await;
    let chain = fs::read_to_string(installation.path("timestamp.pem")).unwrap();
    installation.make_timestamps("timestamp").await;
    installation.write("timestamp.pem", &chain);
    installation.assert_refused_before_a_log("is not that of the first certificate of its chain");
    let mut check = mayfly();
    check.args(["config", "check", "--online", "--config"]);
    let output = check.arg(installation.path("mayfly.yaml")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the key of the timestamp authority cannot be used"),
        "{said}"
    );
}

#[tokio::test]
async fn the_cas_own_chain_and_key() {
    let installation = Installation::with_timestamps().await;
    for file in ["ca.pem", "ca-key.pem"] {
        let text = fs::read_to_string(installation.path(file)).unwrap();
        installation.write(&file.replace("ca", "timestamp"), &text);
    }
    installation.assert_refused_before_a_log("the first certificate of the chain is a CA");
}

#[tokio::test]
async fn a_chain_without_its_root() {
    let installation = Installation::with_timestamps().await;
    let chain = fs::read_to_string(installation.path("timestamp.pem")).unwrap();
    let second = chain.rfind("-----BEGIN").unwrap();
    installation.write("timestamp.pem", &chain[..second]);
    installation.assert_refused_before_a_log("at least two certificates");
}

/// Nobody would believe its times.
#[tokio::test]
async fn one_that_ends_by_its_own_configuration() {
    let installation = Installation::with_timestamps().await;
    installation.configure(
        "key: timestamp-key.pem}",
        "key: timestamp-key.pem, also-trusted: [{chain: timestamp.pem, until: 2026-01-02T03:04:05Z}]}",
    );
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("nobody would believe its timestamps"), "{stderr}");
}
