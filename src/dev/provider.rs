//! The provider's state and routes.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use super::{
    EMAIL_PATH, GITHUB_PATH, authorize, device, device_grants::DeviceGrants, discovery, loopback,
    mint::Minter, pending_codes::PendingCodes, token_endpoint,
};
use crate::clock::{Clock, Timestamp};

/// OpenID Connect Discovery section 4.
const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(super) const JWKS: &str = "/jwks";
pub(super) const AUTHORIZATION: &str = "/authorize";
/// Where clients look for it that do no discovery (sigstore-rust): Dex has it there. They look for
/// tokens at [`TOKEN`].
const AUTHORIZATION_OF_DEX: &str = "/auth";
pub(super) const TOKEN: &str = "/token";
pub(super) const DEVICE_AUTHORIZATION: &str = "/device_authorization";
/// The page where a person enters the device's code.
pub(super) const DEVICE: &str = "/device";

/// A login form with the longest values that are accepted stays well below this.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The longest redirect URI and nonce that are kept between login and token request; real ones have some 60 bytes.
pub(super) const MAX_PARAMETER_BYTES: usize = 1024;

pub(super) struct Provider {
    pub(super) minter: Minter,
    pub(super) codes: PendingCodes,
    pub(super) devices: DeviceGrants,
    clock: Arc<dyn Clock>,
}

impl Provider {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The running development identity provider.
pub struct IdentityProvider(Arc<Provider>);

impl IdentityProvider {
    /// With nobody logged in. `minter` fixes the issuers' URLs.
    #[must_use]
    pub fn new(minter: Minter, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Provider {
            minter,
            codes: PendingCodes::default(),
            devices: DeviceGrants::default(),
            clock,
        }))
    }

    /// The routes of both issuers, with their full paths: merge it into the API's router, do not nest it.
    pub fn router(&self) -> Router {
        let email = Router::new()
            .route(DISCOVERY, get(discovery::email))
            .route(JWKS, get(discovery::jwks))
            .route(AUTHORIZATION, get(authorize::show).post(authorize::log_in))
            .route(AUTHORIZATION_OF_DEX, get(authorize::show).post(authorize::log_in))
            .route(TOKEN, post(token_endpoint::exchange))
            .route(DEVICE_AUTHORIZATION, post(device::authorize))
            .route(DEVICE, get(device::show).post(device::approve));
        let github = Router::new()
            .route(DISCOVERY, get(discovery::github))
            .route(JWKS, get(discovery::jwks));
        Router::new()
            .nest(EMAIL_PATH, email)
            .nest(GITHUB_PATH, github)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(middleware::from_fn(loopback::guard))
            .with_state(Arc::clone(&self.0))
    }
}
