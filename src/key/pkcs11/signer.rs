//! The blocking calls of a token, on threads that are not the server's.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{error::Pkcs11Error, token::TokenKey, uri::Pkcs11Uri};
use crate::key::{
    passphrase::PassphraseSource,
    remote::{FoundKey, RemoteError, RemoteFuture, RemoteSigner},
};

/// Threads that may wait for the token at the same time, each with a session. One that the token never answers is lost.
const THREADS: usize = 16;
/// A token that is slow to start, such as one in a network, answers within this.
const FIND: Duration = Duration::from_secs(30);

struct TokenSigner {
    key: Arc<TokenKey>,
    threads: Arc<Semaphore>,
}

/// Finds the key that `uri` names and its public half, with the PIN from `pin` or the URI's `pin-source`.
pub(in crate::key) async fn find(
    uri: &str,
    pin: Option<&PassphraseSource>,
) -> Result<FoundKey, Box<dyn std::error::Error + Send + Sync>> {
    let uri: Pkcs11Uri = uri.parse()?;
    let pin = pin.cloned().or(uri.pin_file.clone().map(PassphraseSource::File));
    let finding = spawn_blocking(move || TokenKey::find(uri, pin));
    let found = timeout(FIND, finding).await.map_err(|_| Pkcs11Error::Late)?;
    let (key, spki_der) = found.map_err(|_| Pkcs11Error::Interrupted)??;
    let signer = TokenSigner {
        key: Arc::new(key),
        threads: Arc::new(Semaphore::new(THREADS)),
    };
    Ok(FoundKey {
        spki_der,
        signer: Box::new(signer),
    })
}

impl RemoteSigner for TokenSigner {
    fn backend(&self) -> &'static str {
        "pkcs11"
    }

    fn sign_digest<'a>(&'a self, digest: &'a [u8]) -> RemoteFuture<'a> {
        Box::pin(async move {
            let signed = self.sign(digest.to_vec()).await;
            signed.map_err(|error| RemoteError::new(error.trouble(), error))
        })
    }
}

impl TokenSigner {
    async fn sign(&self, digest: Vec<u8>) -> Result<Vec<u8>, Pkcs11Error> {
        let thread = Arc::clone(&self.threads).acquire_owned().await;
        let thread = thread.map_err(|_| Pkcs11Error::Interrupted)?;
        let key = Arc::clone(&self.key);
        // Whoever gives up waiting leaves the thread its place, so that a token that hangs takes no more than these threads.
        let signing = spawn_blocking(move || {
            let signed = key.sign(&digest);
            drop(thread);
            signed
        });
        signing.await.map_err(|_| Pkcs11Error::Interrupted)?
    }
}
