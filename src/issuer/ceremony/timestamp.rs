//! The certificate of a timestamp authority, by a root.

use std::time::Duration;

use const_oid::db::rfc5280::ID_KP_TIME_STAMPING;
use der::flagset::FlagSet;
use x509_cert::{
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, KeyUsages},
    },
    name::Name,
    time::Validity,
};

use super::{CeremonyError, KeyKind, LIFETIME, NewAuthority, Party, generate_key, root_extensions, validity};
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
    let root = Party::new(names.root.clone(), &root_key)?;
    let extensions = root_extensions(&subject_key_identifier(&root.spki)?)?;
    let root_certificate = root
        .sign(root.contents(&root, lasting(now, LIFETIME)?, extensions)?)
        .await?;
    let keys: (&dyn SigningKey, &dyn SigningKey) = (&root_key, &authority_key);
    let certificate = certify_timestamp_authority(names, keys, LIFETIME, now).await?;
    Ok(NewAuthority {
        chain: vec![certificate, root_certificate],
        key,
    })
}

/// Makes the certificate of a timestamp authority under a root, with keys that are there already, the root's first; valid from
/// `now`. DER.
///
/// # Errors
/// If the keys are one, the root's does not sign, or the certificate cannot be encoded.
pub async fn certify_timestamp_authority(
    names: TimestampNames,
    (root_key, authority_key): (&dyn SigningKey, &dyn SigningKey),
    lifetime: Duration,
    now: Timestamp,
) -> Result<Vec<u8>, CeremonyError> {
    if root_key.spki_der() == authority_key.spki_der() {
        return Err(CeremonyError::RootSignsTimes);
    }
    let root = Party::new(names.root, root_key)?;
    let authority = Party::new(names.authority, authority_key)?;
    let extensions = authority_extensions(&authority, &root)?;
    let contents = authority.contents(&root, lasting(now, lifetime)?, extensions)?;
    root.sign(contents).await
}

fn lasting(now: Timestamp, lifetime: Duration) -> Result<Validity, CeremonyError> {
    let from = Duration::from_secs(now.unix_seconds());
    validity(from, from.saturating_add(lifetime))
}

/// RFC 3161 2.3: for timestamping and nothing else, critically.
fn authority_extensions(authority: &Party<'_>, root: &Party<'_>) -> Result<Vec<Extension>, CeremonyError> {
    let root_key = AuthorityKeyIdentifier {
        key_identifier: Some(subject_key_identifier(&root.spki)?.0),
        ..Default::default()
    };
    Ok(vec![
        extension(
            &KeyUsage(FlagSet::from(KeyUsages::DigitalSignature)),
            Critical::Yes,
        )?,
        extension(&ExtendedKeyUsage(vec![ID_KP_TIME_STAMPING]), Critical::Yes)?,
        extension(&subject_key_identifier(&authority.spki)?, Critical::No)?,
        extension(&root_key, Critical::No)?,
    ])
}
