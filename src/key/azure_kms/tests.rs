use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::net::SocketAddr;

use azure_core::{
    credentials::{AccessToken, TokenRequestOptions},
    http::{AsyncRawResponse, HttpClient, Request, Transport},
    time::OffsetDateTime,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use der::{Decode, Sequence, asn1::UintRef};
use serde_json::{Value, json};
use spki::SubjectPublicKeyInfoRef;

use super::*;
use crate::{
    causes::in_one_line,
    key::{
        SigningKey, SoftwareKey,
        remote::fake::{self, Act, Asked, FakeService, MESSAGE, Tongue, under_discipline},
    },
};

const VERSION: &str = "0123456789abcdef";
const ID: &str = "https://acme.vault.azure.net/keys/ca/0123456789abcdef";

#[derive(Debug)]
struct Token;

#[async_trait::async_trait]
impl TokenCredential for Token {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://vault.azure.net/.default"]);
        let hour = Duration::from_secs(3600);
        Ok(AccessToken::new(
            "not-to-be-seen",
            OffsetDateTime::now_utc() + hour,
        ))
    }
}

/// What it says otherwise than it should.
#[derive(Clone, Default)]
struct AzureTongue {
    key: Value,
    attributes: Value,
}

#[derive(Sequence)]
struct TwoNumbers<'a> {
    first: UintRef<'a>,
    second: UintRef<'a>,
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// As Key Vault has it, from DER.
fn as_jwk(key: &SoftwareKey) -> Value {
    let spki = SubjectPublicKeyInfoRef::from_der(key.spki_der()).unwrap();
    let bytes = spki.subject_public_key.raw_bytes();
    let on_curve = |curve| {
        let (x, y) = bytes[1..].split_at(bytes.len() / 2);
        json!({"kty": "EC-HSM", "crv": curve, "x": encoded(x), "y": encoded(y)})
    };
    let mut jwk = match key.algorithm() {
        SignatureAlgorithm::EcdsaP256Sha256 => on_curve("P-256"),
        SignatureAlgorithm::EcdsaP384Sha384 => on_curve("P-384"),
        SignatureAlgorithm::RsaPkcs1Sha256 => {
            let TwoNumbers { first, second } = TwoNumbers::from_der(bytes).unwrap();
            json!({"kty": "RSA", "n": encoded(first.as_bytes()), "e": encoded(second.as_bytes())})
        }
    };
    jwk["kid"] = json!(ID);
    jwk["key_ops"] = json!(["sign", "verify"]);
    jwk
}

fn merged(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().into_iter().flatten() {
        value[name] = change.clone();
    }
    value
}

impl Tongue for AzureTongue {
    fn wants_signature(&self, asked: &Asked) -> bool {
        asked.uri.path() == format!("/keys/ca/{VERSION}/sign")
    }

    fn public_half(&self, asked: &Asked, key: &SoftwareKey) -> Value {
        assert_eq!(asked.uri.path().trim_end_matches('/'), "/keys/ca");
        json!({
            "key": merged(as_jwk(key), &self.key),
            "attributes": merged(json!({"enabled": true}), &self.attributes),
        })
    }

    fn signed(&self, asked: &Asked, key: &SoftwareKey, signature: &[u8]) -> Value {
        let digest = key.algorithm().digest(MESSAGE);
        let (name, length) = match key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => ("ES256", 32),
            SignatureAlgorithm::EcdsaP384Sha384 => ("ES384", 48),
            SignatureAlgorithm::RsaPkcs1Sha256 => ("RS256", 0),
        };
        assert_eq!(
            asked.body,
            json!({"alg": name, "value": encoded(digest.as_ref())})
        );
        let value = match TwoNumbers::from_der(signature) {
            Ok(TwoNumbers { first, second }) => [first, second]
                .map(|number| [&vec![0; length - number.as_bytes().len()], number.as_bytes()].concat())
                .concat(),
            Err(_) => signature.to_vec(),
        };
        json!({"kid": ID, "value": encoded(&value)})
    }

    fn challenge(&self, asked: &Asked) -> Option<Response> {
        let challenge = r#"Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net""#;
        (!asked.headers.contains_key("authorization"))
            .then(|| (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response())
    }

    fn refusal(&self, _: u16, code: &str, message: &str) -> Value {
        json!({"error": {"code": code, "message": message}})
    }
}

/// Leads all requests to the stand-in, without TLS: Microsoft's client sends no token over HTTP by itself.
#[derive(Debug)]
struct Diverted {
    client: reqwest::Client,
    to: SocketAddr,
}

#[async_trait::async_trait]
impl HttpClient for Diverted {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = request.clone();
        let url = request.url_mut();
        assert_eq!(url.scheme(), "https");
        url.set_scheme("http").unwrap();
        url.set_ip_host(self.to.ip()).unwrap();
        url.set_port(Some(self.to.port())).unwrap();
        self.client.execute_request(&request).await
    }
}

