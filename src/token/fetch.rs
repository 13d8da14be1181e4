//! Discovery and JWKS over HTTPS (OpenID Connect Discovery 1.0 section 4, RFC 7517 section 5): two requests,
//! which may be redirected on the same host, bounded in size and time.
//!
//! The JWKS may be on another host than the issuer (Google's is); the issuer's own document names it, over TLS.

mod document;
mod error;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ct_log::{remote::same_host_only, tls};
use reqwest::{
    Client, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL},
    redirect,
};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use self::document::{Discovery, JwkSet};
pub use self::error::FetchError;
use super::{
    ServiceAccount,
    address::{CheckedResolver, FetchPolicy, UrlError},
    error::Quoted,
    keys::{KeySet, LeftOut, MAX_KEYS},
};
use crate::{identity::Rule, response::body, trusted_issuer::TrustedIssuer};

/// Discovery and JWKS together must be done within this; a healthy issuer takes some tens of milliseconds.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest document that is read, in bytes; the largest JWKS of a known issuer is about 20 KiB.
pub(super) const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Where every Kubernetes API server has the keys of its service accounts (Kubernetes, "Service account issuer discovery").
const CLUSTER_JWKS: &str = "/openid/v1/jwks";

/// An issuer whose URL passed the policy: the only thing that starts a fetch.
#[derive(Debug)]
pub(super) struct IssuerUrl {
    identifier: String,
    discovery: Url,
    access: Access,
    /// Its own, where the shared one does not let its host have the address that the operator wrote.
    policy: Option<Arc<FetchPolicy>>,
}

/// Certificates (PEM) that are trusted beside the system's, if any.
type Roots = Option<Arc<str>>;

/// What it takes to be answered.
#[derive(Debug)]
enum Access {
    /// A certificate that this machine trusts, or one below these (PEM).
    Public(Roots),
    /// The API server of the cluster that we run in.
    Cluster(ServiceAccount),
}

impl IssuerUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.identifier
    }
}

/// Keys, and how long their issuer says that they may be cached.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    pub(super) keys: KeySet,
    pub(super) left_out: Option<LeftOut>,
    pub(super) max_age: Option<Duration>,
}

/// Fetches the keys of issuers.
#[derive(Debug)]
pub(super) struct Fetcher {
    policy: Arc<FetchPolicy>,
    /// For each set of certificates that are trusted beside the system's. Made on first use, because that reads the
    /// system's.
    https: Mutex<HashMap<Roots, Arc<OnceCell<Client>>>>,
    /// Never speaks TLS, so that development needs no root certificates.
    loopback_http: Client,
}

impl Fetcher {
    /// # Errors
    /// The HTTP client cannot be made.
    pub(super) fn new(policy: FetchPolicy) -> Result<Self, reqwest::Error> {
        let policy = Arc::new(policy);
        let loopback_http = client(&policy).tls_certs_only([]).build()?;
        Ok(Self {
            policy,
            https: Mutex::default(),
            loopback_http,
        })
    }

    /// Where an issuer's keys are found (OpenID Connect Discovery 1.0 section 4.1), by the entry that trusts it.
    ///
    /// # Errors
    /// The URL is not one that this fetcher may use.
    pub(super) fn issuer(&self, identifier: &str, entry: &TrustedIssuer) -> Result<IssuerUrl, UrlError> {
        let own_policy = self.policy.for_issuer(entry.name()).map(Arc::new);
        let policy = own_policy.as_ref().unwrap_or(&self.policy);
        let url = policy.check(identifier)?;
        if url.query().is_some() {
            return Err(UrlError::UnexpectedPart);
        }
        let is_cluster = matches!(entry.rule(), Rule::Kubernetes) && !entry.name().is_pattern();
        let account = self.policy.service_account(url.host_str().unwrap_or_default());
        let discovery = format!(
            "{}/.well-known/openid-configuration",
            identifier.trim_end_matches('/')
        );
        Ok(IssuerUrl {
            identifier: identifier.to_owned(),
            discovery: policy.check(&discovery)?,
            access: match account.filter(|_| is_cluster && entry.ca_certificates().is_none()) {
                Some(account) => Access::Cluster(account.clone()),
                None => Access::Public(entry.ca_certificates().cloned()),
            },
            policy: own_policy,
        })
    }

