//! Keys in Azure Key Vault and Managed HSM, by Microsoft's own client.

mod credential;
mod error;
mod jwk;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use azure_core::{
    credentials::TokenCredential,
    http::{ClientOptions, Response, RetryOptions},
};
use azure_security_keyvault_keys::{
    KeyClient, KeyClientOptions, ResourceExt,
    models::{
        Key, KeyClientGetKeyOptions, KeyClientSignOptions, SignParameters,
        SignatureAlgorithm as AzureAlgorithm,
    },
};
use tokio::time::sleep;

use self::error::{AzureKmsError, failure_of};
use super::{
    SignatureAlgorithm,
    reference::AzureKmsKey,
    remote::{
        Failure, FoundKey, RemoteError, RemoteFuture, RemoteSigner, Trouble, der_signature, https_url_of,
    },
};

/// Attempts to find a key, with growing pauses; only a start of the server waits for that.
const FIND_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

struct AzureKms {
    client: KeyClient,
    name: String,
    /// Pinned at the start: Key Vault makes new versions by itself if it is told to rotate.
    version: String,
    algorithm: SignatureAlgorithm,
}

/// Asks Key Vault for a key's public half, and which version it is.
///
/// # Errors
/// If there is no such host, if there are no credentials, if the service does not answer or refuses, or if the key does not sign as
/// [`SignatureAlgorithm`] says.
pub(super) async fn find(key: &AzureKmsKey) -> Result<FoundKey, AzureKmsError> {
    let credential = credential::from_environment().map_err(AzureKmsError::Credential)?;
    find_by(key, credential, KeyClientOptions::default()).await
}

async fn find_by(
    key: &AzureKmsKey,
    credential: Arc<dyn TokenCredential>,
    options: KeyClientOptions,
) -> Result<FoundKey, AzureKmsError> {
    let vault = https_url_of(&key.vault).ok_or_else(|| AzureKmsError::Vault(key.vault.clone()))?;
    let options = KeyClientOptions {
        client_options: ClientOptions {
            retry: RetryOptions::none(),
            ..options.client_options
        },
        ..options
    };
    let client =
        KeyClient::new(vault.as_str(), credential, Some(options)).map_err(|error| failure_of(&error))?;
    let found = get(&client, key).await?;
    let version = version_of(&found, key)?;
    if found
        .attributes
        .as_ref()
        .and_then(|attributes| attributes.enabled)
        == Some(false)
    {
        return Err(AzureKmsError::Disabled);
    }
    let (spki_der, algorithm) = jwk::public_half(found.key.as_ref().ok_or(AzureKmsError::Incomplete)?)?;
    tracing::info!(
        vault = key.vault,
        name = key.name,
        version,
        "found a key in Azure Key Vault"
    );
    Ok(FoundKey {
        spki_der,
        signer: Box::new(AzureKms {
            client,
            name: key.name.clone(),
            version,
            algorithm,
        }),
    })
}

/// The key as the vault describes it, asked for again if that may help.
async fn get(client: &KeyClient, key: &AzureKmsKey) -> Result<Key, Failure> {
    let mut pauses = FIND_PAUSES.iter();
    loop {
        let options = KeyClientGetKeyOptions {
            key_version: key.version.clone(),
            ..KeyClientGetKeyOptions::default()
        };
        let answer = client.get_key(&key.name, Some(options)).await;
        let failure = match answer.and_then(Response::into_model) {
            Ok(found) => return Ok(found),
            Err(error) => failure_of(&error),
        };
        match pauses.next() {
            Some(pause) if failure.may_pass() => sleep(*pause).await,
            _ => return Err(failure),
        }
    }
}

/// The version in the key's identifier, if that is of the key that was asked for.
fn version_of(found: &Key, key: &AzureKmsKey) -> Result<String, AzureKmsError> {
    let id = found.resource_id().map_err(|_| AzureKmsError::Incomplete)?;
    match id.version {
        Some(version)
            if id.name.eq_ignore_ascii_case(&key.name)
                && key.version.as_ref().is_none_or(|asked| *asked == version) =>
        {
            Ok(version)
        }
        _ => Err(AzureKmsError::Other(id.source_id)),
    }
}

impl AzureKms {
    async fn ask(&self, digest: &[u8]) -> Result<Vec<u8>, RemoteError> {
        let algorithm = match self.algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => AzureAlgorithm::Es256,
            SignatureAlgorithm::EcdsaP384Sha384 => AzureAlgorithm::Es384,
            SignatureAlgorithm::RsaPkcs1Sha256 => AzureAlgorithm::Rs256,
        };
        let parameters = SignParameters {
            algorithm: Some(algorithm),
            value: Some(digest.to_vec()),
        };
        let options = KeyClientSignOptions {
            key_version: Some(self.version.clone()),
            ..KeyClientSignOptions::default()
        };
        let answer = async {
            let request = parameters.try_into()?;
            self.client
                .sign(&self.name, request, Some(options))
                .await?
                .into_model()
        };
        let answer = answer.await.map_err(|error| failure_of(&error))?;
        let signature = answer.result.and_then(|signature| self.as_der(signature));
        signature.ok_or_else(|| RemoteError::new(Trouble::Passing, AzureKmsError::Incomplete))
    }

    /// ECDSA signatures are two numbers side by side there (RFC 7518 3.4).
    fn as_der(&self, signature: Vec<u8>) -> Option<Vec<u8>> {
        match self.algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::EcdsaP384Sha384 => {
                der_signature(&signature)
            }
            SignatureAlgorithm::RsaPkcs1Sha256 => Some(signature),
        }
    }
}

impl RemoteSigner for AzureKms {
    fn backend(&self) -> &'static str {
        "azurekms"
    }

    fn sign_digest<'a>(&'a self, digest: &'a [u8]) -> RemoteFuture<'a> {
        Box::pin(self.ask(digest))
    }
}
