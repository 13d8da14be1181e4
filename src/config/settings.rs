//! `mayfly.yaml`.

mod algorithms;
mod bucket;
mod database;
mod embedded_log;
mod external_logs;
mod key;
mod log_place;
mod promise;
mod read;
mod self_audit;
mod shards;
mod timestamp;
mod tuf;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ct_log::acceptor::IpNet;

pub use self::{timestamp::TimestampFiles, tuf::TufFiles};
use super::{
    ConfigErrors,
    path::Folder,
    problem::{Problem, Problems},
    yaml,
};
use crate::{
    clock::Timestamp,
    key::KeySettings,
    log::{Embedding, ExternalLogSettings, embedded::EmbeddedLogSettings},
    proof::PermittedAlgorithms,
    server::TlsFiles,
    trust::PublicUrl,
};

/// What `mayfly serve` runs with: addresses, names and paths that were checked, nothing loaded yet.
#[derive(Clone, Debug)]
pub struct Settings {
    url: Option<PublicUrl>,
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
    tls: Option<TlsFiles>,
    ca: CaFiles,
    log: Option<EmbeddedLogSettings>,
    logs: external_logs::Policy,
    timestamp: Option<TimestampFiles>,
    tuf: Option<TufFiles>,
    issuers: PathBuf,
    private_identity_providers: Vec<String>,
    trusted_proxies: Vec<IpNet>,
    client_signing_algorithms: PermittedAlgorithms,
    audit: PathBuf,
    verified_issuers: Option<PathBuf>,
    warnings: Vec<Problem>,
}

/// The CA's chain and the key of its first certificate.
#[derive(Clone, Debug)]
pub struct CaFiles {
    chain: PathBuf,
    key: KeySettings,
    also_trusted: Vec<AlsoTrusted>,
}

/// Another CA, or timestamp authority, that clients are to trust.
#[derive(Clone, Debug)]
pub struct AlsoTrusted {
    chain: PathBuf,
    until: Option<Timestamp>,
}

/// The issuer file that the configuration at `path` names, whatever else may be wrong with that; for looking at both.
#[must_use]
pub fn issuer_file_of(path: &Path) -> Option<PathBuf> {
    let mut problems = Problems::new(path);
    let root = yaml::parse(&yaml::read(path, &mut problems)?, &mut problems)?;
    read::issuer_file(&root, &Folder::of(path), &mut problems)
}

impl Settings {
    /// Reads and checks the file at `path`. Relative paths in it count from its folder.
    ///
    /// # Errors
    /// Everything that is wrong with the file, and with the files that it names as far as their metadata tells.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let mut problems = Problems::new(path);
        let settings = yaml::read(path, &mut problems)
            .and_then(|text| yaml::parse(&text, &mut problems))
            .and_then(|root| read::settings(&root, &Folder::of(path), &mut problems));
        let warnings = problems.take_warnings();
        let settings = problems.into_result(settings)?;
        Ok(Self { warnings, ..settings })
    }

    /// Where clients reach the API, if that is said.
    #[must_use]
    pub fn url(&self) -> Option<&PublicUrl> {
        self.url.as_ref()
    }

    /// Where the API is served.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where metrics are served, unless `off`.
    #[must_use]
    pub fn metrics_listen(&self) -> Option<SocketAddr> {
        self.metrics_listen
    }

    /// The server's TLS certificate; without it the API is plain HTTP, for a proxy in front.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFiles> {
        self.tls.as_ref()
    }

    /// Proxies in front of the server: loopback unless the file says otherwise.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }

    /// The CA.
    #[must_use]
    pub fn ca(&self) -> &CaFiles {
        &self.ca
    }

    /// The embedded CT log, if there is one.
    #[must_use]
    pub fn log(&self) -> Option<&EmbeddedLogSettings> {
        self.log.as_ref()
    }

    /// The logs elsewhere, in the order of the file.
    #[must_use]
    pub fn external_logs(&self) -> &[ExternalLogSettings] {
        &self.logs.logs
    }

    /// Whose SCTs certificates carry.
    #[must_use]
    pub fn embedding(&self) -> Embedding {
        self.logs.embedding
    }

    /// The timestamp authority, if there is one.
    #[must_use]
    pub fn timestamp(&self) -> Option<&TimestampFiles> {
        self.timestamp.as_ref()
    }

    /// The TUF repository, if one is served.
    #[must_use]
    pub fn tuf(&self) -> Option<&TufFiles> {
        self.tuf.as_ref()
    }

    /// What works and may not be meant.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The issuer file, for [`super::issuers::load`].
    #[must_use]
    pub fn issuers(&self) -> &Path {
        &self.issuers
    }

    /// Hosts of identity providers that may have private or loopback addresses, as in a URL (lower case, no port).
    #[must_use]
    pub fn private_identity_providers(&self) -> &[String] {
        &self.private_identity_providers
    }

    /// With which algorithms clients may prove their keys.
    #[must_use]
    pub fn client_signing_algorithms(&self) -> &PermittedAlgorithms {
        &self.client_signing_algorithms
    }

    /// The file to which audit records are appended; it need not exist yet.
    #[must_use]
    pub fn audit(&self) -> &Path {
        &self.audit
    }

    /// The file that remembers the verified issuers of patterns, unless `off`; it need not exist yet.
    #[must_use]
    pub fn verified_issuers(&self) -> Option<&Path> {
        self.verified_issuers.as_deref()
    }
}

impl CaFiles {
    /// PEM certificates from the one that signs leaves to the root.
    #[must_use]
    pub fn chain(&self) -> &Path {
        &self.chain
    }

    /// Other CAs that clients are to trust: those that are yet to sign, and those that did.
    #[must_use]
    pub fn also_trusted(&self) -> &[AlsoTrusted] {
        &self.also_trusted
    }

    /// The private key of the first of them.
    #[must_use]
    pub fn key(&self) -> &KeySettings {
        &self.key
    }
}

impl AlsoTrusted {
    /// PEM certificates from the one that signs leaves to the root.
    #[must_use]
    pub fn chain(&self) -> &Path {
        &self.chain
    }

    /// Nothing that it signed later is believed.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }
}
