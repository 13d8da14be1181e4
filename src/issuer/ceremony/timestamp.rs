//! The certificate of a timestamp authority, by a root.

use std::time::Duration;

use const_oid::db::rfc5280::ID_KP_TIME_STAMPING;
use der::{Decode, flagset::FlagSet};
use x509_cert::{
    Certificate,
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, KeyUsages},
    },
    name::Name,
};

use super::{
    CeremonyError, KeyKind, LIFETIME, NewAuthority, Party, Root, generate_key, request_with, self_signed,
};
use crate::{
    clock::Timestamp,
    key::{SigningKey, SoftwareKey},
    profile::{Critical, extension, subject_key_identifier},
};

/// The names of a new timestamp authority's two certificates.
#[derive(Clone, Debug)]
pub struct TimestampNames {
    /// Subject, and issuer, of the root.
    pub root: Name,
    /// Subject of the certificate that signs times.
    pub authority: Name,
}

/// Makes a root and a timestamp authority under it with new keys, valid for ten years from `now`. The root's key was used once
/// and is gone.
///
/// # Errors
/// If no key can be made, or a certificate cannot be encoded.
pub async fn generate_timestamp_authority(
    names: TimestampNames,
    kind: KeyKind,
    now: Timestamp,
) -> Result<NewAuthority, CeremonyError> {
    let root_key = SoftwareKey::from_pkcs8_der(&generate_key(kind)?)?;
    let key = generate_key(kind)?;
    let authority_key = SoftwareKey::from_pkcs8_der(&key)?;
    let root_der = self_signed(names.root, &root_key, LIFETIME, now).await?;
    let keys: (&dyn SigningKey, &dyn SigningKey) = (&root_key, &authority_key);
    let root = Certificate::from_der(&root_der)?;
    let certificate = certify_timestamp_authority(&root, names.authority, keys, LIFETIME, now).await?;
    Ok(NewAuthority {
        chain: vec![certificate, root_der],
        key,
    })
}

/// Makes the certificate (DER) of a timestamp authority, below a root that is there already: valid from `now`, for `lifetime` or
/// until the root ends. The root's key is the first.
///
/// # Errors
/// If the first key is not the root's, the keys are one, the root's does not sign, or the certificate cannot be encoded.
pub async fn certify_timestamp_authority(
    root: &Certificate,
    name: Name,
    (root_key, authority_key): (&dyn SigningKey, &dyn SigningKey),
    lifetime: Duration,
    now: Timestamp,
) -> Result<Vec<u8>, CeremonyError> {
    if root_key.spki_der() == authority_key.spki_der() {
        return Err(CeremonyError::RootSignsTimes);
    }
    let root = Root::new(root, root_key)?;
    let validity = root.validity(now, lifetime)?;
    let authority = Party::new(name, authority_key)?;
    let root_key = AuthorityKeyIdentifier {
        key_identifier: Some(root.identifier.0),
        ..Default::default()
    };
    let mut extensions = purpose()?;
    extensions.extend([
        extension(&subject_key_identifier(&authority.spki)?, Critical::No)?,
        extension(&root_key, Critical::No)?,
    ]);
    let contents = authority.contents(&root.party, validity, extensions)?;
    root.party.sign(contents).await
}

/// The request (PKCS#10, RFC 2986; DER) for a timestamp authority's certificate by a root elsewhere. It asks for the extensions that
/// the certificate must have.
///
/// # Errors
/// If the key does not sign, or the request cannot be encoded.
pub async fn request_timestamp_authority(name: Name, key: &dyn SigningKey) -> Result<Vec<u8>, CeremonyError> {
    request_with(purpose()?, name, key).await
}

/// RFC 3161 2.3: for timestamping and nothing else, critically.
fn purpose() -> Result<Vec<Extension>, CeremonyError> {
    Ok(vec![
        extension(
            &KeyUsage(FlagSet::from(KeyUsages::DigitalSignature)),
            Critical::Yes,
        )?,
        extension(&ExtendedKeyUsage(vec![ID_KP_TIME_STAMPING]), Critical::Yes)?,
    ])
}
