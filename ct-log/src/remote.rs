//! A log that is read over HTTP (C2SP static-ct-api), by somebody who does not trust it: every answer has a size limit and a
//! deadline, and nobody is sent to another host.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde::Deserialize;

use crate::check::{Source, SourceError};
use crate::leaf::{Fingerprint, MAX_ENTRY_BYTES, SequencedEntry};
use crate::tile::{FULL_WIDTH, Tile, TileKind};
use crate::{LogPublicKey, issuers};

/// For a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole answer: a full data tile of the largest entries takes 30 s at 10 Mbit/s.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits before each further attempt at what failed in a way that passes.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
];

const MAX_REDIRECTS: usize = 3;

/// As [`crate::checkpoint`] reads notes: a hundred signatures of the largest known kind.
const MAX_CHECKPOINT_BYTES: usize = 512 * 1024;

const MAX_ISSUER_BYTES: usize = 128 * 1024;

const MAX_LOG_INFO_BYTES: usize = 64 * 1024;

const FULL: usize = 256;
const MAX_HASH_TILE_BYTES: usize = FULL * 32;
const MAX_DATA_TILE_BYTES: usize = FULL * MAX_ENTRY_BYTES;

/// A log behind its monitoring prefix. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteLog {
    client: Client,
    /// Ends with a slash.
    prefix: Url,
    /// The content codings that are asked for.
    codings: &'static str,
}

/// Whom to believe that a host is what it is called.
#[derive(Debug, Clone, Default)]
pub enum TlsTrust {
    /// The authorities of this system.
    #[default]
    System,
    /// Also the authorities in this PEM text.
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
    /// The TLS library refused the authorities.
    #[error("the TLS client cannot be set up")]
    Tls(#[source] reqwest::Error),
}

/// Why one attempt failed.
enum Failed {
    Missing,
    /// It may work later.
    Passing(String),
    /// It will not.
    Lasting(String),
}

/// What `log.v3.json` says; the rest of it is for log lists.
#[derive(Deserialize)]
struct LogInfo {
    /// `SubjectPublicKeyInfo`, DER in base64.
    key: String,
}

impl RemoteLog {
    /// The log with that monitoring prefix: `https`, or `http` on this machine.
    ///
    /// # Errors
    /// The URL or the authorities cannot be used.
    pub fn new(url: &str, trust: TlsTrust) -> Result<RemoteLog, RemoteError> {
        RemoteLog::at(parse_prefix(url)?, trust)
    }

    fn at(prefix: Url, trust: TlsTrust) -> Result<RemoteLog, RemoteError> {
        let mut client = Client::builder()
            .user_agent(concat!("ct-log/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .referer(false)
            .redirect(Policy::custom(same_host_only));
        if is_this_machine(&prefix) || matches!(trust, TlsTrust::DangerousAnybody) {
            client = client.no_proxy();
        }
        client = match trust {
            TlsTrust::System => client,
            TlsTrust::With(pem) => {
                let roots = Certificate::from_pem_bundle(&pem).map_err(RemoteError::Tls)?;
                client.tls_certs_merge(roots)
            }
            TlsTrust::DangerousAnybody => client.tls_danger_accept_invalid_certs(true),
        };
        let client = client.build().map_err(RemoteError::Tls)?;
        Ok(RemoteLog {
            client,
            prefix,
            codings: "gzip",
        })
    }

    /// Asks for everything as it is: for a log on this machine, where compression costs more than it saves.
    #[must_use]
    pub fn uncompressed(self) -> RemoteLog {
        let codings = "identity";
        RemoteLog { codings, ..self }
    }

    /// The log at an address on which this very process listens, plain or, with `https`, with whatever certificate it shows
    /// itself: what counts is the signature of the log. `path` is that of the log's prefix.
    ///
    /// # Errors
    /// The path cannot be part of a URL.
    pub fn own_listener(
        scheme: OwnScheme,
        address: SocketAddr,
        path: &str,
    ) -> Result<RemoteLog, RemoteError> {
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
        let prefix = Url::parse(&url).map_err(|_| RemoteError::Url { url })?;
        let log = RemoteLog::at(prefix, TlsTrust::DangerousAnybody)?;
        Ok(log.uncompressed())
    }

    /// The monitoring prefix.
    pub fn url(&self) -> &str {
        self.prefix.as_str()
    }

    /// The key that the log itself claims, in `log.v3.json`. It is worth as much as the connection.
    ///
    /// # Errors
    /// It says nothing, or no key.
    pub async fn claimed_key(&self) -> Result<LogPublicKey, SourceError> {
        let json = self.log_info().await?;
        claimed_key(&json).ok_or_else(|| SourceError::Failed {
            what: LOG_INFO.to_owned(),
            reason: "it names no P-256 key".to_owned(),
        })
    }

    /// `log.v3.json` as it is.
    ///
    /// # Errors
    /// It cannot be had.
    pub async fn log_info(&self) -> Result<Vec<u8>, SourceError> {
        self.get(LOG_INFO, MAX_LOG_INFO_BYTES).await
    }

    async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, SourceError> {
        let mut delays = RETRIES.iter();
        loop {
            let reason = match self.attempt(path, limit).await {
                Ok(body) => return Ok(body),
                Err(Failed::Missing) => return Err(SourceError::Missing(path.to_owned())),
                Err(Failed::Passing(reason)) => match delays.next() {
                    Some(delay) => {
                        tokio::time::sleep(*delay).await;
                        continue;
                    }
                    None => reason,
                },
                Err(Failed::Lasting(reason)) => reason,
            };
            let what = path.to_owned();
            return Err(SourceError::Failed { what, reason });
        }
    }

    async fn attempt(&self, path: &str, limit: usize) -> Result<Vec<u8>, Failed> {
        let url = self.prefix.join(path);
        let url = url.map_err(|error| Failed::Lasting(error.to_string()))?;
        let request = self.client.get(url).header(ACCEPT_ENCODING, self.codings);
        let response = request.send().await.map_err(|error| transport(&error))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Failed::Missing),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Err(Failed::Passing(format!("the answer is {status}")));
            }
            _ if status.is_server_error() => return Err(Failed::Passing(format!("the answer is {status}"))),
            _ => return Err(Failed::Lasting(format!("the answer is {status}"))),
        }
        let zipped = is_zipped(response.headers())?;
        let body = read_body(response, limit).await?;
        if zipped { unzip(&body, limit) } else { Ok(body) }
    }

