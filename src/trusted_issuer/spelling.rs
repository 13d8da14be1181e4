//! How an issuer's URL may be spelt, and which names of issuers are nearly the same.

use std::net::Ipv6Addr;

use url::{Host, Url};

use super::IssuerNameError;

/// An issuer's URL in normal form.
pub(super) fn normal_url(text: &str) -> Result<Url, IssuerNameError> {
    let url = issuer_url(text)?;
    check_normal(text, &url)?;
    Ok(url)
}

/// An issuer's URL, however it is spelt.
pub(super) fn issuer_url(text: &str) -> Result<Url, IssuerNameError> {
    let url = Url::parse(text).map_err(|_| IssuerNameError::NotAUrl)?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(IssuerNameError::NotHttps);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(IssuerNameError::QueryOrFragment);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(IssuerNameError::UserInfo);
    }
    if let Some(host) = url.host_str()
        && host.ends_with('.')
    {
        let without = url.as_str().replacen(host, host.trim_end_matches('.'), 1);
        return Err(IssuerNameError::NotNormal(without));
    }
    Ok(url)
}

/// Whether `text` is what the parser makes of it.
pub(super) fn check_normal(text: &str, url: &Url) -> Result<(), IssuerNameError> {
    let normal = url.as_str();
    if text == normal || normal.strip_suffix('/') == Some(text) {
        return Ok(());
    }
    let bare = normal
        .strip_suffix('/')
        .filter(|_| !text.trim_end().ends_with('/'));
    Err(IssuerNameError::NotNormal(bare.unwrap_or(normal).to_owned()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The parts of a URL as they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

impl<'a> Written<'a> {
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
            _ => (authority, None),
        };
        Some(Self {
            scheme,
            host,
            port,
            path,
        })
    }

    /// Whether this is `url` with other letters in scheme or host, with its default port, or with
    /// its IPv6 address in another form: what leads to the same place, whoever reads it.
    pub(super) fn is_spelling_of(&self, url: &Url) -> bool {
        let port = url.port_or_known_default().unwrap_or_default().to_string();
        let is_port = self.port.map_or(url.port().is_none(), |written| written == port);
        let is_host = match url.host() {
            Some(Host::Domain(name)) => self.host.eq_ignore_ascii_case(name),
            Some(Host::Ipv4(address)) => self.host == address.to_string(),
            Some(Host::Ipv6(address)) => self.ipv6() == Some(address),
            None => false,
        };
        let is_path = self.path == url.path() || self.path.is_empty() && url.path() == "/";
        self.scheme.eq_ignore_ascii_case(url.scheme()) && is_host && is_port && is_path
    }

    fn ipv6(&self) -> Option<Ipv6Addr> {
        self.host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    }

    /// Equal for names between which [`NearMiss::between`] sees a difference.
    fn skeleton(&self) -> Option<String> {
        let default_port = match self.scheme.to_ascii_lowercase().as_str() {
            "https" => "443",
            "http" => "80",
            _ => return None,
        };
        let host = self.host.to_ascii_lowercase();
        let port = self.port.filter(|port| *port != default_port).unwrap_or_default();
        Some(format!("{host}:{port}{}", self.path.trim_end_matches('/')))
    }
}

/// What two names that are nearly the same have in common; `None` for a name that is near no other.
pub(super) fn skeleton(name: &str) -> Option<String> {
    Written::of(name)?.skeleton()
}

/// The issuer that was probably meant, and what its name has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    name: String,
    differences: Vec<&'static str>,
}

impl NearMiss {
    /// `None` unless the names have the same skeleton.
    pub(super) fn between(name: &str, given: &str) -> Option<Self> {
        let (own, other) = (Written::of(name)?, Written::of(given)?);
        if own.skeleton()? != other.skeleton()? {
            return None;
        }
        let same_scheme = own.scheme.eq_ignore_ascii_case(other.scheme);
        let other_letters = same_scheme && own.scheme != other.scheme || own.host != other.host;
        let differences = [
            (!same_scheme, "http or https"),
            (other_letters, "the case of letters"),
            (own.port != other.port, "the default port"),
            (own.path != other.path, "the slash at its end"),
        ];
        let differences = differences.into_iter().filter(|(differs, _)| *differs);
        Some(Self {
            name: name.to_owned(),
            differences: differences.map(|(_, what)| what).collect(),
        })
    }

    /// The name of the configured issuer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is different, in words.
    #[must_use]
    pub fn differences(&self) -> String {
        self.differences.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_nearly_the_same_say_in_what_they_differ() {
        let name = "https://ADFS.corp.example/adfs";
        for (given, differences) in [
            ("https://adfs.corp.example/adfs", "the case of letters"),
            ("HTTPS://ADFS.corp.example/adfs", "the case of letters"),
            ("https://ADFS.corp.example/adfs/", "the slash at its end"),
            ("https://ADFS.corp.example:443/adfs", "the default port"),
            ("http://ADFS.corp.example/adfs", "http or https"),
            (
                "http://ADFS.corp.example:80/adfs",
                "http or https, the default port",
            ),
            (
                "http://adfs.corp.example:80/adfs//",
                "http or https, the case of letters, the default port, the slash at its end",
            ),
        ] {
            let near = NearMiss::between(name, given).unwrap();
            assert_eq!(near.differences(), differences, "{given}");
            assert_eq!(near.name(), name);
        }
        for given in [
            "",
            "adfs.corp.example/adfs",
            "https://adfs.corp.example",
            "https://adfs.corp.example/ADFS",
            "https://adfs.corp.example/adfs?x",
            "https://adfs.corp.example/adfs ",
            " https://adfs.corp.example/adfs",
            "https://adfs.corp.example:80/adfs",
            "https://adfs.corp.example:0443/adfs",
            "https://adfs.corp.example./adfs",
            "https://a@adfs.corp.example/adfs",
            "ftp://adfs.corp.example/adfs",
        ] {
            assert_eq!(NearMiss::between(name, given), None, "{given}");
        }
    }
}
