//! `signing_config.json`: where a client logs in and where it gets its certificate.

use serde::Serialize;

use super::{TrustError, ValidFor, to_json};
use crate::clock::Timestamp;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/// Clients look for version 1 of both services, although the CA's paths say v2.
const MAJOR_API_VERSION: u32 = 1;

/// The signing config of one CA and one identity provider. Rekor and timestamp authority are absent, and so are
/// their selectors: sigstore-js refuses a selector without a service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningConfig {
    media_type: &'static str,
    ca_urls: Vec<Service>,
    oidc_urls: Vec<Service>,
}

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
        let valid_for = ValidFor::since(start).ok_or(TrustError::Time)?;
        let service = |url: &str| Service {
            url: url.to_owned(),
            major_api_version: MAJOR_API_VERSION,
            valid_for: valid_for.clone(),
            operator: operator.to_owned(),
        };
        Ok(Self {
            media_type: MEDIA_TYPE,
            ca_urls: vec![service(ca_url)],
            oidc_urls: vec![service(issuer_url)],
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}
