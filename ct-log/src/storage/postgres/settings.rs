//! Which database, and how it is reached.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

use crate::tls;

/// Longest time for one address to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// When the kernel gives up on a peer that does not answer.
const DEAD_PEER: Duration = Duration::from_secs(8);

/// A database that several replicas of a log may share. Shows no password in [`fmt::Debug`].
#[derive(Clone)]
pub struct PostgresSettings {
    pub(super) config: Box<Config>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Asked instead of the server.
    #[cfg(test)]
    pub(super) simulated: Option<Arc<dyn super::client::Server>>,
}

/// Settings that cannot be used. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresSettingsError {
    /// Not a connection URL.
    #[error("not a PostgreSQL address; write it as postgresql://USER@HOST:5432/DATABASE")]
    Url,
    /// The certificates are no PEM, or none of them can be a trust anchor.
    #[error("no certificate authority can be read; it must be PEM with at least one CERTIFICATE")]
    CertificateAuthority,
    /// Clear text to another machine.
    #[error(
        "the connection to {host} would not be encrypted: name the certificate authority that its certificate must \
         come from, or write sslmode=disable in the address if something else protects the connection"
    )]
    Unencrypted {
        /// The database's host.
        host: String,
    },
}

impl PostgresSettings {
    /// A connection URL or string as of libpq: `postgresql://user@host:5432/database?sslmode=require`. Several hosts are tried
    /// in order for one that can be written to.
    ///
    /// # Errors
    /// It is none.
    pub fn new(url: &str) -> Result<PostgresSettings, PostgresSettingsError> {
        // The parser's own error may quote a part of the address, and with it a password.
        let mut config: Config = url.parse().map_err(|_| PostgresSettingsError::Url)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresSettingsError::Url);
        }
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(DEAD_PEER)
            .keepalives_idle(DEAD_PEER)
            .application_name("ct-log");
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(PostgresSettings {
            config: Box::new(config),
            tls: None,
            #[cfg(test)]
            simulated: None,
        })
    }

    /// Whether the address itself carries a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// The role's password, instead of one in the address.
    #[must_use]
    pub fn password(mut self, password: &[u8]) -> PostgresSettings {
        self.config.password(password);
        self
    }

    /// Speaks TLS only, and only to a server whose certificate is for its name in the address, and
    /// comes from one of these authorities or is one of these. `pem` holds the certificates.
    ///
    /// # Errors
    /// There is none in it.
    pub fn certificate_authorities(mut self, pem: &[u8]) -> Result<PostgresSettings, PostgresSettingsError> {
        let client = tls::only(pem).map_err(|_| PostgresSettingsError::CertificateAuthority)?;
        self.config.ssl_mode(SslMode::Require);
        self.tls = Some(Arc::new(client));
        Ok(self)
    }

    #[cfg(test)]
    pub(crate) fn simulated(self, server: Arc<dyn super::client::Server>) -> PostgresSettings {
        PostgresSettings {
            simulated: Some(server),
            ..self
        }
    }

    /// Refuses clear text to another machine, unless the address asks for it.
    ///
    /// # Errors
    /// [`PostgresSettingsError::Unencrypted`].
    pub fn check_encryption(&self) -> Result<(), PostgresSettingsError> {
        if self.tls.is_some() || self.config.get_ssl_mode() == SslMode::Disable {
            return Ok(());
        }
        // An address takes the place of the name that stands beside it.
        let addresses = self.config.get_hostaddrs().iter();
        let mut remote: Vec<_> = addresses
            .filter(|address| !address.is_loopback())
            .map(ToString::to_string)
            .collect();
        if self.config.get_hostaddrs().is_empty() {
            let hosts = self.config.get_hosts().iter();
            remote.extend(hosts.filter(|host| !is_local(host)).map(host_text));
        }
        match remote.into_iter().next() {
            Some(host) => Err(PostgresSettingsError::Unencrypted { host }),
            None => Ok(()),
        }
    }

    /// Without user and password: for messages.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<_> = self.config.get_hosts().iter().map(host_text).collect();
        let database = self.config.get_dbname().unwrap_or("(default)");
        format!("the database {database} at {}", hosts.join(", "))
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresSettings({})", self.place())
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Unix(path) => path.display().to_string(),
        Host::Tcp(name) => name.clone(),
    }
}
