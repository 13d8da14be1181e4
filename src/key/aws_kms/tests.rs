mod local_kms;

use aws_sdk_kms::config::Credentials;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use super::*;
use crate::{
    causes::in_one_line,
    key::{
        SigningKey, SoftwareKey,
        remote::{
            RemoteKey,
            fake::{self, Act, Asked, FakeService, MESSAGE, Tongue, under_discipline},
        },
    },
};

const SECRET: &str = "not-to-be-seen";
const ARN: &str = "arn:aws:kms:eu-west-2:111122223333:key/1234abcd";

struct AwsTongue;

impl Tongue for AwsTongue {
    fn wants_signature(&self, asked: &Asked) -> bool {
        asked.headers["x-amz-target"] == "TrentService.Sign"
    }

    fn public_half(&self, _: &Asked, key: &SoftwareKey) -> Value {
        json!({
            "KeyId": ARN,
            "KeySpec": "ECC_NIST_P256",
            "KeyUsage": "SIGN_VERIFY",
            "PublicKey": BASE64_STANDARD.encode(key.spki_der()),
            "SigningAlgorithms": ["ECDSA_SHA_256"],
        })
    }

    fn signed(&self, asked: &Asked, key: &SoftwareKey, signature: &[u8]) -> Value {
        let digest = BASE64_STANDARD.encode(key.algorithm().digest(MESSAGE));
        let rest = json!({"KeyId": ARN, "SigningAlgorithm": "ECDSA_SHA_256"});
        let mut expected = rest.clone();
        expected["Message"] = json!(digest);
        expected["MessageType"] = json!("DIGEST");
        assert_eq!(asked.body, expected);
        let mut answer = rest;
        answer["Signature"] = json!(BASE64_STANDARD.encode(signature));
        answer
    }

    fn refusal(&self, _: u16, code: &str, message: &str) -> Value {
        json!({"__type": code, "message": message})
    }
}

async fn service() -> FakeService {
    FakeService::start(AwsTongue).await
}

fn text_of(error: &(dyn std::error::Error + 'static)) -> String {
    let text = in_one_line(error);
    assert!(!text.contains(SECRET), "{text}");
    text
}

async fn config(address: impl ToString) -> (SdkConfig, String) {
    let credentials = Credentials::new("test", SECRET, None, None, "test");
    let config = aws_config::defaults(behavior())
        .credentials_provider(credentials)
        .region(Region::new("eu-west-2"));
    (config.load().await, address.to_string())
}

async fn find_at(address: impl ToString, key_id: &str) -> Result<FoundKey, AwsKmsError> {
    let (config, endpoint) = config(address).await;
    let key = AwsKmsKey {
        endpoint: Some(endpoint),
        key_id: key_id.to_owned(),
    };
    find_by(&config, &key).await
}

async fn refusal_at(address: impl ToString, key_id: &str) -> String {
    match find_at(address, key_id).await {
        Ok(_) => panic!("{key_id} must not be found"),
        Err(error) => text_of(&error),
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_only_by_us() {
    let throttled = Act::Refuse(400, "ThrottlingException", "Rate exceeded");
    for act in fake::passing("KMSInternalException")
        .into_iter()
        .chain([throttled])
    {
        let service = service().await;
        let key = under_discipline(find_at(service.address, "alias/ca").await.unwrap());
        service.assert_asked_again_after(act, &key).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_not_repeated() {
    let service = service().await;
    let key = under_discipline(find_at(service.address, "alias/ca").await.unwrap());
    let refusal = Act::Refuse(400, "DisabledException", "arn:aws:kms:x:1:key/2 is disabled.");
    let said = "refused to sign: DisabledException: arn:aws:kms:x:1:key/2 is disabled.";
    let error = service.assert_told_once(refusal, &key, said).await;
    assert!(!error.contains(SECRET), "{error}");
}

#[tokio::test]
async fn nobody_at_the_endpoint_is_a_failure_that_may_pass() {
    let service = service().await;
    let key = under_discipline(find_at(service.address, "alias/ca").await.unwrap());
    let address = service.stop().await;
    let error = text_of(&key.sign(MESSAGE).await.unwrap_err());
    assert!(error.contains("the key's service failed: "), "{error}");
    assert!(error.contains("onnect"), "{error}");
    let error = refusal_at(address, "alias/ca").await;
    assert!(
        error.contains("public half: ") && error.contains("onnect"),
        "{error}"
    );
}

#[tokio::test]
async fn it_signs_with_the_key_that_an_alias_meant_at_the_start() {
    let service = service().await;
    let key = under_discipline(find_at(service.address, "alias/ca").await.unwrap());
    key.sign(MESSAGE).await.unwrap();
    let asked_for: Vec<_> = service
        .requests()
        .into_iter()
        .map(|asked| asked.body["KeyId"].clone())
        .collect();
    assert_eq!(asked_for, ["alias/ca", ARN]);
}

#[tokio::test]
async fn a_start_survives_a_moment_of_throttling() {
    let service = service().await;
    service.then(Act::Refuse(400, "ThrottlingException", "Rate exceeded"));
    find_at(service.address, "alias/ca").await.unwrap();
}

#[tokio::test]
async fn keys_of_other_kinds_are_refused_with_their_kind() {
    let ed25519 = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    for (answer, said) in [
        (
            format!(
                r#"{{"KeyId":"k","KeySpec":"ECC_NIST_EDWARDS25519","KeyUsage":"SIGN_VERIFY","PublicKey":"{ed25519}",
                "SigningAlgorithms":["ED25519_SHA_512"]}}"#
            ),
            "the key is ECC_NIST_EDWARDS25519: it must be ECC_NIST_P256",
        ),
        (
            r#"{"KeyId":"k","KeySpec":"RSA_2048","KeyUsage":"ENCRYPT_DECRYPT","PublicKey":"AAAA"}"#
                .to_owned(),
            "the key's usage is ENCRYPT_DECRYPT: it must be SIGN_VERIFY",
        ),
        (
            r#"{"KeyId":"k","KeySpec":"ML_DSA_65","KeyUsage":"SIGN_VERIFY","PublicKey":"AAAA"}"#.to_owned(),
            "the key is ML_DSA_65",
        ),
        ("{}".to_owned(), "the key's usage is unknown"),
    ] {
        let service = service().await;
        service.then(Act::Body(200, answer));
        let error = refusal_at(service.address, "alias/ca").await;
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_is_a_host() {
    let error = refusal_at("user:password@host", "alias/ca").await;
    assert!(error.contains("is not the host of an endpoint"), "{error}");
}

#[test]
fn the_region_comes_out_of_an_arn() {
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
    assert_eq!(region_of(arn), Some(Region::new("eu-central-1")));
    for other in ["alias/ca", "1234abcd", "arn:aws:kms", "arn:aws:kms::1:key/2"] {
        assert_eq!(region_of(other), None, "{other}");
    }
}
