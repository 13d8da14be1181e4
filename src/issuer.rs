//! The only user of the CA key: `Draft` -> `Precertificate`, `Logged` -> `IssuedCertificate`.

pub mod ceremony;
pub mod chain;
mod check;
mod tbs;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use const_oid::db::rfc6962::{CT_PRECERT_POISON, CT_PRECERT_SCTS};
use der::{
    Decode, Encode,
    asn1::{Null, OctetString},
};
use tls_codec::DeserializeBytes;
use x509_cert::{
    ext::{
        Extension,
        pkix::{
            SignedCertificateTimestampList,
            sct::{SerializedSct, SignedCertificateTimestamp},
        },
    },
    name::Name,
    spki::SubjectPublicKeyInfoRef,
};

pub use self::{
    chain::{CertificateChain, ChainError},
    check::CheckError,
};
use self::{
    check::CheckedPrecertificate,
    tbs::{Contents, Names, PublicHalf},
};
use crate::{
    key::{KeyError, SigningKey},
    log::{Logged, VerifiedSct},
    pem_block,
    profile::Draft,
};

/// The CA: a key and the chain that speaks for it.
pub struct Issuer {
    key: Arc<dyn SigningKey>,
    public: PublicHalf,
    chain: Arc<CertificateChain>,
    key_hash: [u8; 32],
}

impl Issuer {
    /// Binds a key to its chain: the key must be the issuing certificate's and must sign.
    ///
    /// # Errors
    /// [`IssuerError::KeyMismatch`] if it is another key, and whatever keeps the key from signing.
    pub async fn new(key: Arc<dyn SigningKey>, chain: CertificateChain) -> Result<Self, IssuerError> {
        let certified = chain
            .issuing()
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()?;
        if certified != key.spki_der() {
            return Err(IssuerError::KeyMismatch);
        }
        let public = PublicHalf::of(key.as_ref())?;
        let key_hash = sha256(&certified);
        let issuer = Self {
            key,
            public,
            chain: Arc::new(chain),
            key_hash,
        };
        issuer.self_test().await?;
        Ok(issuer)
    }

    /// The CA's certificates.
    #[must_use]
    pub fn chain(&self) -> &Arc<CertificateChain> {
        &self.chain
    }

    /// Signs the precertificate (RFC 6962 3.1): the draft with the poison, which no client accepts.
    ///
    /// # Errors
    /// If the draft does not pass its checks, or the key does not sign.
    pub async fn sign_precert(&self, draft: Draft) -> Result<Precertificate, IssuerError> {
        let tbs = tbs::append(&tbs::encode(contents(&draft), &self.public)?, &poison()?)?;
        let checked = check::precertificate(&tbs, &self.chain, self.key.algorithm())?;
        let der = self.sign(&tbs).await?;
        Ok(Precertificate {
            draft,
            checked,
            der,
            issuer_key_hash: self.key_hash,
        })
    }

    /// Signs the certificate: the precertificate with its SCTs in the poison's place, and nothing else.
    ///
    /// # Errors
    /// If the two do not correspond, or the key does not sign.
    pub async fn sign_final(&self, logged: Logged) -> Result<IssuedCertificate, IssuerError> {
        let precertificate = logged.precertificate();
        let scts: Vec<&[u8]> = logged.scts().iter().map(VerifiedSct::tls).collect();
        let final_tbs = tbs::append(precertificate.bare_tbs(), &timestamp_list(&scts)?)?;
        let checked = check::correspond(&precertificate.checked, &final_tbs, &scts)?;
        let der = self.sign(&final_tbs).await?;
        check::signed(&checked, &der)?;
        Ok(IssuedCertificate {
            der,
            logged,
            chain: Arc::clone(&self.chain),
        })
    }

    async fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, IssuerError> {
        let signature = self.key.sign(tbs).await?;
        Ok(tbs::assemble(tbs, self.key.algorithm(), &signature)?)
    }

