//! OpenBao, with everything in memory; what its administrator does goes by its command.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::Instant,
};

use futures_util::future::join_all;

use super::*;

const ROOT: &str = "root-token";

/// A server of its own; ended with its handle.
struct OpenBao {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl OpenBao {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let child = Command::new("bao")
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address={address}"))
            .env("HOME", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            address: format!("http://{address}"),
            folder,
        };
        let began = Instant::now();
        while !server.command(&["secrets", "enable", "transit"]).status.success() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "OpenBao does not answer"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        server
    }

    fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new("bao");
        command.env("BAO_ADDR", &self.address).env("BAO_TOKEN", ROOT);
        command.env("HOME", self.folder.path()).args(arguments);
        command.output().unwrap()
    }

    fn manage(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A token that may do what docs/keys.md says it must, for a key of this name.
    fn token(&self, name: &str) -> String {
        let policy = self.folder.path().join("policy.hcl");
        let text = format!(
            "path \"transit/keys/{name}\" {{ capabilities = [\"read\"] }}\n\
             path \"transit/sign/{name}\" {{ capabilities = [\"update\"] }}\n"
        );
        fs::write(&policy, text).unwrap();
        self.manage(&["policy", "write", name, policy.to_str().unwrap()]);
        self.manage(&["token", "create", "-policy", name, "-field=token"])
    }

    async fn open(&self, name: &str, token: &str) -> Result<RemoteKey, VaultError> {
        open(&self.address, name, token_file(self.folder.path(), token)).await
    }
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn each_kind_of_key_signs() {
    let bao = OpenBao::start().await;
    for (kind, algorithm) in [
        ("ecdsa-p256", SignatureAlgorithm::EcdsaP256Sha256),
        ("ecdsa-p384", SignatureAlgorithm::EcdsaP384Sha384),
        ("rsa-2048", SignatureAlgorithm::RsaPkcs1Sha256),
        ("rsa-4096", SignatureAlgorithm::RsaPkcs1Sha256),
    ] {
        bao.manage(&[
            "write",
            "-f",
            &format!("transit/keys/{kind}"),
            &format!("type={kind}"),
        ]);
        let key = bao.open(kind, &bao.token(kind)).await.unwrap();
        assert_eq!(key.algorithm(), algorithm);
        for signed in join_all((0..50).map(|_| sign(&key))).await {
            signed.unwrap();
        }
    }
    for kind in ["ed25519", "ecdsa-p521", "aes256-gcm96"] {
        bao.manage(&[
            "write",
            "-f",
            &format!("transit/keys/{kind}"),
            &format!("type={kind}"),
        ]);
        let error = bao.open(kind, ROOT).await.unwrap_err();
        assert!(
            matches!(error, VaultError::Unsupported | VaultError::Garbled),
            "{kind}: {error}"
        );
    }
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_rotation_there_changes_nothing_here() {
    let bao = OpenBao::start().await;
    bao.manage(&["write", "-f", "transit/keys/ca", "type=ecdsa-p256"]);
    let token = bao.token("ca");
    let key = bao.open("ca", &token).await.unwrap();
    bao.manage(&["write", "-f", "transit/keys/ca/rotate"]);
    sign(&key).await.unwrap();
    let (first, second) = (
        bao.open("ca/1", &token).await.unwrap(),
        bao.open("ca", &token).await.unwrap(),
    );
    assert_eq!(first.spki_der(), key.spki_der());
    assert_ne!(second.spki_der(), key.spki_der());
    sign(&second).await.unwrap();
    // The old version is retired: it does not sign any more, and nothing else signs in its place.
    bao.manage(&[
        "write",
        "transit/keys/ca/config",
        "min_encryption_version=2",
        "min_decryption_version=2",
    ]);
    sign(&key).await.unwrap_err();
    let error = bao.open("ca/1", &token).await.unwrap_err();
    assert!(
        matches!(error, VaultError::NoVersion { version: 1, .. }),
        "{error}"
    );
    sign(&second).await.unwrap();
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_token_is_renewed_by_its_file() {
    let bao = OpenBao::start().await;
    bao.manage(&["write", "-f", "transit/keys/ca", "type=ecdsa-p256"]);
    let token = bao.token("ca");
    let key = bao.open("ca", &token).await.unwrap();
    bao.manage(&["token", "revoke", &token]);
    let error = sign(&key).await.unwrap_err();
    assert!(
        error.contains("refuses the token") && !error.contains(&token),
        "{error}"
    );
    token_file(bao.folder.path(), &bao.token("ca"));
    sign(&key).await.unwrap();
    let other = bao.token("other");
    assert!(matches!(bao.open("ca", &other).await, Err(VaultError::Forbidden)));
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_sealed_server_is_passing_trouble() {
    let bao = OpenBao::start().await;
    bao.manage(&["write", "-f", "transit/keys/ca", "type=ecdsa-p256"]);
    let key = bao.open("ca", ROOT).await.unwrap();
    bao.manage(&["operator", "seal"]);
    let error = sign(&key).await.unwrap_err();
    assert!(
        error.contains("service failed") && error.contains("sealed"),
        "{error}"
    );
}
