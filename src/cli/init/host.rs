//! The CA's public name.

use std::{fmt, str::FromStr};

use url::Url;

/// Host, and port if it is not 443, in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host(String);

/// Not the name of a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the public name of a CA: write it as ca.example.com, without a path; clients reach it by https"
)]
pub(super) struct HostError(String);

impl Host {
    /// Where clients reach the CA.
    pub(super) fn url(&self) -> String {
        format!("https://{self}")
    }

    /// The name of its log.
    pub(super) fn log_origin(&self) -> String {
        format!("{self}/log")
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let refused = || HostError(text.to_owned());
        let name = text.strip_prefix("https://").unwrap_or(text);
        let name = name.strip_suffix('/').unwrap_or(name).to_lowercase();
        let url = Url::parse(&format!("https://{name}/")).map_err(|_| refused())?;
        let normal = url.as_str().trim_start_matches("https://").trim_end_matches('/');
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        match has_host && normal == name && !name.contains(['/', '@', '?', '#', '+']) {
            true => Ok(Self(name)),
            false => Err(refused()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_its_url() {
        for (text, name) in [
            ("ca.example.com", "ca.example.com"),
            ("https://CA.example.com/", "ca.example.com"),
            ("ca.example.com:8443", "ca.example.com:8443"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.to_string(), name);
            assert_eq!(host.log_origin(), format!("{name}/log"));
        }
        for text in [
            "",
            "http://ca.example.com",
            "ca.example.com/ca",
            "ca example.com",
            "a@ca.example.com",
            "https://",
            "ca.example.com?x",
            "ca.example.com:443",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
