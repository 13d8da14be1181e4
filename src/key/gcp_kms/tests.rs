use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine};
use google_cloud_auth::credentials::anonymous;
use serde_json::{Value, json};

use super::*;
use crate::{
    causes::in_one_line,
    key::{
        SigningKey, SoftwareKey,
        remote::fake::{self, Act, Asked, FakeService, MESSAGE, Tongue, under_discipline},
    },
};

const VERSION: &str = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

/// What it says otherwise than it should.
#[derive(Clone, Copy, Default)]
struct GoogleTongue {
    algorithm: Option<&'static str>,
    pem_damaged: bool,
    other_name: bool,
    signature_damaged: bool,
    digest_unverified: bool,
}

fn block(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("PUBLIC KEY", der))
}

impl Tongue for GoogleTongue {
    fn wants_signature(&self, asked: &Asked) -> bool {
        asked.uri.path() == format!("/v1/{VERSION}:asymmetricSign")
    }

    fn public_half(&self, asked: &Asked, key: &SoftwareKey) -> Value {
        assert_eq!(asked.uri.path(), format!("/v1/{VERSION}/publicKey"));
        let text = block(key.spki_der());
        let of_key = match key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => "EC_SIGN_P256_SHA256",
            SignatureAlgorithm::EcdsaP384Sha384 => "EC_SIGN_P384_SHA384",
            SignatureAlgorithm::RsaPkcs1Sha256 => "RSA_SIGN_PKCS1_2048_SHA256",
        };
        json!({
            "name": VERSION,
            "pemCrc32c": (crc32c(text.as_bytes()) + i64::from(self.pem_damaged)).to_string(),
            "pem": text,
            "algorithm": self.algorithm.unwrap_or(of_key),
            "protectionLevel": "HSM",
        })
    }

    fn signed(&self, asked: &Asked, key: &SoftwareKey, signature: &[u8]) -> Value {
        let digest = key.algorithm().digest(MESSAGE);
        let field = match key.algorithm() {
            SignatureAlgorithm::EcdsaP384Sha384 => "sha384",
            _ => "sha256",
        };
        assert_eq!(
            asked.body["digest"],
            json!({field: BASE64_STANDARD.encode(digest)})
        );
        assert_eq!(asked.body["digestCrc32c"], crc32c(digest.as_ref()).to_string());
        json!({
            "name": if self.other_name { "projects/other" } else { VERSION },
            "signature": BASE64_STANDARD.encode(signature),
            "signatureCrc32c": (crc32c(signature) + i64::from(self.signature_damaged)).to_string(),
            "verifiedDigestCrc32c": !self.digest_unverified,
        })
    }

    fn refusal(&self, status: u16, code: &str, message: &str) -> Value {
        json!({"error": {"code": status, "status": code, "message": message}})
    }
}

async fn find_at(address: SocketAddr) -> Result<FoundKey, GcpKmsError> {
    let client = KeyManagementService::builder()
        .with_endpoint(format!("http://{address}"))
        .with_credentials(anonymous::Builder::new().build())
        .with_retry_policy(NeverRetry)
        .with_attempt_timeout(SIGN);
    find_by(client.build().await.unwrap(), VERSION).await
}

async fn refusal_at(address: SocketAddr) -> String {
    match find_at(address).await {
        Ok(_) => panic!("must not be found"),
        Err(error) => in_one_line(&error),
    }
}

