//! The discipline of keys that are somewhere else: a token, a key management service.
//!
//! Whatever the backend, a signature is asked for with a deadline, again after a passing failure, at most so many at a time,
//! and not at all for a while if the service keeps failing. What comes back is verified before anybody sees it: a service that
//! answers with another key's signature, or a damaged one, has not signed.

mod ecdsa;
mod endpoint;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
mod rsa;

use std::{error::Error, fmt, future::Future, pin::Pin, time::Duration};

use der::Decode;
use spki::SubjectPublicKeyInfoRef;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{KeyError, SignatureAlgorithm, SignatureFuture, SigningKey};
use crate::{
    breaker::{Breaker, Rests},
    causes::in_one_line,
    telemetry::{KeySeries, Signed},
};

pub use ecdsa::{der_signature, spki_of_point};
pub use endpoint::{https_url_of, url_of};
pub use failure::Failure;
pub use rsa::spki_of_rsa;

/// An answer under way.
pub type RemoteFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, RemoteError>> + Send + 'a>>;

/// A key somewhere else, which signs one digest at a time, without any discipline of its own.
pub trait RemoteSigner: Send + Sync {
    /// What kind of service it is: the scheme of its URI.
    fn backend(&self) -> &'static str;

    /// Signs a digest: SHA-256 or SHA-384, as the key's [`SignatureAlgorithm`] says. ECDSA signatures are DER (RFC 3279
    /// 2.2.3), RSA signatures PKCS#1 v1.5.
    fn sign_digest<'a>(&'a self, digest: &'a [u8]) -> RemoteFuture<'a>;
}

/// A remote key as its backend found it.
pub struct FoundKey {
    /// Its public half: DER SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// What asks it.
    pub signer: Box<dyn RemoteSigner>,
}

/// Why a remote key did not sign, and what that means for the next attempt.
#[derive(Debug)]
pub struct RemoteError {
    trouble: Trouble,
    source: Box<dyn Error + Send + Sync>,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass: no connection, no answer, a 5xx.
    Passing,
    /// Too many requests; after that time, if the service says so.
    Throttled(Option<Duration>),
    /// It will be the same again: no such key, no permission, a request that the service does not understand.
    Refused,
}

impl RemoteError {
    /// For the reason in `source`, which holds no secret.
    pub fn new(trouble: Trouble, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        Self { trouble, source }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.trouble {
            Trouble::Passing => "the key's service failed",
            Trouble::Throttled(_) => "the key's service takes no more requests for a while",
            Trouble::Refused => "the key's service refused to sign",
        })
    }
}

impl Error for RemoteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// How much is asked of a remote key.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One attempt, from the first byte to the last.
    pub attempt: Duration,
    /// All of it, with waiting for a turn and all attempts.
    pub whole: Duration,
    /// Attempts for one signature.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles, and is shortened at random by up to a half.
    pub pause: Duration,
    /// Requests under way at the same time.
    pub concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(3),
            whole: Duration::from_secs(8),
            attempts: 3,
            pause: Duration::from_millis(50),
            concurrent: 64,
        }
    }
}

/// For how long a service that keeps failing is left alone. Short, since nothing is issued meanwhile.
const RESTS: Rests = Rests {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(16),
};

/// A remote key under the discipline.
pub struct RemoteKey {
    signer: Box<dyn RemoteSigner>,
    spki_der: Vec<u8>,
    algorithm: SignatureAlgorithm,
    limits: Limits,
    places: Semaphore,
    breaker: Breaker,
    metrics: KeySeries,
}

impl RemoteKey {
    /// Takes a key that a backend found.
    ///
    /// # Errors
    /// [`SignError::Unsupported`] if it is not of a kind that signs here.
    pub(crate) fn new(found: FoundKey, limits: Limits, metrics: KeySeries) -> Result<Self, SignError> {
        let FoundKey { spki_der, signer } = found;
        let spki = SubjectPublicKeyInfoRef::from_der(&spki_der).map_err(|_| SignError::Unsupported)?;
        let algorithm = SignatureAlgorithm::of(&spki).ok_or(SignError::Unsupported)?;
        Ok(Self {
            signer,
            algorithm,
            spki_der,
            limits,
            places: Semaphore::new(limits.concurrent),
            breaker: Breaker::new(RESTS),
            metrics,
        })
    }

