//! Which hosts the key fetcher may connect to. What is checked is the very address that is connected to: literals
//! when the URL is read, names inside the client's resolver, so that a second DNS answer cannot differ from the first.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::ServiceAccount;
use crate::trusted_issuer::IssuerName;

/// Whether issuers on this machine's loopback interface may be used, and without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopbackHttp {
    /// HTTPS to addresses outside this machine only, but for hosts that are named one by one.
    Refused,
    /// Also `http://localhost`, `http://127.0.0.1` and the like: for development and tests.
    Allowed,
}

/// Where keys may be fetched from.
#[derive(Clone, Debug)]
pub struct FetchPolicy {
    loopback: LoopbackHttp,
    private_hosts: HashSet<String>,
    service_account: ServiceAccount,
}

impl FetchPolicy {
    /// HTTPS to public addresses, and what `loopback` says of every loopback host.
    #[must_use]
    pub fn new(loopback: LoopbackHttp) -> Self {
        Self {
            loopback,
            private_hosts: HashSet::new(),
            service_account: ServiceAccount::default(),
        }
    }

    /// Takes what the cluster's own issuer needs from another place.
    #[must_use]
    pub fn with_service_account(mut self, service_account: ServiceAccount) -> Self {
        self.service_account = service_account;
        self
    }

    /// What else holds for one configured issuer: its own host may have a private address where the operator wrote the
    /// address itself, or the name of the API server inside a cluster. A pattern names no such host.
    pub(super) fn for_issuer(&self, name: &IssuerName) -> Option<Self> {
        let IssuerName::Exact(url) = name else {
            return None;
        };
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
        let host = url.host()?;
        let is_meant = literal(&host).is_some() || self.service_account.is_for(&host.to_string());
        is_meant.then(|| self.clone().with_private_hosts([host.to_string()]))
    }

    /// What the API server at this host wants, if it is one.
    pub(super) fn service_account(&self, host: &str) -> Option<&ServiceAccount> {
        Some(&self.service_account).filter(|account| account.is_for(host))
    }

    /// Lets these hosts (names or literals, in lower case, as in the URL) have private addresses (RFC 1918, RFC 6598,
    /// RFC 4193) or loopback ones, the latter also without TLS. Link-local addresses, where clouds keep their metadata
    /// services, stay refused.
    #[must_use]
    pub fn with_private_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.private_hosts.extend(hosts);
        self
    }

    /// Checks scheme and host of a URL to fetch from; a host that is a name is checked again when it resolves.
    ///
    /// # Errors
    /// Why it is not fetched.
    pub(super) fn check(&self, url: &str) -> Result<Url, UrlError> {
        let url = Url::parse(url).map_err(|_| UrlError::NotAUrl)?;
        let host = url.host().ok_or(UrlError::NotAUrl)?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(UrlError::UnexpectedPart);
        }
        let name = host.to_string();
        match url.scheme() {
            "https" => {}
            "http" if !is_loopback(&host) => return Err(UrlError::NotHttps),
            "http" if !self.permits_loopback(&name) => return Err(UrlError::PlainLoopback),
            "http" => {}
            _ => return Err(UrlError::NotHttps),
        }
        if let Some(address) = literal(&host)
            && !self.permits(&name, address)
        {
            return Err(match Reach::of(address) {
                Reach::Special => UrlError::SpecialAddress,
                Reach::Public | Reach::Private | Reach::Loopback => UrlError::PrivateAddress,
            });
        }
        Ok(url)
    }

    /// As [`Self::check`], for an issuer that is configured by this very URL.
    pub(crate) fn check_configured(&self, url: &str) -> Result<(), UrlError> {
        let name = IssuerName::Exact(url.to_owned());
        self.for_issuer(&name)
            .as_ref()
            .unwrap_or(self)
            .check(url)
            .map(drop)
    }

    fn permits(&self, host: &str, address: IpAddr) -> bool {
        match Reach::of(address) {
            Reach::Public => true,
            Reach::Private => self.private_hosts.contains(host),
            Reach::Loopback => self.permits_loopback(host),
            Reach::Special => false,
        }
    }

    fn permits_loopback(&self, host: &str) -> bool {
        self.loopback == LoopbackHttp::Allowed || self.private_hosts.contains(host)
    }

    fn permitted(
        &self,
        host: &str,
        resolved: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, AddressRefused> {
        let permitted: Vec<_> = resolved
            .filter(|address| self.permits(host, address.ip()))
            .collect();
        if permitted.is_empty() {
            return Err(AddressRefused);
        }
        Ok(permitted)
    }
}

/// A host has no address that keys may be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the issuer has no public address. {NAME_THE_HOST}; link-local addresses are never contacted")]
pub(super) struct AddressRefused;

/// Why a URL is not fetched. `Display` completes a sentence that begins with the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not an absolute URL with a host.
    #[error("is not an absolute URL")]
    NotAUrl,
    /// Neither https nor http to this machine.
    #[error("is not an https URL")]
    NotHttps,
    /// http to this machine, for which nobody asked.
    #[error("is plain http to this machine, which is for development")]
    PlainLoopback,
    /// User, password or fragment; for an issuer also a query.
    #[error("has a user, password, fragment or, for an issuer, a query")]
    UnexpectedPart,
    /// An address of a private network or of this machine.
    #[error("has a private or loopback address, and its host is not one of those that may")]
    PrivateAddress,
    /// A link-local or reserved address.
    #[error("has a link-local or reserved address, which is never contacted")]
    SpecialAddress,
}

impl UrlError {
    /// What to do about it.
    #[must_use]
    pub fn suggestion(self) -> &'static str {
        match self {
            Self::PlainLoopback | Self::PrivateAddress => NAME_THE_HOST,
            Self::SpecialAddress => "Use the name or address under which the issuer is reached",
            Self::NotAUrl | Self::NotHttps | Self::UnexpectedPart => {
                "Use the token's `iss` value, such as https://accounts.google.com"
            }
        }
    }
}

/// What an operator does about an issuer on a private network.
const NAME_THE_HOST: &str = "If it is yours, name its host under private-identity-providers in mayfly.yaml";

/// The resolver of the HTTP client: the system's, less the addresses that policy refuses.
#[derive(Debug)]
pub(super) struct CheckedResolver(pub(super) Arc<FetchPolicy>);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str();
            let permitted = if is_localhost(host) {
                policy.permitted(host, LOOPBACK.into_iter())?
            } else {
                policy.permitted(host, tokio::net::lookup_host((host, 0)).await?)?
            };
            Ok::<Addrs, _>(Box::new(permitted.into_iter()))
        })
    }
}

/// What `localhost` means without asking any resolver (RFC 6761 section 6.3); port 0 stands for the URL's port.
const LOOPBACK: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_localhost(name),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn literal(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
    }
}

/// How far an address reaches (IANA special-purpose address registries, RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    Loopback,
    Special,
}

impl Reach {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if address.is_loopback() {
            return Self::Loopback;
        }
        if address.is_private() {
            return Self::Private;
        }
        match address.octets() {
            [100, 64..=127, ..] => Self::Private,
            [0 | 224..=255, ..]
            | [169, 254, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address.is_loopback() {
            return Self::Loopback;
        }
        match address.segments() {
            // NAT64 (RFC 6052): the IPv4 address inside decides.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Self::of_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
            }
            [0xfc00..=0xfdff, ..] => Self::Private,
            // Protocol assignments with Teredo, documentation, 6to4: none hosts an issuer, some embed IPv4.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, ..] => Self::Special,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}

#[cfg(test)]
mod tests;
