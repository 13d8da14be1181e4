//! Where clients reach an instance.

use std::{fmt, str::FromStr};

use url::Url;

use crate::loopback::is_loopback;

/// The origin of the API as clients see it, such as `https://ca.example.com`: without a path, since sigstore-python
/// and the gRPC clients drop one, and without a trailing slash, since others append to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Not such a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not where clients can reach a CA: write it as https://ca.example.com, without a path")]
pub struct PublicUrlError(String);

impl PublicUrl {
    /// Without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether tokens would cross a network in the clear: plain HTTP to another machine.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        let url = Url::parse(&self.0).ok();
        url.is_none_or(|url| url.scheme() == "http" && !url.host().is_some_and(|host| is_loopback(&host)))
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let refused = || PublicUrlError(text.to_owned());
        let url = Url::parse(text).map_err(|_| refused())?;
        let has_more = url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some();
        match matches!(url.scheme(), "http" | "https") && url.has_host() && !has_more {
            true => Ok(Self(url.as_str().trim_end_matches('/').to_owned())),
            false => Err(refused()),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_and_nothing_else() {
        for (text, url, insecure) in [
            ("https://ca.example.com", "https://ca.example.com", false),
            ("HTTPS://CA.example.com:443/", "https://ca.example.com", false),
            (
                "https://ca.example.com:8443",
                "https://ca.example.com:8443",
                false,
            ),
            ("http://127.0.0.1:5555", "http://127.0.0.1:5555", false),
            ("http://[::1]:5555/", "http://[::1]:5555", false),
            ("http://ca.example.com", "http://ca.example.com", true),
        ] {
            let read: PublicUrl = text.parse().unwrap();
            assert_eq!((read.as_str(), read.is_insecure()), (url, insecure));
        }
        for text in [
            "",
            "ca.example.com",
            "ftp://ca.example.com",
            "https://",
            "https://ca.example.com/ca",
            "https://ca.example.com/?x",
            "https://ca.example.com/#x",
            "https://a@ca.example.com",
            "https://a:b@ca.example.com",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }
}