    async fn self_test(&self) -> Result<(), IssuerError> {
        let message = b"mayfly: CA key self-test";
        let signature = self.key.sign(message).await?;
        let key = SubjectPublicKeyInfoRef::from_der(self.key.spki_der())?;
        if self.key.algorithm().verifies(&key, message, &signature) {
            Ok(())
        } else {
            Err(IssuerError::KeyMismatch)
        }
    }
}

/// A signed precertificate. Logging consumes it, so that it leads to one certificate at most.
#[derive(Debug)]
pub struct Precertificate {
    draft: Draft,
    checked: CheckedPrecertificate,
    der: Vec<u8>,
    issuer_key_hash: [u8; 32],
}

impl Precertificate {
    /// What it certifies.
    #[must_use]
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// DER, signed, with the poison.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// DER of the TBSCertificate without the poison: what the SCT signs (RFC 6962 3.2).
    #[must_use]
    pub fn bare_tbs(&self) -> &[u8] {
        self.checked.bare_tbs()
    }

    /// SHA-256 of the issuing key's DER SubjectPublicKeyInfo (RFC 6962 3.2).
    #[must_use]
    pub fn issuer_key_hash(&self) -> [u8; 32] {
        self.issuer_key_hash
    }
}

/// A certificate that is in the log, with its chain.
#[derive(Debug)]
pub struct IssuedCertificate {
    der: Vec<u8>,
    logged: Logged,
    chain: Arc<CertificateChain>,
}

impl IssuedCertificate {
    /// DER of the leaf.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The logs' promises, and the precertificate they were made for.
    #[must_use]
    pub fn logged(&self) -> &Logged {
        &self.logged
    }

    /// One PEM block per certificate, leaf first, root last.
    #[must_use]
    pub fn to_pem(&self) -> Vec<String> {
        let leaf = pem_block::encode("CERTIFICATE", &self.der);
        std::iter::once(leaf)
            .chain(self.chain.pem().iter().cloned())
            .collect()
    }
}

fn contents(draft: &Draft) -> Contents {
    Contents {
        serial: draft.serial().clone(),
        validity: *draft.validity(),
        key: draft.applicant().key().spki().clone(),
        names: Names {
            issuer: draft.issuer().clone(),
            subject: Name::default(),
        },
        extensions: draft.extensions().to_vec(),
    }
}

fn poison() -> Result<Extension, der::Error> {
    Ok(Extension {
        extn_id: CT_PRECERT_POISON,
        critical: true,
        extn_value: OctetString::new(Null.to_der()?)?,
    })
}

/// The SCT list extension (RFC 6962 3.3) of SCTs in their TLS encoding.
fn timestamp_list(scts: &[&[u8]]) -> Result<Extension, IssuerError> {
    let serialized = |sct: &&[u8]| {
        let sct = SignedCertificateTimestamp::tls_deserialize_exact_bytes(sct)?;
        SerializedSct::new(sct)
    };
    let scts = scts.iter().map(serialized).collect::<Result<Vec<_>, _>>();
    let scts = scts.map_err(IssuerError::Timestamp)?;
    let list = SignedCertificateTimestampList::new(&scts).map_err(|_| IssuerError::TimestampList)?;
    Ok(Extension {
        extn_id: CT_PRECERT_SCTS,
        critical: false,
        extn_value: OctetString::new(list.to_der()?)?,
    })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Why the CA did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// The key is not the one in the issuing certificate.
    #[error("the CA key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// The key did not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What was built does not obey the profile.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A certificate could not be built.
    #[error("a certificate could not be built")]
    Build(#[from] x509_cert::builder::Error),
    /// A certificate could not be encoded.
    #[error("a certificate could not be encoded")]
    Encoding(#[from] der::Error),
    /// A log's SCT is not one.
    #[error("a log's SCT could not be read")]
    Timestamp(#[source] tls_codec::Error),
    /// The SCT list could not be encoded.
    #[error("the SCT list could not be encoded")]
    TimestampList,
}
