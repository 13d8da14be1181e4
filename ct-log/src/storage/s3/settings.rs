//! Which bucket a log is in.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;

/// A place in S3-compatible object storage that a log has for itself. Credentials are not part of it: they come from the
/// environment (`AWS_ACCESS_KEY_ID` and so on), a web identity, or the role of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) partials: Partials,
    pub(super) patience: Patience,
}

/// A place that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3SettingsError {
    /// Not a bucket's name.
    #[error(
        "a bucket's name has 3 to 63 lower-case letters, digits, '.' and '-' (Amazon S3, \"Bucket naming rules\")"
    )]
    Bucket,
    /// Not a prefix.
    #[error("a prefix is names of letters, digits, '-', '_' and '.' joined by '/', such as ct/2027")]
    Prefix,
    /// Not a URL of a host.
    #[error("an endpoint is the https:// URL of a host, without path, user and query")]
    Endpoint,
    /// Not encrypted, and not this machine.
    #[error(
        "an http:// endpoint is for tests on this machine: it needs allow-http, and its host must be a loopback address"
    )]
    Plain,
}

/// Whether the partial tiles of published checkpoints are objects too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partials {
    /// Readers ask the log, which cuts them from memory.
    Virtual,
    /// Readers ask the bucket.
    Stored,
}

/// How long the log waits for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// For the answer to one request.
    pub(super) request: Duration,
    /// For an outcome, with as many requests as it takes. Readers and submitters wait meanwhile.
    pub(super) outcome: Duration,
}

impl Patience {
    /// A request takes tens of milliseconds; 4 MiB over 10 Mbit/s take 3.4 s.
    pub(super) const USUAL: Patience = Patience {
        request: Duration::from_secs(6),
        outcome: Duration::from_secs(20),
    };
}

impl S3Settings {
    /// A bucket in Amazon S3, in the region that the environment names (`AWS_REGION`), with the log at its top.
    ///
    /// # Errors
    /// The name cannot be a bucket's.
    pub fn new(bucket: impl Into<String>) -> Result<S3Settings, S3SettingsError> {
        let bucket = bucket.into();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(allowed) {
            return Err(S3SettingsError::Bucket);
        }
        Ok(S3Settings {
            bucket,
            prefix: String::new(),
            region: None,
            endpoint: None,
            partials: Partials::Virtual,
            patience: Patience::USUAL,
        })
    }

    /// Keys of the log begin with this and a slash, such as `ct/2027`.
    ///
    /// # Errors
    /// The text is empty or has characters that need escaping somewhere.
    pub fn prefix(self, prefix: impl Into<String>) -> Result<S3Settings, S3SettingsError> {
        let prefix = prefix.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed);
        if !prefix.split('/').all(name) {
            return Err(S3SettingsError::Prefix);
        }
        Ok(S3Settings { prefix, ..self })
    }

    /// The region, such as `eu-central-1`. Other stores than Amazon's often take any.
    #[must_use]
    pub fn region(self, region: impl Into<String>) -> S3Settings {
        S3Settings {
            region: Some(region.into()),
            ..self
        }
    }

    /// Another store than Amazon's, by its `https://` URL without the bucket. The path of a request begins with the bucket.
    ///
    /// # Errors
    /// Not the `https://` URL of a host.
    pub fn endpoint(self, url: &str) -> Result<S3Settings, S3SettingsError> {
        let uri = host_url(url)?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(S3SettingsError::Plain);
        }
        Ok(self.at(url))
    }

    /// The same without encryption, for a store on this machine: the host must be a loopback address.
    ///
    /// # Errors
    /// Not the `http://` URL of a loopback address.
    pub fn plain_endpoint(self, url: &str) -> Result<S3Settings, S3SettingsError> {
        let uri = host_url(url)?;
        let host = uri.host().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse();
        if uri.scheme() != Some(&Scheme::HTTP) || !address.is_ok_and(|ip: IpAddr| ip.is_loopback()) {
            return Err(S3SettingsError::Plain);
        }
        Ok(self.at(url))
    }

    /// The partial tiles of published checkpoints become objects too, and full tiles are there before a checkpoint that
    /// covers them: the bucket can be the monitoring URL. Costs a few more requests for each checkpoint.
    #[must_use]
    pub fn static_partials(self) -> S3Settings {
        S3Settings {
            partials: Partials::Stored,
            ..self
        }
    }

    #[cfg(test)]
    pub(crate) fn impatient(self, request: Duration, outcome: Duration) -> S3Settings {
        S3Settings {
            patience: Patience { request, outcome },
            ..self
        }
    }

    /// For messages: `s3://bucket/prefix`, and the endpoint if there is one.
    pub fn location(&self) -> String {
        let mut location = format!("s3://{}", self.bucket);
        if !self.prefix.is_empty() {
            location = format!("{location}/{}", self.prefix);
        }
        match &self.endpoint {
            Some(endpoint) => format!("{location} at {endpoint}"),
            None => location,
        }
    }

    fn at(self, url: &str) -> S3Settings {
        S3Settings {
            endpoint: Some(url.trim_end_matches('/').to_owned()),
            ..self
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        let endpoint = self.endpoint.as_deref();
        endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
    }
}

fn host_url(url: &str) -> Result<Uri, S3SettingsError> {
    let uri: Uri = url.parse().map_err(|_| S3SettingsError::Endpoint)?;
    let authority = uri.authority().ok_or(S3SettingsError::Endpoint)?;
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    if bare && uri.scheme().is_some() {
        Ok(uri)
    } else {
        Err(S3SettingsError::Endpoint)
    }
}
