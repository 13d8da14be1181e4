//! `trusted_root.json`: whose certificates and whose SCTs count.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use der::{Tag, Tagged, asn1::ObjectIdentifier};
use serde::Serialize;
use x509_cert::name::Name;

use super::{
    TrustError, TrustMaterial, TrustedAuthority, ValidFor,
    known_log::{CtLog, Entry},
    to_json,
};

const COMMON_NAME: ObjectIdentifier = const_oid::db::rfc4519::CN;
const ORGANIZATION: ObjectIdentifier = const_oid::db::rfc4519::O;

/// The trusted root of an instance: its CAs, each from its issuing certificate's notBefore to the end that the
/// operator set, and its logs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRoot {
    media_type: &'static str,
    tlogs: [(); 0],
    certificate_authorities: Vec<CertificateAuthority>,
    ctlogs: Vec<Entry>,
    timestamp_authorities: [(); 0],
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
        Ok(Self {
            media_type: Self::MEDIA_TYPE,
            tlogs: [],
            certificate_authorities: authorities.collect::<Result<_, _>>()?,
            ctlogs: material.logs.iter().map(CtLog::entry).collect::<Result<_, _>>()?,
            timestamp_authorities: [],
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl CertificateAuthority {
    fn new(uri: &str, authority: &TrustedAuthority) -> Result<Self, TrustError> {
        let raw = |der: &Vec<u8>| RawCertificate {
            raw_bytes: STANDARD.encode(der),
        };
        Ok(Self {
            subject: DistinguishedName::of(authority),
            uri: uri.to_owned(),
            cert_chain: Chain {
                certificates: authority.chain.der().iter().map(raw).collect(),
            },
            valid_for: ValidFor::new(authority.since(), authority.until)?,
        })
    }
}

impl DistinguishedName {
    pub(super) fn of(authority: &TrustedAuthority) -> Self {
        let subject = authority.chain.issuing().tbs_certificate().subject();
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
