//! What is true of an instance at one moment, from which every trust file is made.

use std::sync::Arc;

use super::{
    OwnLog, PublicUrl, SigningConfig, TrustConfig, TrustError, TrustStatement, TrustedAuthority, TrustedRoot,
    TrustedTimestamps,
    known_log::{CtLog, base_url},
};
use crate::{
    issue::Authority,
    issuer::CertificateChain,
    log::{ExternalLogSettings, Shards, Use},
    server::TIMESTAMP_PATH,
    timestamp::TimestampChain,
    trusted_issuer::{IssuerName, TrustedIssuers},
};

/// What clients are to know of an instance.
#[derive(Clone, Debug)]
pub struct TrustMaterial {
    pub(super) url: Option<PublicUrl>,
    /// Where the CAs are said to be, which clients only show; empty if nothing says.
    pub(super) uri: String,
    /// The one that signs.
    pub(super) signing: TrustedAuthority,
    /// The one that signs first, each once.
    pub(super) authorities: Vec<TrustedAuthority>,
    pub(super) logs: Vec<CtLog>,
    /// The one of this instance.
    pub(super) timestamps: Option<Arc<TimestampChain>>,
    /// Others.
    pub(super) timestamps_also_trusted: Vec<TrustedTimestamps>,
    /// Issuers of tokens, the `iss` of each.
    pub(super) identity_providers: Vec<String>,
}

/// The logs of an instance.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// Those in its process: shards that are over, and those that are yet to begin, too.
    pub own: Vec<OwnLog>,
    /// Those elsewhere. What is only told of certificates does not count.
    pub external: Vec<ExternalLogSettings>,
}

impl TrustMaterial {
    /// Of a CA with this chain.
    #[must_use]
    pub fn new(
        signing: Arc<CertificateChain>,
        statement: &TrustStatement,
        logs: Logs,
        issuers: &TrustedIssuers,
    ) -> Self {
        let signing = TrustedAuthority::from(signing);
        let mut authorities = vec![signing.clone()];
        for other in &statement.also_trusted {
            if !authorities.iter().any(|known| known.is_same_as(other)) {
                authorities.push(other.clone());
            }
        }
        let since = authorities.iter().map(TrustedAuthority::since).min();
        let since = since.unwrap_or_else(|| signing.since());
        let first = logs.own.first().map(|log| log.origin.as_str());
        let uri = match (&statement.url, first) {
            (None, None) => String::new(),
            (url, origin) => base_url(url.as_ref(), origin.unwrap_or_default()),
        };
        let embedded = logs.external.iter().filter(|log| log.purpose == Use::Embed);
        let external = embedded.map(|log| CtLog::external(log, since));
        let own = logs.own.into_iter().map(|log| CtLog::own(log, statement, since));
        Self {
            url: statement.url.clone(),
            uri,
            signing,
            authorities,
            logs: own.chain(external).collect(),
            timestamps: statement.timestamps.clone(),
            timestamps_also_trusted: statement.timestamps_also_trusted.clone(),
            identity_providers: identity_providers(issuers),
        }
    }

    /// Of a running instance, now.
    #[must_use]
    pub fn of(authority: &Authority) -> Self {
        let signing = authority.signing();
        let log = signing.log();
        let shards = log.embedded();
        let logs = Logs {
            own: shards.iter().flat_map(Shards::iter).map(OwnLog::from).collect(),
            external: log.embedding_elsewhere().cloned().collect(),
        };
        let chain = Arc::clone(signing.issuer().chain());
        Self::new(chain, signing.trust(), logs, authority.tokens().issuers())
    }

    /// The one of this instance first, each once.
    pub(super) fn timestamp_authorities(&self) -> Vec<TrustedTimestamps> {
        let own = self.timestamps.iter().map(|chain| TrustedTimestamps {
            chain: Arc::clone(chain),
            until: None,
        });
        let mut all: Vec<TrustedTimestamps> = own.collect();
        for other in &self.timestamps_also_trusted {
            let first = other.chain.der().first();
            if all.iter().all(|known| known.chain.der().first() != first) {
                all.push(other.clone());
            }
        }
        all
    }

    /// Where timestamps are asked for, if they can be and it is known where this instance is.
    pub(super) fn timestamp_url(&self) -> Option<String> {
        let url = self.url.as_ref().filter(|_| self.timestamps.is_some())?;
        Some(format!("{}{TIMESTAMP_PATH}", url.as_str()))
    }

    /// `trusted_root.json`.
    ///
    /// # Errors
    /// [`TrustError::Time`].
    pub fn trusted_root(&self) -> Result<TrustedRoot, TrustError> {
        TrustedRoot::new(self)
    }

    /// `signing_config.json`.
    ///
    /// # Errors
    /// [`TrustError::NoUrl`], [`TrustError::Time`].
    pub fn signing_config(&self) -> Result<SigningConfig, TrustError> {
        SigningConfig::new(self)
    }

    /// `trust_config.json`.
    ///
    /// # Errors
    /// As for the two files in it.
    pub fn trust_config(&self) -> Result<TrustConfig, TrustError> {
        Ok(TrustConfig::new(self.trusted_root()?, self.signing_config()?))
    }
}

/// Where clients send people to log in; if there are no such issuers, all that have a URL. In the order of the issuer
/// file, each once.
fn identity_providers(issuers: &TrustedIssuers) -> Vec<String> {
    let named = |people_only: bool| {
        let mut names: Vec<String> = Vec::new();
        for issuer in issuers.iter() {
            if let IssuerName::Exact(url) = issuer.name()
                && !(people_only && issuer.rule().names_workloads())
                && !names.contains(url)
            {
                names.push(url.clone());
            }
        }
        names
    };
    let people = named(true);
    match people.is_empty() {
        true => named(false),
        false => people,
    }
}
