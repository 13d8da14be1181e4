//! All files that an instance gives to clients, for those who copy them by hand or put them on a web server.

use super::{TrustError, TrustMaterial};
use crate::{clock::Timestamp, pem_block};

pub(super) const TRUSTED_ROOT: &str = "trusted_root.json";
pub(super) const SIGNING_CONFIG: &str = "signing_config.json";
pub(super) const TRUST_CONFIG: &str = "trust_config.json";

/// Certificates, PEM.
pub(super) const CERTIFICATES: &str = "ca.pem";

/// Those of the timestamp authority, its own first, PEM.
const TIMESTAMP_CERTIFICATES: &str = "tsa.pem";

/// Before and after the number in the name of a log's public key, PEM.
const LOG_KEY: (&str, &str) = ("ctlog-", ".pem");

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub contents: String,
}

impl TrustFile {
    fn new(name: impl Into<String>, contents: String) -> Self {
        let name = name.into();
        Self { name, contents }
    }
}

/// Whether a file of that name would be a log's public key.
#[must_use]
pub fn is_log_key_file(name: &str) -> bool {
    log_key_number(name).is_some()
}

/// Digits: which log's public key a file of that name would be.
pub(super) fn log_key_number(name: &str) -> Option<&str> {
    let (before, after) = LOG_KEY;
    let number = name.strip_prefix(before)?.strip_suffix(after)?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

impl TrustMaterial {
    /// The files as of `now`: `trusted_root.json`, `signing_config.json`, `trust_config.json`, `ca.pem` with the CAs'
    /// chains, `tsa.pem` with the timestamp authority's if there is one, and `ctlog-<n>.pem` with the logs' public keys in the order of the trusted root. PEM cannot say until
    /// when something is believed, so what is believed no longer is not there.
    ///
    /// # Errors
    /// [`TrustError::NoUrl`], [`TrustError::Time`].
    pub fn files(&self, now: Timestamp) -> Result<Vec<TrustFile>, TrustError> {
        let mut files = vec![
            TrustFile::new(TRUSTED_ROOT, self.trusted_root()?.to_json()),
            TrustFile::new(SIGNING_CONFIG, self.signing_config()?.to_json()),
            TrustFile::new(TRUST_CONFIG, self.trust_config()?.to_json()),
            TrustFile::new(CERTIFICATES, self.certificates(now)),
        ];
        let timestamps = self.timestamps.iter();
        files.extend(timestamps.map(|chain| TrustFile::new(TIMESTAMP_CERTIFICATES, chain.to_pem())));
        let logs = self.logs.iter().filter(|log| log.is_believed(now));
        for (number, log) in (1..).zip(logs) {
            let (before, after) = LOG_KEY;
            let key = pem_block::encode("PUBLIC KEY", &log.public_key);
            files.push(TrustFile::new(format!("{before}{number}{after}"), key));
        }
        Ok(files)
    }

    /// Each certificate once: CAs may have a root in common.
    fn certificates(&self, now: Timestamp) -> String {
        let believed = self.authorities.iter().filter(|ca| ca.is_believed(now));
        let mut certificates: Vec<&[u8]> = Vec::new();
        for der in believed.flat_map(|authority| authority.chain.der()) {
            if !certificates.contains(&der.as_slice()) {
                certificates.push(der);
            }
        }
        certificates
            .into_iter()
            .map(|der| pem_block::encode("CERTIFICATE", der))
            .collect()
    }
}
