//! Time servers that confirm the machine's clock (SNTP, RFC 5905 section 14).

use std::{
    fmt, io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use futures_util::future;
use rsntp::{AsyncSntpClient, Config, ProtocolError, SynchronizationError};
use tokio::{net::lookup_host, time};
use url::Url;

/// The port of NTP.
const PORT: u16 = 123;

/// How long a server has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far the clock may be from a server's, in seconds: the half of the accuracy that timestamps leave to the clock.
const TOLERANCE: f64 = 0.5;

/// A server's name or address, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtpServer {
    host: String,
    port: u16,
}

/// It is not the name of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a host, or a host and a port")]
pub struct NtpServerError;

impl FromStr for NtpServer {
    type Err = NtpServerError;

    /// `time.example.com`, `192.0.2.1:123` or `[2001:db8::1]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(&format!("ntp://{text}")).map_err(|_| NtpServerError)?;
        let nothing_else = url.username().is_empty()
            && url.password().is_none()
            && url.path().is_empty()
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|_| nothing_else).ok_or(NtpServerError)?;
        let host = url::Host::parse(host).map_err(|_| NtpServerError)?;
        Ok(Self {
            host: host.to_string(),
            port: url.port().unwrap_or(PORT),
        })
    }
}

impl fmt::Display for NtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        match self.port {
            PORT => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

/// What a server says of the clock.
#[derive(Debug)]
pub enum Verdict {
    /// It is right, within half a second: so many seconds are to be added to it.
    Right(f64),
    /// It is wrong: so many seconds are to be added to it.
    Wrong(f64),
    /// Nothing: no answer, or that of a server that does not know the time itself.
    None(NtpError),
}

/// Why a server says nothing of the clock.
#[derive(Debug, thiserror::Error)]
pub enum NtpError {
    /// Its name leads nowhere.
    #[error("its address is not known")]
    Address(#[from] io::Error),
    /// It does not know the time itself, or does not want to be asked: a kiss-o'-death packet (RFC 5905 section 7.4), which is also what chrony
    /// sends without a source.
    #[error("it is not synchronised itself, or asks not to be asked")]
    NotSynchronised,
    /// It does not answer, or not as it should.
    #[error("no time from it: {0}")]
    Server(SynchronizationError),
    /// The answer took so long that the time in it is not exact enough to tell.
    #[error("its answer took too long to tell")]
    Inexact,
}

impl NtpServer {
    /// Asks it for the time.
    pub async fn ask(&self) -> Verdict {
        // Finding its address may take long, too.
        let said = time::timeout(PATIENCE * 2, self.offset()).await;
        let said = said.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        said.map_or_else(Verdict::None, |(offset, error)| Verdict::of(offset, error))
    }

    /// How many seconds are to be added to the clock, and by how many that may be off.
    async fn offset(&self) -> Result<(f64, f64), NtpError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let address = lookup_host((host, self.port)).await?.next();
        let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let any = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let config = Config::default().bind_address(any).timeout(PATIENCE);
        let said = AsyncSntpClient::with_config(config).synchronize(address).await?;
        // The way there may have taken all of the time, or none.
        let error = said.round_trip_delay().as_secs_f64().abs() / 2.0;
        Ok((said.clock_offset().as_secs_f64(), error))
    }
}

impl Verdict {
    fn of(offset: f64, error: f64) -> Self {
        match offset.abs() {
            off if off + error <= TOLERANCE => Self::Right(offset),
            off if off - error > TOLERANCE => Self::Wrong(offset),
            _ => Self::None(NtpError::Inexact),
        }
    }

    /// Whether it says the same, but for the figures.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None(one), Self::None(other)) => mem::discriminant(one) == mem::discriminant(other),
            _ => mem::discriminant(self) == mem::discriminant(other),
        }
    }
}

