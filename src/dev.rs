//! The development identity provider: who a newcomer is, without an account anywhere.
//!
//! It signs a token for whoever asks on this machine, so it is for `mayfly dev` alone. It listens on loopback only,
//! answers to loopback names only, and its two issuers are trusted by no file but the one that `mayfly dev` writes:
//!
//! * [`EMAIL_PATH`]: OpenID Connect with a login page (authorization code + PKCE) and the device flow;
//!   its tokens carry `email` and `email_verified`.
//! * [`GITHUB_PATH`]: discovery and keys only; its tokens have the claims of a GitHub Actions run and come from
//!   `mayfly dev token --github`.
//!
//! Two issuers because one issuer URL has one rule in the issuer file.

mod authorize;
mod claims;
pub mod data_dir;
mod device;
mod device_grants;
mod discovery;
mod issuer_file;
mod key;
mod loopback;
mod mint;
mod oauth_error;
mod page;
mod pending_codes;
mod pkce;
mod provider;
pub mod ready;
mod redirect_uri;
mod subject;
mod token_endpoint;

pub use issuer_file::issuer_file;
pub use key::{KeyError, ProviderKey};
pub use mint::{Issuers, Minter};
pub use provider::IdentityProvider;
pub use subject::{EmailAddress, Repository, SubjectError};

/// Path of the issuer with the login page, under the API's origin.
pub const EMAIL_PATH: &str = "/dev/oidc";

/// Path of the issuer of GitHub-Actions-shaped tokens, under the API's origin.
pub const GITHUB_PATH: &str = "/dev/github";

/// The public client that every Sigstore client uses unless told otherwise; also the audience of its tokens.
pub const CLIENT_ID: &str = "sigstore";
