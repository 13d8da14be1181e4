//! `trusted_root.json`: whose certificates and whose SCTs count.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use der::{Tag, Tagged, asn1::ObjectIdentifier};
use serde::Serialize;
use x509_cert::name::Name;

use super::{
    TrustError, TrustMaterial, TrustedAuthority, TrustedTimestamps, ValidFor,
    known_log::{CtLog, Entry},
    to_json,
};

const COMMON_NAME: ObjectIdentifier = const_oid::db::rfc4519::CN;
const ORGANIZATION: ObjectIdentifier = const_oid::db::rfc4519::O;

/// The trusted root of an instance: its CAs, each from its issuing certificate's notBefore to the end that the
/// operator set, its logs, and its timestamp authority.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRoot {
    media_type: &'static str,
    tlogs: [(); 0],
    certificate_authorities: Vec<CertificateAuthority>,
    ctlogs: Vec<Entry>,
    timestamp_authorities: Vec<CertificateAuthority>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateAuthority {
    subject: DistinguishedName,
    uri: String,
    cert_chain: Chain,
    valid_for: ValidFor,
}

/// Empty texts where there is no such attribute. Clients only show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DistinguishedName {
    organization: String,
    common_name: String,
}

#[derive(Clone, Debug, Serialize)]
struct Chain {
    certificates: Vec<RawCertificate>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RawCertificate {
    raw_bytes: String,
}

impl TrustedRoot {
    /// What the file says that it is, also as a `Content-Type`. The specification says v0.2, but sigstore-go and
    /// sigstore-python accept this one only.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

    pub(super) fn new(material: &TrustMaterial) -> Result<Self, TrustError> {
        let authorities = material.authorities.iter();
        let authorities = authorities.map(|authority| CertificateAuthority::new(&material.uri, authority));
        let timestamp_url = material.timestamp_url();
        let timestamp_uri = timestamp_url.as_deref().unwrap_or(&material.uri);
        let timestamps = material.timestamp_authorities();
        let timestamps = timestamps
            .iter()
            .map(|authority| CertificateAuthority::of_timestamps(timestamp_uri, authority));
        Ok(Self {
            media_type: Self::MEDIA_TYPE,
            tlogs: [],
            certificate_authorities: authorities.collect::<Result<_, _>>()?,
            ctlogs: material.logs.iter().map(CtLog::entry).collect::<Result<_, _>>()?,
            timestamp_authorities: timestamps.collect::<Result<_, _>>()?,
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl Chain {
    fn of(der: &[Vec<u8>]) -> Self {
        let raw = |der: &Vec<u8>| RawCertificate {
            raw_bytes: STANDARD.encode(der),
        };
        Self {
            certificates: der.iter().map(raw).collect(),
        }
    }
}

impl CertificateAuthority {
    fn new(uri: &str, authority: &TrustedAuthority) -> Result<Self, TrustError> {
        Ok(Self {
            subject: DistinguishedName::of(authority),
            uri: uri.to_owned(),
            cert_chain: Chain::of(authority.chain.der()),
            valid_for: ValidFor::new(authority.since(), authority.until)?,
        })
    }

    /// It counts from its own certificate's notBefore on.
    fn of_timestamps(uri: &str, authority: &TrustedTimestamps) -> Result<Self, TrustError> {
        Ok(Self {
            subject: DistinguishedName::new(authority.chain.signer().tbs_certificate().subject()),
            uri: uri.to_owned(),
            cert_chain: Chain::of(authority.chain.der()),
            valid_for: ValidFor::new(authority.since(), authority.until)?,
        })
    }
}

impl DistinguishedName {
    pub(super) fn of(authority: &TrustedAuthority) -> Self {
        Self::new(authority.chain.issuing().tbs_certificate().subject())
    }

    fn new(subject: &Name) -> Self {
        Self {
            organization: attribute(subject, ORGANIZATION),
            common_name: attribute(subject, COMMON_NAME),
        }
    }

    /// Who runs it, by its certificate.
    pub(super) fn operator(&self) -> Option<&str> {
        let names = [&self.organization, &self.common_name];
        names
            .into_iter()
            .find(|name| !name.is_empty())
            .map(String::as_str)
    }
}

/// The first value of an attribute in one of the usual string types; empty if there is none.
fn attribute(name: &Name, oid: ObjectIdentifier) -> String {
    name.iter()
        .find(|attribute| attribute.oid == oid)
        .filter(|attribute| {
            matches!(
                attribute.value.tag(),
                Tag::Utf8String | Tag::PrintableString | Tag::Ia5String
            )
        })
        .map(|attribute| String::from_utf8_lossy(attribute.value.value()).into_owned())
        .unwrap_or_default()
}