impl From<SynchronizationError> for NtpError {
    fn from(error: SynchronizationError) -> Self {
        match error {
            SynchronizationError::ProtocolError(
                ProtocolError::KissODeath(_) | ProtocolError::ServerNotSynchronized,
            ) => Self::NotSynchronised,
            error => Self::Server(error),
        }
    }
}

/// Asks all of them at once.
pub async fn ask_all(servers: &[NtpServer]) -> Vec<(NtpServer, Verdict)> {
    let asked = servers
        .iter()
        .map(async |server| (server.clone(), server.ask().await));
    future::join_all(asked).await
}

/// What the servers say of the clock together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// More of them that it is right than that it is wrong.
    Right,
    /// At least as many that it is wrong.
    Wrong,
    /// None of them anything.
    None,
}

impl Agreement {
    /// Of those who say something.
    #[must_use]
    pub fn of(verdicts: &[(NtpServer, Verdict)]) -> Self {
        let right = verdicts
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Right(_)))
            .count();
        let wrong = verdicts
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Wrong(_)))
            .count();
        match (right, wrong) {
            (0, 0) => Self::None,
            _ if right > wrong => Self::Right,
            _ => Self::Wrong,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right(offset) => write!(f, "the clock is right, by {offset:+.3} s"),
            Self::Wrong(offset) => write!(f, "the clock is wrong, by {offset:+.3} s"),
            Self::None(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_with_or_without_a_port() {
        for (text, host, port) in [
            ("time.example.com", "time.example.com", 123),
            ("127.0.0.1:11123", "127.0.0.1", 11_123),
            ("[2001:db8::1]", "[2001:db8::1]", 123),
            ("[::1]:124", "[::1]", 124),
        ] {
            let server: NtpServer = text.parse().unwrap();
            assert_eq!((server.host.as_str(), server.port), (host, port));
            assert_eq!(server.to_string(), text);
        }
        for text in [
            "",
            ":123",
            "a b",
            "host/path",
            "user@host",
            "host:99999",
            "host?q",
            "2001:db8::1",
            "http://host",
        ] {
            assert_eq!(text.parse::<NtpServer>(), Err(NtpServerError), "{text}");
        }
    }

    #[test]
    fn what_an_answer_tells_depends_on_how_long_it_took() {
        for (offset, error) in [(0.0, 0.5), (0.3, 0.1), (-0.4, 0.05)] {
            assert!(matches!(Verdict::of(offset, error), Verdict::Right(_)));
        }
        for (offset, error) in [(0.6, 0.05), (-3600.0, 0.9)] {
            assert!(matches!(Verdict::of(offset, error), Verdict::Wrong(_)));
        }
        for (offset, error) in [(0.4, 0.2), (-0.9, 0.6), (0.0, 0.7)] {
            assert!(matches!(
                Verdict::of(offset, error),
                Verdict::None(NtpError::Inexact)
            ));
        }
    }

    #[test]
    fn more_must_say_right_than_wrong() {
        let server: NtpServer = "host".parse().unwrap();
        let agreement = |right: usize, wrong: usize, silent: usize| {
            let mut verdicts = Vec::new();
            verdicts.extend((0..right).map(|_| (server.clone(), Verdict::Right(0.1))));
            verdicts.extend((0..wrong).map(|_| (server.clone(), Verdict::Wrong(9.0))));
            verdicts.extend((0..silent).map(|_| (server.clone(), Verdict::None(NtpError::Inexact))));
            Agreement::of(&verdicts)
        };
        for (right, wrong, silent) in [(1, 0, 0), (1, 0, 3), (2, 1, 0)] {
            assert_eq!(agreement(right, wrong, silent), Agreement::Right);
        }
        for (right, wrong, silent) in [(0, 1, 0), (1, 1, 0), (1, 2, 1)] {
            assert_eq!(agreement(right, wrong, silent), Agreement::Wrong);
        }
        assert_eq!(agreement(0, 0, 2), Agreement::None);
    }
}
