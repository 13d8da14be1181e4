//! `Applicant` -> `Draft`: all certificate policy (Fulcio's certificate specification) in one place.

use std::{ops::RangeInclusive, time::Duration};

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand::{SecureRandom, SystemRandom},
};
use const_oid::{AssociatedOid, db::rfc5280::ID_KP_CODE_SIGNING};
use der::{
    Any, Encode,
    asn1::{Ia5String, ObjectIdentifier, OctetString},
    flagset::FlagSet,
};
use x509_cert::{
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
            SubjectKeyIdentifier,
            name::{GeneralName, OtherName},
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::{Time, Validity},
};

use crate::{clock::Timestamp, identity::SubjectName, issuer::CertificateChain, proof::Applicant};

/// How long a certificate lives: what every client assumes (Fulcio's certificate specification).
pub const LIFETIME: Duration = Duration::from_secs(600);

/// RFC 5280 4.1.2.2 allows 20 octets; the second-highest bit is set so that the length never varies,
/// the highest cleared so that the number is positive. 158 bits are random.
const SERIAL_OCTETS: usize = 20;

/// otherName of a `username` identity: a UTF8String `name!domain` (Fulcio's OID directory).
const USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// The certificate policy, bound to the CA certificate that will sign.
#[derive(Debug)]
pub struct Profile {
    issuer: Name,
    authority_key: Extension,
    chain_validity: RangeInclusive<Duration>,
}

/// A certificate that policy allows and nobody has signed yet. Only [`Profile::draft`] makes one, and
/// signing consumes it.
#[derive(Debug)]
pub struct Draft {
    applicant: Applicant,
    serial: SerialNumber,
    validity: Validity,
    issuer: Name,
    extensions: Vec<Extension>,
}

impl Profile {
    /// The policy for leaves under `chain`.
    ///
    /// # Errors
    /// If the issuing certificate lacks what leaves must repeat of it.
    pub fn new(chain: &CertificateChain) -> Result<Self, ProfileError> {
        let issuing = chain.issuing().tbs_certificate();
        let (_, key_identifier) = issuing
            .get_extension::<SubjectKeyIdentifier>()?
            .ok_or(ProfileError::NoKeyIdentifier)?;
        let authority_key = AuthorityKeyIdentifier {
            key_identifier: Some(key_identifier.0),
            ..Default::default()
        };
        Ok(Self {
            issuer: issuing.subject().clone(),
            authority_key: extension(&authority_key, Critical::No)?,
            chain_validity: chain.validity().clone(),
        })
    }

    /// Drafts the certificate for `applicant`, valid from `now` for [`LIFETIME`], never past any of the CA's own.
    ///
    /// # Errors
    /// If the issuing certificate is not valid now, or a name does not fit into a certificate.
    pub fn draft(&self, applicant: Applicant, now: Timestamp) -> Result<Draft, ProfileError> {
        let extensions = self.extensions(&applicant)?;
        let validity = self.validity(now)?;
        Ok(Draft {
            serial: random_serial()?,
            validity,
            issuer: self.issuer.clone(),
            extensions,
            applicant,
        })
    }

    /// Whether the CA's own certificates allow it to issue at `now`.
    ///
    /// # Errors
    /// [`ProfileError::IssuerNotValid`] if it does not.
    pub fn check_issuer(&self, now: Timestamp) -> Result<(), ProfileError> {
        let now = Duration::from_secs(now.unix_seconds());
        if self.chain_validity.contains(&now) && now != *self.chain_validity.end() {
            Ok(())
        } else {
            Err(ProfileError::IssuerNotValid)
        }
    }

    fn validity(&self, now: Timestamp) -> Result<Validity, ProfileError> {
        self.check_issuer(now)?;
        let not_before = Duration::from_secs(now.unix_seconds());
        let not_after = not_before
            .saturating_add(LIFETIME)
            .min(*self.chain_validity.end());
        Ok(Validity::new(time(not_before)?, time(not_after)?))
    }

