//! Keys in AWS Key Management Service, by Amazon's own client: region, credentials and their renewal are as for all of
//! Amazon's tools.

mod error;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_kms::{
    Client,
    config::Builder,
    operation::get_public_key::GetPublicKeyOutput,
    primitives::Blob,
    types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec},
};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;

use self::error::{AwsKmsError, failure_of};
use super::{
    SignatureAlgorithm,
    reference::AwsKmsKey,
    remote::{FoundKey, RemoteError, RemoteFuture, RemoteSigner, Trouble, url_of},
};

/// Finding a key, with what it takes to get credentials.
const FIND: Duration = Duration::from_secs(30);
/// Signing: never the first to lose patience, which the discipline of remote keys is for.
const SIGN: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(3);

struct AwsKms {
    client: Client,
    /// Its ARN. An alias may be moved to another key while we run; the key under the CA stays the same.
    key: String,
    algorithm: SigningAlgorithmSpec,
}

/// Asks AWS KMS for a key's public half.
///
/// # Errors
/// If there is no region or the endpoint is none, if the service does not answer or refuses, or if the key does not sign as
/// [`SignatureAlgorithm`] says.
pub(super) async fn find(key: &AwsKmsKey) -> Result<FoundKey, AwsKmsError> {
    let mut chain = aws_config::defaults(behavior());
    if let Some(region) = region_of(&key.key_id) {
        chain = chain.region(region);
    }
    find_by(&chain.load().await, key).await
}

async fn find_by(config: &SdkConfig, key: &AwsKmsKey) -> Result<FoundKey, AwsKmsError> {
    if config.region().is_none() {
        return Err(AwsKmsError::NoRegion);
    }
    let mut settings = Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(SIGN));
    if let Some(authority) = &key.endpoint {
        let endpoint = url_of(authority).ok_or_else(|| AwsKmsError::Endpoint(authority.clone()))?;
        settings = settings.endpoint_url(endpoint);
    }
    let client = Client::from_conf(settings.build());
    // Only a start of the server waits for this, so the client may be patient.
    let patient = Builder::new()
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts(FIND));
    let request = client.get_public_key().key_id(&key.key_id);
    let found = request.customize().config_override(patient).send().await;
    let found = found.map_err(|error| AwsKmsError::NoAnswer(failure_of(&error)))?;
    let algorithm = algorithm_of(&found)?;
    let (Some(arn), Some(spki)) = (found.key_id, found.public_key) else {
        return Err(AwsKmsError::Incomplete);
    };
    tracing::info!(named = key.key_id, key = arn, "found a key in AWS KMS");
    Ok(FoundKey {
        spki_der: spki.into_inner(),
        signer: Box::new(AwsKms {
            client,
            key: arn,
            algorithm,
        }),
    })
}

/// Pinned: a later one may bring retries and timeouts that we did not choose.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn timeouts(whole: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_timeout(whole)
        .build()
}

/// The region in an ARN: `arn:PARTITION:kms:REGION:ACCOUNT:RESOURCE`.
fn region_of(key_id: &str) -> Option<Region> {
    let region = key_id.strip_prefix("arn:")?.split(':').nth(2)?;
    (!region.is_empty()).then(|| Region::new(region.to_owned()))
}

/// What the key signs with here, if it may.
fn algorithm_of(found: &GetPublicKeyOutput) -> Result<SigningAlgorithmSpec, AwsKmsError> {
    let kind = |what: Option<&str>| what.unwrap_or("unknown").to_owned();
    if found.key_usage != Some(KeyUsageType::SignVerify) {
        let usage = kind(found.key_usage.as_ref().map(KeyUsageType::as_str));
        return Err(AwsKmsError::Usage(usage));
    }
    let spki = found.public_key.as_ref().map(Blob::as_ref).unwrap_or_default();
    let algorithm = SubjectPublicKeyInfoRef::from_der(spki)
        .ok()
        .and_then(|spki| SignatureAlgorithm::of(&spki));
    let name = algorithm.map(|algorithm| match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => SigningAlgorithmSpec::EcdsaSha256,
        SignatureAlgorithm::EcdsaP384Sha384 => SigningAlgorithmSpec::EcdsaSha384,
        SignatureAlgorithm::RsaPkcs1Sha256 => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
    });
    name.filter(|name| found.signing_algorithms().contains(name))
        .ok_or_else(|| AwsKmsError::Kind(kind(found.key_spec.as_ref().map(KeySpec::as_str))))
}

impl AwsKms {
    async fn ask(&self, digest: &[u8]) -> Result<Vec<u8>, RemoteError> {
        let request = self
            .client
            .sign()
            .key_id(&self.key)
            .message(Blob::new(digest))
            .message_type(MessageType::Digest)
            .signing_algorithm(self.algorithm.clone());
        let answer = request.send().await.map_err(|error| failure_of(&error))?;
        match answer.signature {
            Some(signature) => Ok(signature.into_inner()),
            None => Err(RemoteError::new(Trouble::Passing, AwsKmsError::Incomplete)),
        }
    }
}

impl RemoteSigner for AwsKms {
    fn backend(&self) -> &'static str {
        "awskms"
    }

    fn sign_digest<'a>(&'a self, digest: &'a [u8]) -> RemoteFuture<'a> {
        Box::pin(self.ask(digest))
    }
}
