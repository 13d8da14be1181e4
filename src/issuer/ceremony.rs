//! Makes a CA: a root that signs one intermediate, and the intermediate that signs leaves
//! (Fulcio's certificate specification).

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair},
};
use const_oid::db::rfc5280::ID_KP_CODE_SIGNING;
use der::Decode;
use x509_cert::{
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages},
    },
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
    time::Validity,
};
use zeroize::Zeroizing;

use super::tbs::{self, Contents, Names, PublicHalf};
use crate::{
    clock::Timestamp,
    key::{KeyError, SigningKey, SoftwareKey, file::KeyFileError},
    profile::{self, Critical, ProfileError, extension, random_serial, subject_key_identifier},
};

/// As Fulcio's specification recommends for root and intermediate: ten years.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The kind of key that root and intermediate have; both the same, as Fulcio's specification wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// NIST P-384: what Fulcio's specification asks of a root.
    EcdsaP384,
    /// NIST P-256: several times faster to sign and to verify with.
    EcdsaP256,
}

/// The names of a new CA's two certificates; common name and organisation each.
#[derive(Clone, Debug)]
pub struct AuthorityNames {
    /// Subject, and issuer, of the root.
    pub root: Name,
    /// Subject of the intermediate.
    pub intermediate: Name,
}

/// A new CA. The root's key was used once and is gone.
pub struct NewAuthority {
    /// DER, intermediate first, root last.
    pub chain: Vec<Vec<u8>>,
    /// The intermediate's key: unencrypted PKCS#8 DER, wiped on drop.
    pub key: Zeroizing<Vec<u8>>,
}

/// Makes root and intermediate, valid for ten years from `now`.
///
/// # Errors
/// If no key can be made, or a certificate cannot be encoded.
pub async fn generate(
    names: AuthorityNames,
    kind: KeyKind,
    now: Timestamp,
) -> Result<NewAuthority, CeremonyError> {
    let from = Duration::from_secs(now.unix_seconds());
    let validity = Validity::new(
        profile::time(from)?,
        profile::time(from.saturating_add(LIFETIME))?,
    );
    let root = Party::new(names.root, kind)?;
    let intermediate = Party::new(names.intermediate, kind)?;
    let root_certificate = root
        .certify(root.contents(&root, validity, root_extensions(&root)?)?)
        .await?;
    let extensions = intermediate_extensions(&intermediate, &root)?;
    let certificate = root
        .certify(intermediate.contents(&root, validity, extensions)?)
        .await?;
    Ok(NewAuthority {
        chain: vec![certificate, root_certificate],
        key: intermediate.pkcs8,
    })
}

struct Party {
    name: Name,
    pkcs8: Zeroizing<Vec<u8>>,
    key: SoftwareKey,
    spki: SubjectPublicKeyInfoOwned,
}

impl Party {
    fn new(name: Name, kind: KeyKind) -> Result<Self, CeremonyError> {
        let pkcs8 = generate_key(kind)?;
        let key = SoftwareKey::from_pkcs8_der(&pkcs8)?;
        let spki = SubjectPublicKeyInfoOwned::from_der(key.spki_der())?;
        Ok(Self {
            name,
            pkcs8,
            key,
            spki,
        })
    }

    fn contents(
        &self,
        issuer: &Party,
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

    async fn certify(&self, contents: Contents) -> Result<Vec<u8>, CeremonyError> {
        let tbs = tbs::encode(contents, &PublicHalf::of(&self.key)?)?;
        let signature = self.key.sign(&tbs).await?;
        Ok(tbs::assemble(&tbs, self.key.algorithm(), &signature)?)
    }
}

fn root_extensions(root: &Party) -> Result<Vec<Extension>, CeremonyError> {
    Ok(vec![
        extension(&authority_usage(), Critical::Yes)?,
        extension(
            &BasicConstraints {
                ca: true,
                path_len_constraint: None,
            },
            Critical::Yes,
        )?,
        extension(&subject_key_identifier(&root.spki)?, Critical::No)?,
    ])
}

fn intermediate_extensions(intermediate: &Party, root: &Party) -> Result<Vec<Extension>, CeremonyError> {
    let root_key = subject_key_identifier(&root.spki)?.0;
    Ok(vec![
        extension(&authority_usage(), Critical::Yes)?,
        extension(&ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]), Critical::No)?,
        extension(
            &BasicConstraints {
                ca: true,
                path_len_constraint: Some(0),
            },
            Critical::Yes,
        )?,
        extension(&subject_key_identifier(&intermediate.spki)?, Critical::No)?,
        extension(
            &AuthorityKeyIdentifier {
                key_identifier: Some(root_key),
                ..Default::default()
            },
            Critical::No,
        )?,
    ])
}

fn authority_usage() -> KeyUsage {
    KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)
}

/// A new private key: unencrypted PKCS#8 DER, wiped on drop.
fn generate_key(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, CeremonyError> {
    let algorithm = match kind {
        KeyKind::EcdsaP384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
    };
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(|_| CeremonyError::NoKey)?;
    Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
}

/// Why no CA was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// No key could be made.
    #[error("no private key could be made")]
    NoKey,
    /// The key that was made cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// It did not sign.
    #[error(transparent)]
    Sign(#[from] KeyError),
    /// No serial number could be made.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A certificate could not be built.
    #[error("a certificate could not be built")]
    Build(#[from] x509_cert::builder::Error),
    /// A certificate could not be encoded.
    #[error("a certificate could not be encoded")]
    Encoding(#[from] der::Error),
}