    /// In the order in which Fulcio's certificates carry them.
    fn extensions(&self, applicant: &Applicant) -> Result<Vec<Extension>, ProfileError> {
        let identity = applicant.identity();
        let mut extensions = vec![
            extension(
                &KeyUsage(FlagSet::from(KeyUsages::DigitalSignature)),
                Critical::Yes,
            )?,
            // Not critical: sigstore-python refuses a critical one.
            extension(&ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]), Critical::No)?,
            extension(&subject_key_identifier(applicant.key().spki())?, Critical::No)?,
            self.authority_key.clone(),
            // Critical because the subject is empty (RFC 5280 4.2.1.6).
            extension(
                &SubjectAltName(vec![general_name(identity.name())?]),
                Critical::Yes,
            )?,
        ];
        extensions.extend(identity.extensions().to_extensions()?);
        Ok(extensions)
    }
}

impl Draft {
    /// Who the certificate is for, and with which key.
    #[must_use]
    pub fn applicant(&self) -> &Applicant {
        &self.applicant
    }

    /// The serial number: 20 octets, positive.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// From when until when, in whole seconds.
    #[must_use]
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The issuing certificate's subject.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Every extension but the poison and the SCT list.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }
}

/// Whether a client that does not know an extension must refuse the certificate (RFC 5280 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Critical {
    Yes,
    No,
}

/// One extension, DER in its OCTET STRING.
pub(crate) fn extension<T: Encode + AssociatedOid>(
    value: &T,
    critical: Critical,
) -> Result<Extension, der::Error> {
    let extn_value = OctetString::new(value.to_der()?)?;
    Ok(Extension {
        extn_id: T::OID,
        critical: critical == Critical::Yes,
        extn_value,
    })
}

/// RFC 5280 4.2.1.2 method 1: SHA-1 of the public key's bits; an identifier, not a security property.
pub(crate) fn subject_key_identifier(
    key: &SubjectPublicKeyInfoOwned,
) -> Result<SubjectKeyIdentifier, der::Error> {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, key.subject_public_key.raw_bytes());
    Ok(SubjectKeyIdentifier(OctetString::new(hash.as_ref())?))
}

/// A random serial number (RFC 5280 4.1.2.2).
pub(crate) fn random_serial() -> Result<SerialNumber, ProfileError> {
    let mut octets = [0; SERIAL_OCTETS];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| ProfileError::NoRandomness)?;
    octets[0] = octets[0] & 0x7f | 0x40;
    Ok(SerialNumber::new(&octets)?)
}

/// A certificate time of whole seconds.
pub(crate) fn time(since_epoch: Duration) -> Result<Time, der::Error> {
    Ok(Time::GeneralTime(der::asn1::GeneralizedTime::from_unix_duration(
        since_epoch,
    )?))
}

fn general_name(name: &SubjectName) -> Result<GeneralName, der::Error> {
    Ok(match name {
        SubjectName::Email(address) => GeneralName::Rfc822Name(Ia5String::new(address)?),
        SubjectName::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
        SubjectName::Username(name) => GeneralName::OtherName(OtherName {
            type_id: USERNAME,
            value: Any::encode_from(name)?,
        }),
    })
}

/// Why no certificate can be drafted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// One of the CA's own certificates is expired or not yet valid.
    #[error("a certificate of this CA's own chain is not valid now: its operator must renew it")]
    IssuerNotValid,
    /// The issuing certificate has no subjectKeyIdentifier.
    #[error("the issuing certificate has no subjectKeyIdentifier")]
    NoKeyIdentifier,
    /// The operating system gave no random bytes.
    #[error("no randomness is available")]
    NoRandomness,
    /// A value that DER or IA5String cannot hold.
    #[error("the identity does not fit into a certificate")]
    Encoding(#[from] der::Error),
}
