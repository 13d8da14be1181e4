//! Keys in the Transit engine of HashiCorp Vault or OpenBao, by its HTTP interface. Environment variables say where it is,
//! as for Vault's own client and sigstore's.

mod exchange;
mod place;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use der::{Decode, Document, Encode};
use serde::{Deserialize, Serialize};
use spki::SubjectPublicKeyInfoRef;
use tokio::time::timeout;

use self::{
    exchange::{Exchange, VaultError},
    place::Place,
};
use super::{
    SignatureAlgorithm,
    passphrase::PassphraseSource,
    reference::HashiVaultKey,
    remote::{FoundKey, RemoteError, RemoteFuture, RemoteSigner},
};

/// The service has this long to say what the key is, and that it signs.
const FIND: Duration = Duration::from_secs(15);
/// What is signed to see whether the key signs for us. No certificate, SCT or checkpoint begins like this.
const TRIAL: &[u8] = b"Mayfly asks whether this is its key";

/// The answer about a key, as far as it matters.
#[derive(Deserialize)]
struct Key {
    latest_version: u32,
    keys: BTreeMap<u32, KeyVersion>,
    #[serde(default)]
    exportable: bool,
}

#[derive(Deserialize)]
struct KeyVersion {
    #[serde(default)]
    public_key: String,
}

#[derive(Serialize)]
struct SignRequest {
    input: String,
    prehashed: bool,
    hash_algorithm: &'static str,
    signature_algorithm: &'static str,
    marshaling_algorithm: &'static str,
    key_version: u32,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

struct VaultSigner {
    exchange: Exchange,
    name: String,
    version: u32,
}

/// Finds the key, with the token from `token` or the environment.
pub(super) async fn find(
    key: &HashiVaultKey,
    token: Option<&PassphraseSource>,
) -> Result<FoundKey, VaultError> {
    find_at(Place::of_environment(token)?, key).await
}

async fn find_at(place: Place, key: &HashiVaultKey) -> Result<FoundKey, VaultError> {
    let exchange = Exchange::new(place).await?;
    let finding = find_with(exchange, key);
    timeout(FIND, finding).await.map_err(|_| VaultError::Late)?
}

async fn find_with(exchange: Exchange, key: &HashiVaultKey) -> Result<FoundKey, VaultError> {
    let found: Key = exchange.get(&["keys", &key.name]).await?;
    let version = key.version.unwrap_or(found.latest_version);
    let Some(of_version) = found.keys.get(&version) else {
        let versions = found.keys.keys().copied().collect();
        return Err(VaultError::NoVersion { version, versions });
    };
    // An Ed25519 key is not PEM.
    let (label, spki_der) =
        Document::from_pem(&of_version.public_key).map_err(|_| VaultError::Unsupported)?;
    let spki_der = spki_der.to_der().map_err(|_| VaultError::Unsupported)?;
    let spki = SubjectPublicKeyInfoRef::from_der(&spki_der).map_err(|_| VaultError::Unsupported)?;
    let algorithm = SignatureAlgorithm::of(&spki).filter(|_| label == "PUBLIC KEY");
    let algorithm = algorithm.ok_or(VaultError::Unsupported)?;
    tracing::info!(
        key = key.name,
        version,
        "a private key is in Vault; later versions of it are not used"
    );
    if found.exportable {
        tracing::warn!(
            key = key.name,
            "the private key can be taken out of Vault: it is exportable"
        );
    }
    let name = key.name.clone();
    let signer = VaultSigner {
        exchange,
        name,
        version,
    };
    let signature = signer.sign(algorithm.digest(TRIAL).as_ref()).await?;
    if !algorithm.verifies(&spki, TRIAL, &signature) {
        return Err(VaultError::OtherKey);
    }
    Ok(FoundKey {
        spki_der,
        signer: Box::new(signer),
    })
}

impl VaultSigner {
    async fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, VaultError> {
        let request = SignRequest {
            input: BASE64_STANDARD.encode(digest),
            prehashed: true,
            hash_algorithm: match digest.len() {
                48 => "sha2-384",
                _ => "sha2-256",
            },
            signature_algorithm: "pkcs1v15",
            marshaling_algorithm: "asn1",
            key_version: self.version,
        };
        let signed: Signed = self.exchange.post(&["sign", &self.name], &request).await?;
        // `vault:v1:` and base64.
        let (_, signature) = signed.signature.rsplit_once(':').ok_or(VaultError::Garbled)?;
        BASE64_STANDARD.decode(signature).map_err(|_| VaultError::Garbled)
    }
}

impl RemoteSigner for VaultSigner {
    fn backend(&self) -> &'static str {
        "hashivault"
    }

    fn sign_digest<'a>(&'a self, digest: &'a [u8]) -> RemoteFuture<'a> {
        Box::pin(async move {
            let signed = self.sign(digest).await;
            signed.map_err(|error| RemoteError::new(error.trouble(), error))
        })
    }
}