async fn find_in(vault: &str, to: SocketAddr) -> Result<FoundKey, AzureKmsError> {
    let key = AzureKmsKey {
        vault: vault.to_owned(),
        name: "ca".to_owned(),
        version: None,
    };
    let client = reqwest::Client::new();
    let mut options = KeyClientOptions::default();
    options.client_options.transport = Some(Transport::new(Arc::new(Diverted { client, to })));
    find_by(&key, Arc::new(Token), options).await
}

async fn find_at(address: SocketAddr) -> Result<FoundKey, AzureKmsError> {
    find_in("acme.vault.azure.net", address).await
}

async fn refusal_in(vault: &str, to: SocketAddr) -> String {
    match find_in(vault, to).await {
        Ok(_) => panic!("must not be found"),
        Err(error) => in_one_line(&error),
    }
}

async fn refusal_at(address: SocketAddr) -> String {
    refusal_in("acme.vault.azure.net", address).await
}

async fn service() -> FakeService {
    FakeService::start(AzureTongue::default()).await
}

#[tokio::test]
async fn keys_of_every_kind_sign() {
    for key in [fake::new_p256(), fake::new_p384(), fake::new_rsa()] {
        let service = FakeService::with_key(AzureTongue::default(), key).await;
        let key = under_discipline(find_at(service.address).await.unwrap());
        // Verified on its way; often enough for numbers with leading zeros and with the highest bit set.
        for _ in 0..20 {
            key.sign(MESSAGE).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_only_by_us() {
    let throttled = Act::Refuse(429, "Throttled", "Too many requests");
    for act in fake::passing("ServiceUnavailable").into_iter().chain([throttled]) {
        let service = service().await;
        let key = under_discipline(find_at(service.address).await.unwrap());
        service.assert_asked_again_after(act, &key).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_not_repeated() {
    let service = service().await;
    let key = under_discipline(find_at(service.address).await.unwrap());
    let refusal = Act::Refuse(
        403,
        "Forbidden",
        "Operation sign is not allowed on a disabled key.",
    );
    let said = "refused to sign: status 403, Forbidden: Operation sign is not allowed on a disabled key.";
    service.assert_told_once(refusal, &key, said).await;
}

#[tokio::test]
async fn nobody_there_is_a_failure_that_may_pass() {
    let service = service().await;
    let key = under_discipline(find_at(service.address).await.unwrap());
    service.stop().await;
    let error = in_one_line(&key.sign(MESSAGE).await.unwrap_err());
    assert!(
        error.contains("the key's service failed: ") && error.contains("onnect"),
        "{error}"
    );
    assert!(!error.contains("not-to-be-seen"), "{error}");
}

#[tokio::test]
async fn a_start_survives_a_moment_of_throttling_and_is_told_of_a_refusal() {
    let service = service().await;
    service.then(Act::Refuse(429, "Throttled", "Too many requests"));
    find_at(service.address).await.unwrap();
    service.then(Act::Refuse(
        404,
        "KeyNotFound",
        "A key with (name/id) ca was not found in this key vault.",
    ));
    let error = refusal_at(service.address).await;
    assert!(error.contains("KeyNotFound: A key with"), "{error}");
}

#[tokio::test]
async fn a_key_that_cannot_sign_here_is_refused_with_the_reason() {
    for (key, attributes, said) in [
        (json!({}), json!({"enabled": false}), "version is disabled"),
        (
            json!({"key_ops": ["verify", "wrapKey"]}),
            json!({}),
            "for [verify, wrapKey] only",
        ),
        (json!({"crv": "P-256K"}), json!({}), "the key is EC-HSM on P-256K"),
        (
            json!({"kty": "oct-HSM", "crv": null}),
            json!({}),
            "the key is oct-HSM: it must be",
        ),
        (
            json!({"kty": "OKP", "crv": "Ed25519"}),
            json!({}),
            "the key is OKP on Ed25519",
        ),
        (json!({"x": null}), json!({}), "without a key"),
        (json!({"x": encoded(&[1; 33])}), json!({}), "without a key"),
        (json!({"kid": null}), json!({}), "without a key"),
        (
            json!({"kid": "https://acme.vault.azure.net/keys/log/1"}),
            json!({}),
            "answered for `https://acme.vault.azure.net/keys/log/1`",
        ),
    ] {
        let service = FakeService::start(AzureTongue { key, attributes }).await;
        let error = refusal_at(service.address).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}

/// Else whoever can write a host into the configuration, or answers for it, would be sent tokens for the real vaults.
#[tokio::test]
async fn a_host_outside_azure_gets_no_token() {
    let service = service().await;
    let error = refusal_in("vault.example.com", service.address).await;
    assert!(error.contains("doesn't match the requested domain"), "{error}");
    assert!(service.requests().is_empty());
    let error = refusal_in("user@acme.vault.azure.net", service.address).await;
    assert!(error.contains("is not the host of a vault"), "{error}");
}
