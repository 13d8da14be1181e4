//! Where a log may be, whom to believe that it is there, and a client that goes nowhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Url};

use crate::tls::{self, TrustError};

/// For a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole answer: a full data tile of the largest entries takes 30 s at 10 Mbit/s.
const TIMEOUT: Duration = Duration::from_secs(60);

const MAX_REDIRECTS: usize = 3;

/// Whom to believe that a host is what it is called.
#[derive(Debug, Clone, Default)]
pub enum TlsTrust {
    /// The authorities of this system.
    #[default]
    System,
    /// Also the authorities and servers whose certificates are in this PEM text.
    With(Vec<u8>),
    /// Anybody. For a log of this very process: what counts is the signature of the log.
    DangerousAnybody,
}

/// How this process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnScheme {
    /// Plain HTTP.
    Http,
    /// TLS.
    Https,
}

/// A URL or a set of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Not a URL that a log can have.
    #[error("{url} is not the URL of a log: give https://host/path")]
    Url {
        /// What was given.
        url: String,
    },
    /// Plain HTTP to somewhere else than this machine.
    #[error("{url} is not https: plain HTTP is for this machine only, such as http://127.0.0.1:5555/log")]
    Plain {
        /// What was given.
        url: String,
    },
    /// The given certificates cannot be used.
    #[error(transparent)]
    Certificates(TrustError),
    /// The TLS library refused the settings.
    #[error("the TLS client cannot be set up")]
    Tls(#[source] reqwest::Error),
}

/// A monitoring prefix, which ends with a slash.
pub(super) fn parse(url: &str) -> Result<Url, RemoteError> {
    let refused = || RemoteError::Url { url: url.to_owned() };
    let mut prefix = Url::parse(url).map_err(|_| refused())?;
    if prefix.query().is_some() || prefix.fragment().is_some() || !prefix.username().is_empty() {
        return Err(refused());
    }
    match prefix.scheme() {
        "https" => {}
        "http" if is_this_machine(&prefix) => {}
        "http" => return Err(RemoteError::Plain { url: url.to_owned() }),
        _ => return Err(refused()),
    }
    if !prefix.path().ends_with('/') {
        prefix.set_path(&format!("{}/", prefix.path()));
    }
    Ok(prefix)
}

/// The prefix of a log on which this very process listens.
pub(super) fn of_listener(scheme: OwnScheme, address: SocketAddr, path: &str) -> Result<Url, RemoteError> {
    let scheme = match scheme {
        OwnScheme::Http => "http",
        OwnScheme::Https => "https",
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let url = format!("{scheme}://{}{path}/", SocketAddr::new(ip, address.port()));
    Url::parse(&url).map_err(|_| RemoteError::Url { url })
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = address.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

pub(super) fn client(prefix: &Url, trust: TlsTrust) -> Result<Client, RemoteError> {
    let mut client = Client::builder()
        .user_agent(concat!("ct-log/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .referer(false)
        .redirect(Policy::custom(same_host_only));
    if is_this_machine(prefix) || matches!(trust, TlsTrust::DangerousAnybody) {
        client = client.no_proxy();
    }
    client = match trust {
        TlsTrust::System => client,
        TlsTrust::With(pem) => {
            let trusted = tls::beside_the_systems(&pem).map_err(RemoteError::Certificates)?;
            tls::http_client(client, trusted)
        }
        TlsTrust::DangerousAnybody => client.tls_danger_accept_invalid_certs(true),
    };
    client.build().map_err(RemoteError::Tls)
}

/// Follows redirects to the same scheme, host and port, three at most.
pub fn same_host_only(attempt: Attempt<'_>) -> Action {
    let first = attempt.previous().first();
    let same = first.is_some_and(|first| first.origin() == attempt.url().origin());
    if !same {
        return attempt.error("it redirects to another host");
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("it redirects too often");
    }
    attempt.follow()
}

#[cfg(test)]
mod tests {
    use super::super::RemoteLog;
    use super::*;

    #[test]
    fn urls_of_logs() {
        for (url, prefix) in [
            ("https://log.example/2027", "https://log.example/2027/"),
            ("https://log.example", "https://log.example/"),
            ("http://127.0.0.1:5555/log/", "http://127.0.0.1:5555/log/"),
            ("http://[::1]:1/log", "http://[::1]:1/log/"),
            ("http://localhost:1/log", "http://localhost:1/log/"),
        ] {
            let log = RemoteLog::new(url, TlsTrust::System).unwrap();
            assert_eq!(log.url(), prefix);
        }
        for url in [
            "http://log.example/2027",
            "http://10.0.0.1/",
            "ftp://log.example",
            "log.example",
            "https://log.example/?x",
            "https://log.example/#x",
            "https://user@log.example/",
        ] {
            RemoteLog::new(url, TlsTrust::System).unwrap_err();
        }
    }
}
