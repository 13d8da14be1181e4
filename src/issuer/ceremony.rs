//! Makes a CA: a root that signs one intermediate, and the intermediate that signs leaves
//! (Fulcio's certificate specification).

mod error;
mod names;
mod timestamp;

use std::time::Duration;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair},
};
use const_oid::db::rfc5280::ID_KP_CODE_SIGNING;
use der::{Decode, Encode};
use x509_cert::{
    Certificate,
    builder::Builder,
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
            SubjectKeyIdentifier,
        },
    },
    name::Name,
    request::RequestBuilder,
    spki::SubjectPublicKeyInfoOwned,
    time::Validity,
};
use zeroize::Zeroizing;

pub use self::{
    error::CeremonyError,
    names::{next_intermediate, next_timestamp_authority},
    timestamp::{
        TimestampNames, certify_timestamp_authority, generate_timestamp_authority,
        request_timestamp_authority,
    },
};
use super::tbs::{self, Contents, Names, PublicHalf};
use crate::{
    clock::Timestamp,
    key::{SignatureAlgorithm, SigningKey, SoftwareKey},
    profile::{self, Critical, extension, random_serial, subject_key_identifier},
};

/// As Fulcio's specification recommends for root and intermediate: ten years.
pub const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The kind of key that root and intermediate have; both the same, as Fulcio's specification wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// NIST P-384: what Fulcio's specification asks of a root.
    EcdsaP384,
    /// NIST P-256: several times faster to sign and to verify with.
    EcdsaP256,
    /// RSA of 4096 bits: for those whose rules ask for RSA. Slow to make and to sign with.
    Rsa4096,
}

/// The names of a new CA's two certificates; common name and organisation each.
#[derive(Clone, Debug)]
pub struct AuthorityNames {
    /// Subject, and issuer, of the root.
    pub root: Name,
    /// Subject of the intermediate.
    pub intermediate: Name,
}

/// How long a new CA's certificates are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The root's.
    pub root: Duration,
    /// The intermediate's; it ends with the root at the latest.
    pub intermediate: Duration,
}

impl Default for Lifetimes {
    /// [`LIFETIME`] each.
    fn default() -> Self {
        Self {
            root: LIFETIME,
            intermediate: LIFETIME,
        }
    }
}

/// A new CA. The root's key was used once and is gone.
pub struct NewAuthority {
    /// DER, intermediate first, root last.
    pub chain: Vec<Vec<u8>>,
    /// The intermediate's key: unencrypted PKCS#8 DER, wiped on drop.
    pub key: Zeroizing<Vec<u8>>,
}

/// Makes root and intermediate with new keys, valid for ten years from `now`.
///
/// # Errors
/// If no key can be made, or a certificate cannot be encoded.
pub async fn generate(
    names: AuthorityNames,
    kind: KeyKind,
    now: Timestamp,
) -> Result<NewAuthority, CeremonyError> {
    let root = SoftwareKey::from_pkcs8_der(&generate_key(kind)?)?;
    let key = generate_key(kind)?;
    let intermediate = SoftwareKey::from_pkcs8_der(&key)?;
    let chain = certify(names, (&root, &intermediate), Lifetimes::default(), now).await?;
    Ok(NewAuthority { chain, key })
}