/// RFC 3720 B.4.
#[test]
fn the_checksum_is_castagnolis() {
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[tokio::test]
async fn keys_of_every_kind_sign() {
    for key in [fake::new_p256(), fake::new_p384(), fake::new_rsa()] {
        let service = FakeService::with_key(GoogleTongue::default(), key).await;
        let key = under_discipline(find_at(service.address).await.unwrap());
        // Verified on its way.
        key.sign(MESSAGE).await.unwrap();
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_only_by_us() {
    let throttled = Act::Refuse(429, "RESOURCE_EXHAUSTED", "Quota exceeded");
    for act in fake::passing("UNAVAILABLE").into_iter().chain([throttled]) {
        let service = FakeService::start(GoogleTongue::default()).await;
        let key = under_discipline(find_at(service.address).await.unwrap());
        service.assert_asked_again_after(act, &key).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_not_repeated() {
    let service = FakeService::start(GoogleTongue::default()).await;
    let key = under_discipline(find_at(service.address).await.unwrap());
    let refusal = Act::Refuse(
        400,
        "FAILED_PRECONDITION",
        "not enabled, current state is: DISABLED.",
    );
    let said = "refused to sign: FAILED_PRECONDITION: not enabled, current state is: DISABLED.";
    service.assert_told_once(refusal, &key, said).await;
}

#[tokio::test]
async fn nobody_there_is_a_failure_that_may_pass() {
    let service = FakeService::start(GoogleTongue::default()).await;
    let key = under_discipline(find_at(service.address).await.unwrap());
    service.stop().await;
    let error = in_one_line(&key.sign(MESSAGE).await.unwrap_err());
    assert!(error.contains("the key's service failed: "), "{error}");
    assert!(error.contains("onnect"), "{error}");
}

#[tokio::test]
async fn a_start_survives_a_moment_of_throttling_and_is_told_of_a_refusal() {
    let service = FakeService::start(GoogleTongue::default()).await;
    service.then(Act::Refuse(429, "RESOURCE_EXHAUSTED", "Quota exceeded"));
    find_at(service.address).await.unwrap();
    let denied = "Permission 'cloudkms.cryptoKeyVersions.viewPublicKey' denied";
    service.then(Act::Refuse(403, "PERMISSION_DENIED", denied));
    let error = refusal_at(service.address).await;
    assert!(error.contains(&format!("PERMISSION_DENIED: {denied}")), "{error}");
}

#[tokio::test]
async fn a_key_that_is_damaged_or_of_another_kind_is_refused() {
    let right = GoogleTongue::default();
    let of = |algorithm| GoogleTongue {
        algorithm: Some(algorithm),
        ..right
    };
    let damaged = GoogleTongue {
        pem_damaged: true,
        ..right
    };
    for (tongue, said) in [
        (damaged, "was damaged on its way"),
        (of("EC_SIGN_ED25519"), "the key is EC_SIGN_ED25519: it must be"),
        (
            of("RSA_SIGN_PSS_2048_SHA256"),
            "the key is RSA_SIGN_PSS_2048_SHA256",
        ),
        (
            of("RSA_SIGN_PKCS1_4096_SHA512"),
            "the key is RSA_SIGN_PKCS1_4096_SHA512",
        ),
        (of("EC_SIGN_P384_SHA384"), "the key is EC_SIGN_P384_SHA384"),
        (of("OF_NEXT_YEAR"), "the key is OF_NEXT_YEAR"),
    ] {
        let service = FakeService::start(tongue).await;
        let error = refusal_at(service.address).await;
        assert!(error.contains(said), "{error}");
    }
    let service = FakeService::start(right).await;
    service.then(Act::Body(200, json!({"name": "projects/other"}).to_string()));
    let error = refusal_at(service.address).await;
    assert!(error.contains("answered for `projects/other`"), "{error}");
}

#[tokio::test]
async fn a_signature_that_is_damaged_or_anothers_is_refused() {
    let right = GoogleTongue::default();
    for (tongue, said) in [
        (
            GoogleTongue {
                signature_damaged: true,
                ..right
            },
            "was damaged on its way",
        ),
        (
            GoogleTongue {
                digest_unverified: true,
                ..right
            },
            "was damaged on its way",
        ),
        (
            GoogleTongue {
                other_name: true,
                ..right
            },
            "answered for `projects/other`",
        ),
    ] {
        let service = FakeService::start(tongue).await;
        let key = under_discipline(find_at(service.address).await.unwrap());
        let error = in_one_line(&key.sign(MESSAGE).await.unwrap_err());
        assert!(error.contains(said), "{error}");
        assert_eq!(service.asked(), 3);
    }
}
