//! `signing_config.json`: where a client logs in and where it gets its certificate.

use serde::Serialize;

use super::{TrustError, TrustMaterial, ValidFor, to_json, trusted_root::DistinguishedName};

/// Clients look for version 1 of every service, although the CA's paths say v2.
const MAJOR_API_VERSION: u32 = 1;

/// The signing config of one CA and its identity providers, and of its timestamp authority if there is one. What is absent
/// has no selector either: sigstore-js refuses a selector without a service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningConfig {
    media_type: &'static str,
    ca_urls: Vec<Service>,
    oidc_urls: Vec<Service>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tsa_urls: Vec<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tsa_config: Option<Selection>,
}

/// Which of several services clients use.
#[derive(Clone, Debug, Serialize)]
struct Selection {
    selector: &'static str,
}

/// Any of them. sigstore-js knows no other.
const ANY: Selection = Selection { selector: "ANY" };

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    url: String,
    major_api_version: u32,
    valid_for: ValidFor,
    /// Tells instances apart: clients use one service of each operator.
    operator: String,
}

impl SigningConfig {
    /// What the file says that it is, also as a `Content-Type`.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

    pub(super) fn new(material: &TrustMaterial) -> Result<Self, TrustError> {
        let url = material.url.as_ref().ok_or(TrustError::NoUrl)?;
        let valid_for = ValidFor::new(material.signing.since(), None)?;
        let subject = DistinguishedName::of(&material.signing);
        let operator = subject.operator().unwrap_or(url.as_str());
        let service = |url: &str| Service {
            url: url.to_owned(),
            major_api_version: MAJOR_API_VERSION,
            valid_for: valid_for.clone(),
            operator: operator.to_owned(),
        };
        let identity_providers = material.identity_providers.iter();
        let timestamps = material.timestamp_url();
        Ok(Self {
            media_type: Self::MEDIA_TYPE,
            ca_urls: vec![service(url.as_str())],
            oidc_urls: identity_providers.map(|url| service(url)).collect(),
            tsa_config: timestamps.is_some().then_some(ANY),
            tsa_urls: timestamps.iter().map(|url| service(url)).collect(),
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}