/// Makes the certificates of a root and an intermediate whose keys are there already, in that order, valid from `now`. DER,
/// the intermediate first.
///
/// # Errors
/// If the keys are one, or not of one scheme, the root's does not sign, or a certificate cannot be encoded.
pub async fn certify(
    names: AuthorityNames,
    (root_key, intermediate_key): (&dyn SigningKey, &dyn SigningKey),
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, CeremonyError> {
    check_pair(root_key, intermediate_key)?;
    let root_der = self_signed(names.root, root_key, lifetimes.root, now).await?;
    let root = Certificate::from_der(&root_der)?;
    let keys = (root_key, intermediate_key);
    let certificate = certify_below(&root, names.intermediate, keys, lifetimes.intermediate, now).await?;
    Ok(vec![certificate, root_der])
}

/// A root's own certificate, DER.
async fn self_signed(
    name: Name,
    key: &dyn SigningKey,
    lifetime: Duration,
    now: Timestamp,
) -> Result<Vec<u8>, CeremonyError> {
    let root = Party::new(name, key)?;
    let from = Duration::from_secs(now.unix_seconds());
    let validity = validity(from, from.saturating_add(lifetime))?;
    let extensions = root_extensions(&subject_key_identifier(&root.spki)?)?;
    root.sign(root.contents(&root, validity, extensions)?).await
}

/// Makes the certificate of another intermediate (DER), below a root that is there already: valid from `now`, for `lifetime` or until
/// the root ends.
///
/// # Errors
/// If the first key is not the root's, and as [`certify`].
pub async fn certify_below(
    root: &Certificate,
    name: Name,
    (root_key, intermediate_key): (&dyn SigningKey, &dyn SigningKey),
    lifetime: Duration,
    now: Timestamp,
) -> Result<Vec<u8>, CeremonyError> {
    let root = Root::new(root, root_key)?;
    check_pair(root_key, intermediate_key)?;
    let intermediate = Party::new(name, intermediate_key)?;
    let validity = root.validity(now, lifetime)?;
    root.party.certify(&intermediate, root.identifier, validity).await
}

fn check_pair(root: &dyn SigningKey, intermediate: &dyn SigningKey) -> Result<(), CeremonyError> {
    if root.spki_der() == intermediate.spki_der() {
        return Err(CeremonyError::OneKey);
    }
    match is_rsa(root) == is_rsa(intermediate) {
        true => Ok(()),
        false => Err(CeremonyError::Schemes),
    }
}

fn validity(from: Duration, until: Duration) -> Result<Validity, CeremonyError> {
    Ok(Validity::new(profile::time(from)?, profile::time(until)?))
}

/// The request (PKCS#10, RFC 2986; DER) for an intermediate's certificate by a root elsewhere. It asks for the extensions that the
/// certificate must have.
///
/// # Errors
/// If the key does not sign, or the request cannot be encoded.
pub async fn request(name: Name, key: &dyn SigningKey) -> Result<Vec<u8>, CeremonyError> {
    request_with(intermediate_purpose()?, name, key).await
}

async fn request_with(
    extensions: Vec<Extension>,
    name: Name,
    key: &dyn SigningKey,
) -> Result<Vec<u8>, CeremonyError> {
    let public = PublicHalf::of(key)?;
    let mut request = RequestBuilder::new(name)?;
    for extension in extensions {
        request.add_extension(extension)?;
    }
    let info = request.finalize(&public)?;
    let signature = key.sign(&info).await?;
    Ok(tbs::assemble(&info, key.algorithm(), &signature)?)
}

/// A root that is there already.
struct Root<'a> {
    party: Party<'a>,
    identifier: SubjectKeyIdentifier,
    /// When it ends, since the Unix epoch.
    end: Duration,
}

impl<'a> Root<'a> {
    fn new(certificate: &Certificate, key: &'a dyn SigningKey) -> Result<Self, CeremonyError> {
        let certified = certificate.tbs_certificate();
        if certified.subject_public_key_info().to_der()? != key.spki_der() {
            return Err(CeremonyError::AnotherRoot);
        }
        let party = Party::new(certified.subject().clone(), key)?;
        // Another tool may have made the root, with an identifier of another kind.
        let identifier = match certified.get_extension::<SubjectKeyIdentifier>()? {
            Some((_, identifier)) => identifier,
            None => subject_key_identifier(&party.spki)?,
        };
        Ok(Self {
            party,
            identifier,
            end: certified.validity().not_after.to_unix_duration(),
        })
    }

    /// Of a certificate below it.
    fn validity(&self, now: Timestamp, lifetime: Duration) -> Result<Validity, CeremonyError> {
        let from = Duration::from_secs(now.unix_seconds());
        validity(from, from.saturating_add(lifetime).min(self.end))
    }
}