    async fn sign_in_time(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let deadline = deadline(self.limits.whole);
        let Ok(Ok(_place)) = timeout_at(deadline, self.places.acquire()).await else {
            return Err(SignError::Busy);
        };
        let digest = self.algorithm.digest(message);
        let mut pause = self.limits.pause;
        let mut attempt = 1;
        loop {
            let error = match timeout_at(deadline, self.attempt(message, digest.as_ref())).await {
                Ok(Ok(signature)) => return Ok(signature),
                Ok(Err(error)) => error,
                Err(_) => return Err(SignError::Late),
            };
            let wait = match error.retry_after() {
                Some(asked) if attempt < self.limits.attempts => asked.max(jitter(pause)),
                _ => return Err(error),
            };
            if deadline.saturating_duration_since(Instant::now()) <= wait {
                return Err(error);
            }
            sleep(wait).await;
            attempt = attempt.saturating_add(1);
            pause = pause.saturating_mul(2);
        }
    }

    /// One request, unless the service is being left alone.
    async fn attempt(&self, message: &[u8], digest: &[u8]) -> Result<Vec<u8>, SignError> {
        let leave = self.breaker.ask(Instant::now()).map_err(SignError::LeftAlone)?;
        let observed = self.metrics.attempt();
        let result = match timeout(self.limits.attempt, self.signer.sign_digest(digest)).await {
            Ok(Ok(signature)) => self.verified(message, signature),
            Ok(Err(error)) => Err(SignError::Remote(error)),
            Err(_) => Err(SignError::Late),
        };
        let now = Instant::now();
        match &result {
            Ok(_) => leave.succeeded(),
            Err(SignError::Remote(RemoteError {
                trouble: Trouble::Throttled(after),
                ..
            })) => leave.sent_away(now, after.unwrap_or_default()),
            Err(_) => leave.failed(now),
        }
        observed.ended(match &result {
            Ok(_) => Signed::Yes,
            Err(error) => error.outcome(),
        });
        self.metrics.breaker(self.breaker.is_open());
        result
    }

    fn verified(&self, message: &[u8], signature: Vec<u8>) -> Result<Vec<u8>, SignError> {
        let key = SubjectPublicKeyInfoRef::from_der(&self.spki_der).map_err(|_| SignError::Unsupported)?;
        match self.algorithm.verifies(&key, message, &signature) {
            true => Ok(signature),
            false => Err(SignError::WrongSignature),
        }
    }
}

impl SigningKey for RemoteKey {
    fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> SignatureFuture<'a> {
        Box::pin(async move {
            let signed = self.sign_in_time(message).await;
            signed.map_err(|error| {
                let reason = in_one_line(&error);
                tracing::warn!(
                    backend = self.signer.backend(),
                    error = reason,
                    "a key did not sign"
                );
                KeyError::new(error)
            })
        })
    }
}

impl fmt::Debug for RemoteKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteKey")
            .field("backend", &self.signer.backend())
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn deadline(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or(now)
}

/// Between a half and the whole of `pause`, so that many that failed together do not come back together.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the whole pause.
    let part = aws_lc_rs::rand::fill(&mut byte).map_or(0, |()| u32::from(byte[0]));
    pause.saturating_sub(pause.saturating_mul(part) / 512)
}

/// Why a remote key did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Not ECDSA on P-256 or P-384, nor RSA.
    #[error("the key is not ECDSA on P-256 or P-384, nor RSA")]
    Unsupported,
    /// As many requests are under way as may be.
    #[error("too many signatures are under way")]
    Busy,
    /// No answer in time.
    #[error("the key's service did not answer in time")]
    Late,
    /// It kept failing.
    #[error("the key's service keeps failing, and is left alone for {} s", .0.as_secs_f32())]
    LeftAlone(Duration),
    /// What came back is not this key's signature over the message.
    #[error("the key's service answered with a signature that is not the key's over what was to be signed")]
    WrongSignature,
    /// It said no.
    #[error(transparent)]
    Remote(RemoteError),
}

impl SignError {
    /// When to try again, if that makes sense.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Late | Self::WrongSignature => Some(Duration::ZERO),
            Self::Remote(error) => match error.trouble {
                Trouble::Passing => Some(Duration::ZERO),
                Trouble::Throttled(after) => Some(after.unwrap_or_default()),
                Trouble::Refused => None,
            },
            Self::Unsupported | Self::Busy | Self::LeftAlone(_) => None,
        }
    }

    fn outcome(&self) -> Signed {
        match self {
            Self::Late => Signed::Late,
            Self::WrongSignature => Signed::Wrong,
            Self::Remote(error) => match error.trouble {
                Trouble::Passing => Signed::Failed,
                Trouble::Throttled(_) => Signed::Throttled,
                Trouble::Refused => Signed::Refused,
            },
            Self::Unsupported | Self::Busy | Self::LeftAlone(_) => Signed::Failed,
        }
    }
}

#[cfg(test)]
mod tests;