    /// # Errors
    /// Anything but two well-formed documents that agree on the issuer.
    pub(super) async fn keys(&self, issuer: &IssuerUrl) -> Result<FetchedKeys, FetchError> {
        tokio::time::timeout(FETCH_TIMEOUT, self.discover(issuer))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    async fn discover(&self, issuer: &IssuerUrl) -> Result<FetchedKeys, FetchError> {
        let (discovery, _): (Discovery, _) = self.get(issuer, issuer.discovery.clone()).await?;
        let said = discovery.issuer()?;
        if said != issuer.identifier {
            return Err(FetchError::IssuerMismatch {
                said: Quoted::new(said),
            });
        }
        let algorithms = discovery.algorithms()?;
        let url = self.jwks_url(issuer, discovery.jwks_uri()?)?;
        let (jwks, max_age): (JwkSet, _) = self.get(issuer, url).await?;
        let keys = jwks.keys()?;
        if keys.len() > MAX_KEYS {
            return Err(FetchError::TooManyKeys);
        }
        let (keys, left_out) = KeySet::from_jwks(keys, algorithms);
        Ok(FetchedKeys {
            keys,
            left_out,
            max_age,
        })
    }

    /// An issuer on HTTPS must not send us to plain HTTP, not even on loopback. The API server of a cluster often names an
    /// address at which it is known outside; the pod's token is for its own address, where the same keys are.
    fn jwks_url(&self, issuer: &IssuerUrl, jwks_uri: &str) -> Result<Url, FetchError> {
        if let Access::Cluster(_) = &issuer.access {
            return issuer
                .discovery
                .join(CLUSTER_JWKS)
                .map_err(|_| FetchError::JwksUri(UrlError::NotAUrl));
        }
        let url = self
            .policy_for(issuer)
            .check(jwks_uri)
            .map_err(FetchError::JwksUri)?;
        if issuer.discovery.scheme() == "https" && url.scheme() != "https" {
            return Err(FetchError::JwksUri(UrlError::NotHttps));
        }
        Ok(url)
    }

    /// A document, and how long it may be cached.
    async fn get<T: DeserializeOwned>(
        &self,
        issuer: &IssuerUrl,
        url: Url,
    ) -> Result<(T, Option<Duration>), FetchError> {
        let client = self.client(issuer, &url).await?;
        let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        if let Access::Cluster(account) = &issuer.access
            && url.origin() == issuer.discovery.origin()
            && let Some(token) = account.token().map_err(FetchError::ServiceAccount)?
        {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = request.send().await.map_err(FetchError::of_request)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let max_age = response
            .headers()
            .get(CACHE_CONTROL)
            .and_then(|value| max_age(value.to_str().ok()?));
        let body = body(response, MAX_DOCUMENT_BYTES).await?;
        Ok((document::parse(&body)?, max_age))
    }

    async fn client(&self, issuer: &IssuerUrl, url: &Url) -> Result<Client, FetchError> {
        if url.scheme() == "http" {
            return Ok(self.loopback_http.clone());
        }
        let roots = match &issuer.access {
            Access::Public(roots) => roots,
            // Made anew each time, as Kubernetes may replace the file.
            Access::Cluster(account) => {
                let roots = account.ca_certificates().map_err(FetchError::ServiceAccount)?;
                return https_client(self.policy_for(issuer), Some(roots)).await;
            }
        };
        let make = || {
            let roots = roots.as_ref().map(|pem| pem.as_bytes().to_vec());
            https_client(self.policy_for(issuer), roots)
        };
        if issuer.policy.is_some() {
            return make().await;
        }
        let client = self.https_cell(roots);
        client.get_or_try_init(make).await.cloned()
    }

    fn policy_for<'a>(&'a self, issuer: &'a IssuerUrl) -> &'a Arc<FetchPolicy> {
        issuer.policy.as_ref().unwrap_or(&self.policy)
    }

    fn https_cell(&self, roots: &Roots) -> Arc<OnceCell<Client>> {
        let mut clients = self.https.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clients.entry(roots.clone()).or_default())
    }
}

async fn https_client(policy: &Arc<FetchPolicy>, roots: Option<Vec<u8>>) -> Result<Client, FetchError> {
    let builder = client(policy).https_only(true);
    let build = move || {
        let builder = match roots {
            Some(pem) => tls::http_client(
                builder,
                tls::beside_the_systems(&pem).map_err(FetchError::CaCertificates)?,
            ),
            None => builder,
        };
        builder.build().map_err(FetchError::Transport)
    };
    tokio::task::spawn_blocking(build)
        .await
        .map_err(|_| FetchError::Interrupted)?
}

/// No proxy: it would resolve names itself, past [`CheckedResolver`].
fn client(policy: &Arc<FetchPolicy>) -> reqwest::ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::custom(same_host_only))
        .referer(false)
        .no_proxy()
        .timeout(FETCH_TIMEOUT)
        .dns_resolver(CheckedResolver(Arc::clone(policy)))
        .user_agent(concat!("mayfly/", env!("CARGO_PKG_VERSION")))
}