struct Party<'a> {
    name: Name,
    key: &'a dyn SigningKey,
    spki: SubjectPublicKeyInfoOwned,
}

impl<'a> Party<'a> {
    fn new(name: Name, key: &'a dyn SigningKey) -> Result<Self, CeremonyError> {
        let spki = SubjectPublicKeyInfoOwned::from_der(key.spki_der())?;
        Ok(Self { name, key, spki })
    }

    fn contents(
        &self,
        issuer: &Party<'_>,
        validity: Validity,
        extensions: Vec<Extension>,
    ) -> Result<Contents, CeremonyError> {
        let names = Names {
            issuer: issuer.name.clone(),
            subject: self.name.clone(),
        };
        Ok(Contents {
            serial: random_serial()?,
            validity,
            key: self.spki.clone(),
            names,
            extensions,
        })
    }

    /// The certificate of an intermediate below this one, whose key has `identifier`.
    async fn certify(
        &self,
        intermediate: &Party<'_>,
        identifier: SubjectKeyIdentifier,
        validity: Validity,
    ) -> Result<Vec<u8>, CeremonyError> {
        let extensions = intermediate_extensions(intermediate, identifier)?;
        self.sign(intermediate.contents(self, validity, extensions)?)
            .await
    }

    async fn sign(&self, contents: Contents) -> Result<Vec<u8>, CeremonyError> {
        let tbs = tbs::encode(contents, &PublicHalf::of(self.key)?)?;
        let signature = self.key.sign(&tbs).await?;
        Ok(tbs::assemble(&tbs, self.key.algorithm(), &signature)?)
    }
}

fn is_rsa(key: &dyn SigningKey) -> bool {
    key.algorithm() == SignatureAlgorithm::RsaPkcs1Sha256
}

fn root_extensions(identifier: &SubjectKeyIdentifier) -> Result<Vec<Extension>, CeremonyError> {
    Ok(vec![
        extension(&authority_usage(), Critical::Yes)?,
        extension(&authority(None), Critical::Yes)?,
        extension(identifier, Critical::No)?,
    ])
}

fn intermediate_extensions(
    intermediate: &Party<'_>,
    root: SubjectKeyIdentifier,
) -> Result<Vec<Extension>, CeremonyError> {
    let root_key = AuthorityKeyIdentifier {
        key_identifier: Some(root.0),
        ..Default::default()
    };
    let mut extensions = intermediate_purpose()?;
    extensions.extend([
        extension(&subject_key_identifier(&intermediate.spki)?, Critical::No)?,
        extension(&root_key, Critical::No)?,
    ]);
    Ok(extensions)
}

/// What an intermediate may do, whoever signs it.
fn intermediate_purpose() -> Result<Vec<Extension>, CeremonyError> {
    Ok(vec![
        extension(&authority_usage(), Critical::Yes)?,
        extension(&ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]), Critical::No)?,
        extension(&authority(Some(0)), Critical::Yes)?,
    ])
}

fn authority(path_len_constraint: Option<u8>) -> BasicConstraints {
    BasicConstraints {
        ca: true,
        path_len_constraint,
    }
}

fn authority_usage() -> KeyUsage {
    KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)
}

/// A new private key: unencrypted PKCS#8 DER, wiped on drop. One for RSA takes seconds.
///
/// # Errors
/// [`CeremonyError::NoKey`].
pub fn generate_key(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, CeremonyError> {
    let algorithm = match kind {
        KeyKind::EcdsaP384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        KeyKind::Rsa4096 => return generate_rsa_key(),
    };
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(|_| CeremonyError::NoKey)?;
    Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
}

fn generate_rsa_key() -> Result<Zeroizing<Vec<u8>>, CeremonyError> {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa4096).map_err(|_| CeremonyError::NoKey)?;
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| CeremonyError::NoKey)?;
    Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
}

#[cfg(test)]
mod tests;
