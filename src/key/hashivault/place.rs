//! Where Vault is and what opens it, by the variables of its own client.

use std::{env, fs, path::PathBuf};

use ct_log::tls;
use reqwest::{
    Client,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use url::Url;

use super::exchange::{CONNECT, VaultError};
use crate::{
    key::passphrase::{Passphrase, PassphraseSource},
    loopback::is_loopback,
};

const ADDRESS: &str = "VAULT_ADDR";
const TOKEN: &str = "VAULT_TOKEN";
const NAMESPACE: &str = "VAULT_NAMESPACE";
const AUTHORITIES: &str = "VAULT_CACERT";
const ENGINE: &str = "TRANSIT_SECRET_ENGINE_PATH";

/// A Vault, as it is configured.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Whether `http` may be spoken to it is checked.
    address: Url,
    engine: String,
    namespace: Option<HeaderValue>,
    authorities: Option<PathBuf>,
    pub(super) token: PassphraseSource,
}

impl Place {
    pub(super) fn of_environment(token: Option<&PassphraseSource>) -> Result<Self, VaultError> {
        let address = variable(ADDRESS)?.ok_or(VaultError::NoAddress)?;
        let token = token.cloned();
        let mut place = Self::new(
            &address,
            token.unwrap_or_else(|| PassphraseSource::Environment(TOKEN.to_owned())),
        )?;
        if let Some(engine) = variable(ENGINE)? {
            place.engine = engine;
        }
        place.namespace = variable(NAMESPACE)?
            .map(|namespace| HeaderValue::from_str(&namespace).map_err(|_| VaultError::Variable(NAMESPACE)))
            .transpose()?;
        place.authorities = env::var_os(AUTHORITIES).map(PathBuf::from);
        match place.engine.split('/').all(is_segment) {
            true => Ok(place),
            false => Err(VaultError::Variable(ENGINE)),
        }
    }

    /// The engine at its usual path, with a certificate below an authority that this machine trusts.
    pub(super) fn new(address: &str, token: PassphraseSource) -> Result<Self, VaultError> {
        let address = Url::parse(address).ok().filter(is_allowed);
        Ok(Self {
            address: address.ok_or(VaultError::Address)?,
            engine: "transit".to_owned(),
            namespace: None,
            authorities: None,
            token,
        })
    }

    /// The URL of something in the engine.
    pub(super) fn url(&self, segments: &[&str]) -> Result<Url, VaultError> {
        let mut url = self.address.clone();
        url.path_segments_mut()
            .map_err(|()| VaultError::Address)?
            .pop_if_empty()
            .push("v1")
            .extend(self.engine.split('/'))
            .extend(segments);
        Ok(url)
    }

    /// No redirects, which would take the token along, and no proxy from the environment: the operator named an address, and
    /// means it.
    pub(super) fn client(&self) -> Result<Client, VaultError> {
        let mut headers = HeaderMap::new();
        // Vault refuses requests without it if its listener says so: a browser cannot set it.
        headers.insert(
            HeaderName::from_static("x-vault-request"),
            HeaderValue::from_static("true"),
        );
        if let Some(namespace) = &self.namespace {
            headers.insert(HeaderName::from_static("x-vault-namespace"), namespace.clone());
        }
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .default_headers(headers)
            .user_agent(concat!("mayfly/", env!("CARGO_PKG_VERSION")));
        let client = match &self.authorities {
            Some(path) => {
                let pem = fs::read(path).map_err(VaultError::Authorities)?;
                tls::http_client(client, tls::only(&pem).map_err(VaultError::Certificates)?)
            }
            // Without TLS there is nothing to trust, and the machine may have no certificates at all.
            None if self.address.scheme() == "http" => client.tls_certs_only([]),
            None => client,
        };
        client.build().map_err(VaultError::Transport)
    }
}

/// A token as it is sent, kept out of logs.
pub(super) fn header(token: &Passphrase) -> Result<HeaderValue, VaultError> {
    let mut header = HeaderValue::from_bytes(token.expose()).map_err(|_| VaultError::Token)?;
    header.set_sensitive(true);
    Ok(header)
}

fn variable(name: &'static str) -> Result<Option<String>, VaultError> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(VaultError::Variable(name)),
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !segment.is_empty() && !matches!(segment, "." | "..") && segment.chars().all(allowed)
}

/// The token goes over TLS, or to this machine itself.
fn is_allowed(address: &Url) -> bool {
    let is_here = || address.host().is_some_and(|host| is_loopback(&host));
    let has_more = address.query().is_some()
        || address.fragment().is_some()
        || !address.username().is_empty()
        || address.password().is_some();
    !has_more && (address.scheme() == "https" || address.scheme() == "http" && is_here())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Result<Place, VaultError> {
        Place::new(address, PassphraseSource::Environment(TOKEN.to_owned()))
    }

    #[test]
    fn the_token_goes_over_tls_or_to_this_machine() {
        for (address, url) in [
            (
                "https://vault.example.com:8200",
                "https://vault.example.com:8200/v1/transit/keys/ca",
            ),
            (
                "https://example.com/vault/",
                "https://example.com/vault/v1/transit/keys/ca",
            ),
            (
                "http://127.0.0.1:8200/",
                "http://127.0.0.1:8200/v1/transit/keys/ca",
            ),
            ("http://[::1]:8200", "http://[::1]:8200/v1/transit/keys/ca"),
            (
                "http://localhost:8200",
                "http://localhost:8200/v1/transit/keys/ca",
            ),
        ] {
            assert_eq!(
                place(address).unwrap().url(&["keys", "ca"]).unwrap().as_str(),
                url
            );
        }
        for address in [
            "vault.example.com",
            "http://vault.example.com",
            "http://localhost.example.com",
            "https://user@vault.example.com",
            "https://vault.example.com/?a=b",
            "unix:///run/vault",
        ] {
            assert!(place(address).is_err(), "{address}");
        }
    }

    #[test]
    fn an_engine_may_be_anywhere_but_stays_in_its_path() {
        let engine = |path: &str| path.split('/').all(is_segment);
        assert!(engine("transit") && engine("team/transit-2"));
        assert!(!engine("") && !engine("../sys") && !engine("transit/") && !engine("a?b"));
    }
}
