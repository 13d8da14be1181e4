//! Tokens: what the login hands out, and what `mayfly dev token` prints.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    CLIENT_ID, EMAIL_PATH, GITHUB_PATH,
    claims::{EmailClaims, GithubClaims, Lifetime},
    key::{KeyError, ProviderKey},
    subject::{EmailAddress, Repository},
};
use crate::clock::Timestamp;

/// The URLs of the two issuers, as tokens, discovery and the issuer file name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers {
    email: String,
    github: String,
}

impl Issuers {
    /// The issuers of the API at `origin`, such as `http://127.0.0.1:5555` (no trailing slash).
    #[must_use]
    pub fn at(origin: &str) -> Self {
        Self {
            email: format!("{origin}{EMAIL_PATH}"),
            github: format!("{origin}{GITHUB_PATH}"),
        }
    }

    /// The issuer with the login page.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The issuer of GitHub-Actions-shaped tokens.
    #[must_use]
    pub fn github(&self) -> &str {
        &self.github
    }
}

/// What the token endpoint returns after a login.
pub(super) struct LoginTokens {
    pub(super) access_token: String,
    pub(super) id_token: String,
}

/// Signs tokens of both issuers.
#[derive(Debug)]
pub struct Minter {
    key: ProviderKey,
    issuers: Issuers,
}

impl Minter {
    /// With the provider's key, for the issuers at their present URLs.
    #[must_use]
    pub fn new(key: ProviderKey, issuers: Issuers) -> Self {
        Self { key, issuers }
    }

    /// The issuers whose tokens it signs.
    #[must_use]
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    pub(super) fn key(&self) -> &ProviderKey {
        &self.key
    }

    /// A token for a person: `email`, and `email_verified` true.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn email(&self, email: &EmailAddress, audience: &str, now: Timestamp) -> Result<String, KeyError> {
        self.key.sign(&self.email_claims(email, audience, now))
    }

    /// A token with the claims of a GitHub Actions run on the repository's main branch.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn github(
        &self,
        repository: &Repository,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, KeyError> {
        let lifetime = Lifetime::from(now);
        self.key.sign(&GithubClaims::new(
            &self.issuers.github,
            audience,
            repository,
            lifetime,
        ))
    }

    /// The tokens of a login. The access token is a JWT for the same audience because sigstore-python
    /// sends that one to the certificate authority.
    pub(super) fn login(
        &self,
        email: &EmailAddress,
        nonce: Option<String>,
        now: Timestamp,
    ) -> Result<LoginTokens, KeyError> {
        let mut claims = self.email_claims(email, CLIENT_ID, now);
        let access_token = self.key.sign(&claims)?;
        claims.nonce = nonce;
        claims.at_hash = Some(access_token_hash(&access_token));
        Ok(LoginTokens {
            id_token: self.key.sign(&claims)?,
            access_token,
        })
    }

    fn email_claims(&self, email: &EmailAddress, audience: &str, now: Timestamp) -> EmailClaims {
        EmailClaims::new(&self.issuers.email, audience, email, Lifetime::from(now))
    }
}

/// `at_hash`: the left half of the hash that the token's `alg` names (OpenID Connect Core 3.1.3.6).
fn access_token_hash(access_token: &str) -> String {
    let hash = digest(&SHA256, access_token.as_bytes());
    let (left_half, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left_half)
}
