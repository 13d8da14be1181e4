//! Keys in Google Cloud Key Management Service, by Google's own client and with application default credentials.
//!
//! Google does not ask its users to believe that what arrived is what was sent: checksums go with everything, and are
//! checked here. (A signature is verified anyway; the checksums say where it was damaged.)

mod error;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crc_fast::CrcAlgorithm;
use google_cloud_gax::{
    options::RequestOptionsBuilder,
    retry_policy::{Aip194Strict, NeverRetry, RetryPolicyExt},
};
use google_cloud_kms_v1::{
    client::KeyManagementService,
    model::{AsymmetricSignResponse, Digest, PublicKey, crypto_key_version::CryptoKeyVersionAlgorithm},
};
use spki::SubjectPublicKeyInfoRef;

use self::error::{GcpKmsError, failure_of};
use super::{
    SignatureAlgorithm,
    remote::{FoundKey, RemoteError, RemoteFuture, RemoteSigner, Trouble},
};

/// Finding a key, with what it takes to get credentials.
const FIND: Duration = Duration::from_secs(30);
const FIND_ATTEMPTS: u32 = 3;
/// Signing: never the first to lose patience, which the discipline of remote keys is for.
const SIGN: Duration = Duration::from_secs(60);

struct GcpKms {
    client: KeyManagementService,
    /// `projects/…/cryptoKeyVersions/…`, which stands for one key forever.
    version: String,
    algorithm: SignatureAlgorithm,
}

/// Asks Google Cloud KMS for the public half of a key's version.
///
/// # Errors
/// If there are no credentials, if the service does not answer or refuses (as it does for a version that is not enabled), or if
/// the key does not sign as [`SignatureAlgorithm`] says.
pub(super) async fn find(version: &str) -> Result<FoundKey, GcpKmsError> {
    let client = KeyManagementService::builder()
        .with_retry_policy(NeverRetry)
        .with_attempt_timeout(SIGN);
    let client = client.build().await.map_err(GcpKmsError::Client)?;
    find_by(client, version).await
}

async fn find_by(client: KeyManagementService, version: &str) -> Result<FoundKey, GcpKmsError> {
    // Only a start of the server waits for this, so the client may be patient.
    let patience = Aip194Strict
        .continue_on_too_many_requests()
        .with_time_limit(FIND)
        .with_attempt_limit(FIND_ATTEMPTS);
    let request = client.get_public_key().set_name(version);
    let request = request.with_retry_policy(patience).with_attempt_timeout(FIND);
    let found = request.send().await;
    let found = found.map_err(|error| GcpKmsError::NoAnswer(failure_of(&error)))?;
    let spki_der = spki_of(&found, version)?;
    let algorithm = algorithm_of(&found, &spki_der)?;
    tracing::info!(
        key = version,
        algorithm = found.algorithm.name(),
        "found a key in Google Cloud KMS"
    );
    Ok(FoundKey {
        spki_der,
        signer: Box::new(GcpKms {
            client,
            version: version.to_owned(),
            algorithm,
        }),
    })
}

/// The key in an answer, if it is whole and the one that was asked for.
fn spki_of(found: &PublicKey, version: &str) -> Result<Vec<u8>, GcpKmsError> {
    if found.name != version {
        return Err(GcpKmsError::Other(found.name.clone()));
    }
    if found
        .pem_crc32c
        .is_some_and(|sum| sum != crc32c(found.pem.as_bytes()))
    {
        return Err(GcpKmsError::Damaged);
    }
    match pem::parse(&found.pem) {
        Ok(block) if block.tag() == "PUBLIC KEY" => Ok(block.into_contents()),
        _ => Err(GcpKmsError::Damaged),
    }
}

/// What the version signs with. A version of an RSA key has one padding and one hash, which must be ours.
fn algorithm_of(found: &PublicKey, spki_der: &[u8]) -> Result<SignatureAlgorithm, GcpKmsError> {
    use CryptoKeyVersionAlgorithm as Google;
    let algorithm = match found.algorithm {
        Google::EcSignP256Sha256 => Some(SignatureAlgorithm::EcdsaP256Sha256),
        Google::EcSignP384Sha384 => Some(SignatureAlgorithm::EcdsaP384Sha384),
        Google::RsaSignPkcs12048Sha256 | Google::RsaSignPkcs13072Sha256 | Google::RsaSignPkcs14096Sha256 => {
            Some(SignatureAlgorithm::RsaPkcs1Sha256)
        }
        _ => None,
    };
    let of_key = der::Decode::from_der(spki_der)
        .ok()
        .and_then(|spki: SubjectPublicKeyInfoRef<'_>| SignatureAlgorithm::of(&spki));
    algorithm.filter(|_| algorithm == of_key).ok_or_else(|| {
        let name = found.algorithm.name().unwrap_or("of an unknown algorithm");
        GcpKmsError::Kind(name.to_owned())
    })
}

/// Castagnoli's, as Google writes it into an int64.
fn crc32c(bytes: &[u8]) -> i64 {
    let sum = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    // 32 bits always fit.
    i64::try_from(sum).unwrap_or_default()
}

impl GcpKms {
    async fn ask(&self, digest: &[u8]) -> Result<Vec<u8>, RemoteError> {
        let to_sign = match self.algorithm {
            SignatureAlgorithm::EcdsaP384Sha384 => Digest::new().set_sha384(digest.to_vec()),
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::RsaPkcs1Sha256 => {
                Digest::new().set_sha256(digest.to_vec())
            }
        };
        let request = self
            .client
            .asymmetric_sign()
            .set_name(&self.version)
            .set_digest(to_sign)
            .set_digest_crc32c(crc32c(digest));
        let answer = request.send().await.map_err(|error| failure_of(&error))?;
        self.checked(answer)
            .map_err(|error| RemoteError::new(Trouble::Passing, error))
    }

    fn checked(&self, answer: AsymmetricSignResponse) -> Result<Vec<u8>, GcpKmsError> {
        if answer.name != self.version {
            return Err(GcpKmsError::Other(answer.name));
        }
        let is_whole = answer.signature_crc32c == Some(crc32c(&answer.signature));
        match answer.verified_digest_crc32c && is_whole {
            true => Ok(answer.signature.into()),
            false => Err(GcpKmsError::Damaged),
        }
    }
}

impl RemoteSigner for GcpKms {
    fn backend(&self) -> &'static str {
        "gcpkms"
    }

    fn sign_digest<'a>(&'a self, digest: &'a [u8]) -> RemoteFuture<'a> {
        Box::pin(self.ask(digest))
    }
}
