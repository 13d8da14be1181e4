//! The CA's key is encrypted, and its passphrase comes from where the configuration says.

use mayfly::{
    clock::{Clock, SystemClock},
    key::passphrase::Passphrase,
};
use zeroize::Zeroizing;

use crate::{installation::Installation, program::mayfly};

const SECRET: &str = "correct horse";

async fn installation(passphrase: &str) -> Installation {
    let installation = Installation::new().await;
    let secret = Passphrase::new(Zeroizing::new(SECRET.as_bytes().to_vec())).unwrap();
    installation
        .make_ca_as("ca", SystemClock.now(), Some(&secret))
        .await;
    installation.configure(
        "  key: ca-key.pem",
        &format!("  key: ca-key.pem\n  passphrase: {passphrase}"),
    );
    installation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_environment() {
    let installation = installation("env:MAYFLY_CA_PASSPHRASE").await;
    let (code, said) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(
        said.contains("the environment variable MAYFLY_CA_PASSPHRASE is not set"),
        "{said}"
    );
    let (code, said) = installation.refusal_as(mayfly().env("MAYFLY_CA_PASSPHRASE", "battery staple"));
    assert_eq!(code, Some(1));
    assert!(
        said.contains("the passphrase does not decrypt the key file") && !said.contains("battery"),
        "{said}"
    );
    let mut serving = installation.serve_as(mayfly().env("MAYFLY_CA_PASSPHRASE", SECRET));
    serving.request().await.issued();
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_systemd_credential() {
    let installation = installation("credential:ca-passphrase").await;
    let (code, said) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(said.contains("CREDENTIALS_DIRECTORY is not set"), "{said}");
    std::fs::create_dir(installation.path("credentials")).unwrap();
    installation.write("credentials/ca-passphrase", SECRET);
    // As systemd mounts it: for the service's user, by access list, with a group bit.
    installation.chmod("credentials/ca-passphrase", 0o440);
    let credentials = installation.path("credentials");
    let mut serving = installation.serve_as(mayfly().env("CREDENTIALS_DIRECTORY", credentials));
    serving.request().await.issued();
    serving.program.stop();
}

/// The log's key, which the first start makes, is encrypted too if the configuration says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_that_is_made_is_encrypted() {
    let installation = Installation::new().await;
    installation.configure("  key: log-key.pem", "  key: log-key.pem\n  passphrase: env:LOG");
    let mut serving = installation.serve_as(mayfly().env("LOG", SECRET));
    serving.request().await.issued();
    serving.program.stop();
    let key = std::fs::read_to_string(installation.path("log-key.pem")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let (code, said) = installation.refusal_as(mayfly().env("LOG", "battery staple"));
    assert_eq!(code, Some(1));
    assert!(
        said.contains("the passphrase does not decrypt the key file"),
        "{said}"
    );
    let mut serving = installation.serve_as(mayfly().env("LOG", SECRET));
    serving.request().await.issued();
    serving.program.stop();
}
