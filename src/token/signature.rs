//! Whether a token is signed by a key that its issuer publishes now.

use std::sync::Arc;

use ct_log::acceptor::ClientAddress;
use tokio::time::Instant;

use super::{
    FetchError, TokenError,
    cache::{IssuerKeys, NewerKeys},
    envelope::Jws,
    error::Quoted,
    keys::{KeySet, Mismatch},
};

impl IssuerKeys {
    /// A signature that the named key did not make costs nothing more. A key that is not known may be one that the
    /// issuer has just begun to use, so it is worth asking for newer keys, as often as the cool-down lets.
    pub(super) async fn verify(
        self: &Arc<Self>,
        jws: &Jws<'_>,
        client: Option<ClientAddress>,
    ) -> Result<(), TokenError> {
        let arrived = Instant::now();
        let cached = self
            .current(client)
            .await
            .map_err(|source| self.unavailable(source))?;
        let mismatch = match cached.keys().verify(jws) {
            Ok(()) => return Ok(()),
            Err(mismatch) if !may_be_rotation(mismatch, jws) || cached.are_newer_than(arrived) => {
                return Err(self.refusal(mismatch, jws, cached.keys()));
            }
            Err(mismatch) => mismatch,
        };
        let newer = self
            .newer_than(&cached, client)
            .await
            .map_err(|source| self.unavailable(source))?;
        match newer {
            NewerKeys::Fetched(newer) => newer
                .keys()
                .verify(jws)
                .map_err(|mismatch| self.refusal(mismatch, jws, newer.keys())),
            NewerKeys::None => Err(self.refusal(mismatch, jws, cached.keys())),
            NewerKeys::NotAsked(retry_after) => Err(TokenError::KeyNotYetKnown {
                issuer: self.quoted_url(),
                retry_after,
            }),
        }
    }

    fn refusal(&self, mismatch: Mismatch, jws: &Jws<'_>, keys: &KeySet) -> TokenError {
        let algorithm = jws.algorithm().name();
        match mismatch {
            Mismatch::Signature => TokenError::SignatureInvalid,
            Mismatch::Algorithm => TokenError::AlgorithmNotAllowed {
                algorithm: Quoted::new(algorithm),
            },
            Mismatch::AlgorithmNotNamed => TokenError::AlgorithmNotNamed {
                algorithm: Quoted::new(algorithm),
                issuer: self.quoted_url(),
                named: keys.algorithms(),
            },
            Mismatch::UnknownKey => TokenError::UnknownKey {
                issuer: self.quoted_url(),
                key: Quoted::new(jws.key_id().unwrap_or(algorithm)),
            },
        }
    }

    fn unavailable(&self, source: Arc<FetchError>) -> TokenError {
        let issuer = self.quoted_url();
        match *source {
            FetchError::IssuerMismatch { .. } => TokenError::IssuerMismatch { issuer },
            _ => TokenError::IssuerUnavailable { issuer, source },
        }
    }

    fn quoted_url(&self) -> Quoted {
        Quoted::new(self.issuer())
    }
}

fn may_be_rotation(mismatch: Mismatch, jws: &Jws<'_>) -> bool {
    match mismatch {
        // The issuer may have got a new key, or name a new algorithm.
        Mismatch::UnknownKey | Mismatch::AlgorithmNotNamed => true,
        Mismatch::Signature => jws.key_id().is_none(),
        Mismatch::Algorithm => false,
    }
}
