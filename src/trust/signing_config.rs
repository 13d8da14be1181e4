//! `signing_config.json`: where a client logs in and where it gets its certificate.

use serde::Serialize;

use super::{TrustError, ValidFor, to_json};
use crate::clock::Timestamp;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/// Clients look for version 1 of every service, although the CA's paths say v2.
const MAJOR_API_VERSION: u32 = 1;

/// The signing config of one CA and one identity provider, and of a timestamp authority if there is one. What is absent has no
/// selector either: sigstore-js refuses a selector without a service.
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
    operator: String,
}

impl SigningConfig {
    /// The CA's origin and the issuer's URL, both without a trailing slash, and since when they serve. `operator`
    /// tells instances apart: clients use one service of each operator.
    ///
    /// # Errors
    /// [`TrustError::Time`].
    pub fn new(ca_url: &str, issuer_url: &str, operator: &str, start: Timestamp) -> Result<Self, TrustError> {
        Ok(Self {
            media_type: MEDIA_TYPE,
            ca_urls: vec![Service::new(ca_url, operator, start)?],
            oidc_urls: vec![Service::new(issuer_url, operator, start)?],
            tsa_urls: Vec::new(),
            tsa_config: None,
        })
    }

    /// With the timestamp authority at `url`, its path included. Clients then put a timestamp into every bundle.
    ///
    /// # Errors
    /// [`TrustError::Time`].
    pub fn with_timestamp_authority(
        mut self,
        url: &str,
        operator: &str,
        start: Timestamp,
    ) -> Result<Self, TrustError> {
        self.tsa_urls.push(Service::new(url, operator, start)?);
        self.tsa_config = Some(ANY);
        Ok(self)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl Service {
    fn new(url: &str, operator: &str, start: Timestamp) -> Result<Self, TrustError> {
        Ok(Self {
            url: url.to_owned(),
            major_api_version: MAJOR_API_VERSION,
            valid_for: ValidFor::since(start).ok_or(TrustError::Time)?,
            operator: operator.to_owned(),
        })
    }
}