/// `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1). `Age` is not subtracted: the lifetime is clamped anyway.
fn max_age(cache_control: &str) -> Option<Duration> {
    cache_control
        .split(',')
        .find_map(|directive| directive.trim().strip_prefix("max-age="))
        .and_then(|seconds| seconds.trim_matches('"').parse().ok())
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::{super::address::LoopbackHttp, *};
    use crate::trusted_issuer::{ChallengeClaim, IssuerName};

    fn entry(url: &str) -> TrustedIssuer {
        let name = IssuerName::exact(url).unwrap();
        TrustedIssuer::new(name, "sigstore".to_owned(), ChallengeClaim::Email, Rule::email())
    }

    fn may_lead_to(fetcher: &Fetcher, issuer: &str, jwks_uri: &str) -> bool {
        let issuer = fetcher.issuer(issuer, &entry(issuer)).unwrap();
        fetcher.jwks_url(&issuer, jwks_uri).is_ok()
    }

    #[test]
    fn an_issuer_on_https_does_not_lead_to_plain_http() {
        let fetcher = Fetcher::new(FetchPolicy::new(LoopbackHttp::Allowed)).unwrap();
        for (issuer, jwks_uri, expected) in [
            ("https://issuer.example", "http://localhost/jwks", false),
            ("https://issuer.example", "https://keys.example/jwks", true),
            ("http://localhost", "http://127.0.0.1/jwks", true),
        ] {
            assert_eq!(may_lead_to(&fetcher, issuer, jwks_uri), expected, "{jwks_uri}");
        }
    }

    #[test]
    fn the_private_address_of_one_issuer_is_not_open_to_another() {
        let fetcher = Fetcher::new(FetchPolicy::new(LoopbackHttp::Refused)).unwrap();
        for (issuer, expected) in [
            ("https://10.0.0.1", true),
            ("https://10.0.0.2", false),
            ("https://issuer.example", false),
        ] {
            assert_eq!(
                may_lead_to(&fetcher, issuer, "https://10.0.0.1/jwks"),
                expected,
                "{issuer}"
            );
        }
    }

    #[test]
    fn max_age_is_read_from_cache_control() {
        let seconds = |header| max_age(header).map(|age| age.as_secs());
        assert_eq!(seconds("max-age=300"), Some(300));
        assert_eq!(seconds("public, max-age=86400, must-revalidate"), Some(86_400));
        assert_eq!(seconds("max-age=\"60\""), Some(60));
        assert_eq!(seconds("s-maxage=60"), None);
        assert_eq!(seconds("max-age=-1"), None);
        assert_eq!(seconds("max-age=99999999999999999999"), None);
        assert_eq!(seconds("no-store"), None);
    }
}
