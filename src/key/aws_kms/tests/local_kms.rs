//! Keys in local-kms, a service of another origin with the interface of AWS KMS.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use super::*;

/// Ended with the test.
struct LocalKms {
    child: Child,
    _data: tempfile::TempDir,
    address: SocketAddr,
    operator: Client,
}

impl LocalKms {
    async fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let data = tempfile::tempdir().unwrap();
        let child = Command::new("local-kms")
            .env("PORT", address.port().to_string())
            .env("KMS_DATA_PATH", data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("local-kms in PATH: {error}"));
        let (config, _) = config(address).await;
        let settings = Builder::from(&config).endpoint_url(format!("http://{address}"));
        let kms = Self {
            child,
            _data: data,
            address,
            operator: Client::from_conf(settings.build()),
        };
        for _ in 0..300 {
            if kms.operator.list_keys().send().await.is_ok() {
                return kms;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("local-kms does not answer");
    }

    async fn key(&self, spec: KeySpec, usage: KeyUsageType) -> String {
        let request = self.operator.create_key().key_spec(spec).key_usage(usage);
        let made = request.send().await.unwrap().key_metadata.unwrap();
        made.arn.unwrap()
    }

    async fn signing_key(&self) -> String {
        self.key(KeySpec::EccNistP256, KeyUsageType::SignVerify).await
    }

    async fn found(&self, key: &str) -> RemoteKey {
        under_discipline(find_at(self.address, key).await.unwrap())
    }
}

impl Drop for LocalKms {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "needs local-kms"]
async fn keys_of_every_kind_sign() {
    let kms = LocalKms::start().await;
    for (spec, algorithm) in [
        (KeySpec::EccNistP256, SignatureAlgorithm::EcdsaP256Sha256),
        (KeySpec::EccNistP384, SignatureAlgorithm::EcdsaP384Sha384),
        (KeySpec::Rsa2048, SignatureAlgorithm::RsaPkcs1Sha256),
        (KeySpec::Rsa4096, SignatureAlgorithm::RsaPkcs1Sha256),
    ] {
        let arn = kms.key(spec, KeyUsageType::SignVerify).await;
        let key = kms.found(&arn).await;
        assert_eq!(key.algorithm(), algorithm);
        // Often enough for numbers with leading zeros and with the highest bit set.
        for _ in 0..20 {
            // Verified on its way.
            key.sign(MESSAGE).await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs local-kms"]
async fn an_alias_that_is_moved_does_not_move_the_key() {
    let kms = LocalKms::start().await;
    let (first, second) = (kms.signing_key().await, kms.signing_key().await);
    let create = kms.operator.create_alias().alias_name("alias/ca");
    create.target_key_id(&first).send().await.unwrap();
    let key = kms.found("alias/ca").await;
    let update = kms.operator.update_alias().alias_name("alias/ca");
    update.target_key_id(&second).send().await.unwrap();
    key.sign(MESSAGE).await.unwrap();
    let moved = kms.found("alias/ca").await;
    assert_ne!(moved.spki_der(), key.spki_der());
}

#[tokio::test]
#[ignore = "needs local-kms"]
async fn what_cannot_sign_is_told_why() {
    let kms = LocalKms::start().await;
    let arn = kms.signing_key().await;
    let key = kms.found(&arn).await;
    kms.operator.disable_key().key_id(&arn).send().await.unwrap();
    let symmetric = kms
        .key(KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt)
        .await;
    let decrypting = kms.key(KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt).await;
    let sign = text_of(&key.sign(MESSAGE).await.unwrap_err());
    for (error, said) in [
        (sign, "refused to sign: DisabledException: "),
        (refusal_at(kms.address, &arn).await, "DisabledException: "),
        (
            refusal_at(kms.address, "alias/none").await,
            "NotFoundException: Alias",
        ),
        (
            refusal_at(kms.address, "1234abcd-12ab-34cd-56ef-1234567890ab").await,
            "NotFoundException: ",
        ),
        (
            refusal_at(kms.address, &symmetric).await,
            "UnsupportedOperationException",
        ),
        (
            refusal_at(kms.address, &decrypting).await,
            "usage is ENCRYPT_DECRYPT",
        ),
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
}