    async fn exact_tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        let limit = match tile.kind() {
            TileKind::Entries => MAX_DATA_TILE_BYTES,
            TileKind::Hashes { .. } => MAX_HASH_TILE_BYTES,
        };
        self.get(&tile.to_string(), limit).await
    }
}

const LOG_INFO: &str = "log.v3.json";

impl Source for RemoteLog {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        let note = self.get("checkpoint", MAX_CHECKPOINT_BYTES).await?;
        String::from_utf8(note).map_err(|_| SourceError::Failed {
            what: "checkpoint".to_owned(),
            reason: "it is not text".to_owned(),
        })
    }

    /// A log may drop a partial tile once the full one is there (C2SP tlog-tiles): then it is cut from that.
    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        match self.exact_tile(tile).await {
            Err(SourceError::Missing(path)) if !tile.is_full() => {
                let full = Tile::new(tile.kind(), tile.index(), FULL_WIDTH);
                let full = full.ok_or(SourceError::Missing(path.clone()))?;
                let bytes = self.exact_tile(full).await;
                let bytes = bytes.map_err(|error| match error {
                    SourceError::Missing(_) => SourceError::Missing(path.clone()),
                    failed @ SourceError::Failed { .. } => failed,
                })?;
                beginning(tile, &bytes).ok_or(SourceError::Missing(path))
            }
            read => read,
        }
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        self.get(&issuers::path(&fingerprint), MAX_ISSUER_BYTES).await
    }
}

/// The key in a `log.v3.json`.
pub(crate) fn claimed_key(json: &[u8]) -> Option<LogPublicKey> {
    let info: LogInfo = serde_json::from_slice(json).ok()?;
    LogPublicKey::from_spki_der(&STANDARD.decode(info.key).ok()?).ok()
}

/// A partial tile from the full one.
pub(crate) fn beginning(tile: Tile, full: &[u8]) -> Option<Vec<u8>> {
    let width = usize::from(tile.width());
    let length = match tile.kind() {
        TileKind::Hashes { .. } => width.checked_mul(32)?,
        TileKind::Entries => {
            let mut rest = full;
            for _ in 0..width {
                rest = SequencedEntry::decode(rest).ok()?.1;
            }
            full.len().checked_sub(rest.len())?
        }
    };
    full.get(..length).map(<[u8]>::to_vec)
}

fn parse_prefix(url: &str) -> Result<Url, RemoteError> {
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

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<std::net::IpAddr> = address.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

fn same_host_only(attempt: Attempt<'_>) -> reqwest::redirect::Action {
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

fn transport(error: &reqwest::Error) -> Failed {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if error.is_redirect() {
        Failed::Lasting(text)
    } else {
        Failed::Passing(text)
    }
}

fn is_zipped(headers: &HeaderMap) -> Result<bool, Failed> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(Failed::Lasting("it is encoded, but not as gzip".to_owned())),
    }
}

async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What comes out has the same limit as what came in.
fn unzip(body: &[u8], limit: usize) -> Result<Vec<u8>, Failed> {
    let mut unzipped = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(body).take(most).read_to_end(&mut unzipped);
    read.map_err(|error| Failed::Lasting(format!("it is not gzip: {error}")))?;
    if unzipped.len() > limit {
        return Err(too_large(limit));
    }
    Ok(unzipped)
}

fn too_large(limit: usize) -> Failed {
    Failed::Lasting(format!("it is over {limit} bytes"))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn little_gzip_does_not_become_much() {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut bomb, &[0; 1_000_000]).unwrap();
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 2_000);
        assert!(matches!(unzip(&bomb, 999_999), Err(Failed::Lasting(_))));
        assert_eq!(unzip(&bomb, 1_000_000).ok().unwrap().len(), 1_000_000);
        assert!(unzip(&bomb[..100], 1_000_000).is_err());
    }
}
