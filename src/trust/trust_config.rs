//! `trust_config.json`: both files in one, as sigstore-python wants them (`ClientTrustConfig`).

use serde::Serialize;

use super::{SigningConfig, TrustedRoot, to_json};

/// A trusted root and a signing config.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustConfig {
    media_type: &'static str,
    trusted_root: TrustedRoot,
    signing_config: SigningConfig,
}

impl TrustConfig {
    /// What the file says that it is, also as a `Content-Type`.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

    pub(super) fn new(trusted_root: TrustedRoot, signing_config: SigningConfig) -> Self {
        Self {
            media_type: Self::MEDIA_TYPE,
            trusted_root,
            signing_config,
        }
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}
