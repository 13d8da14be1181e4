//! The timestamp authority (RFC 3161, RFC 5816): says when a digest was there, so that a signature outlives its certificate.
//!
//! ```text
//! query     DER or JSON -> Query
//!   clock   the time, unless the clock was set
//!   ntp     time servers that confirm it
//!   token   Query + time -> TSTInfo -> signed
//! chain     the certificates, checked at start
//! rfc3161   the structures
//! ```
//!
//! It has a key and a chain of its own, and knows nothing of identities. `docs/timestamps.md` is its policy.

mod chain;
mod clock;
pub mod ntp;
mod query;
mod rfc3161;
mod token;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use der::{
    Decode, Encode,
    asn1::{GeneralizedTime, ObjectIdentifier},
};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use self::rfc3161::{Accuracy, GRANTED, PkiStatusInfo, REJECTION, TimeStampResp, TstInfo, VERSION};
pub use self::{
    chain::{TimestampChain, TimestampChainError},
    clock::{ClockError, ClockStepped, Reading, SteadyClock, WatchedClock},
    query::{LARGEST_QUERY, Query, QueryError},
    rfc3161::FailureInfo,
};
use crate::{
    clock::Timestamp,
    key::{KeyError, SigningKey},
    profile::{ProfileError, random_serial},
};

/// The policy under which times are signed unless the operator names one: the one of sigstore's timestamp authority.
pub const DEFAULT_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");

/// How far the time may be off: half a second for rounding, since clients do not agree on fractions, and half a second for the
/// clock of a machine that follows NTP.
const ACCURACY: Accuracy = Accuracy { seconds: 1 };
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// A key, the chain that speaks for it, and the policy under which it signs.
pub struct TimestampSigner {
    key: Arc<dyn SigningKey>,
    chain: Arc<TimestampChain>,
    policy: ObjectIdentifier,
}

impl TimestampSigner {
    /// Binds a key to its chain: the key must be that of the first certificate, and must sign.
    ///
    /// # Errors
    /// [`TimestampError::KeyMismatch`] if it is another key, and whatever keeps the key from signing.
    pub async fn new(
        key: Arc<dyn SigningKey>,
        chain: TimestampChain,
        policy: ObjectIdentifier,
    ) -> Result<Self, TimestampError> {
        let certified = chain.signer().tbs_certificate().subject_public_key_info();
        if certified.to_der()? != key.spki_der() {
            return Err(TimestampError::KeyMismatch);
        }
        let message = b"mayfly: timestamp key self-test";
        let signature = key.sign(message).await?;
        let public = SubjectPublicKeyInfoRef::from_der(key.spki_der())?;
        match key.algorithm().verifies(&public, message, &signature) {
            true => Ok(Self {
                key,
                chain: Arc::new(chain),
                policy,
            }),
            false => Err(TimestampError::KeyMismatch),
        }
    }

    /// The authority's certificates.
    #[must_use]
    pub const fn chain(&self) -> &Arc<TimestampChain> {
        &self.chain
    }

    /// The policy under which it signs.
    #[must_use]
    pub const fn policy(&self) -> ObjectIdentifier {
        self.policy
    }

    async fn sign(&self, query: &Query, clock: &WatchedClock) -> Result<Vec<u8>, TimestampError> {
        if query.policy.is_some_and(|policy| policy != self.policy) {
            return Err(QueryError::Policy.into());
        }
        let info = TstInfo {
            version: VERSION,
            policy: self.policy,
            message_imprint: query.imprint.clone(),
            serial_number: random_serial()?,
            gen_time: self.time(clock)?,
            accuracy: ACCURACY,
            ordering: false,
            nonce: query.nonce.clone(),
        };
        let signer = (self.key.as_ref(), self.chain.as_ref());
        let token = token::sign(&info, query.wants_certificates, signer).await?;
        let response = TimeStampResp {
            status: PkiStatusInfo {
                status: GRANTED,
                status_string: None,
                fail_info: None,
            },
            time_stamp_token: Some(token),
        };
        Ok(response.to_der()?)
    }

    /// To the nearest second, and within the life of all certificates.
    fn time(&self, clock: &WatchedClock) -> Result<GeneralizedTime, TimestampError> {
        let now: Timestamp = clock.now()?;
        let rounded = Duration::from_secs(now.plus(HALF_A_SECOND).unix_seconds());
        if !self.chain.validity().contains(&rounded) {
            return Err(TimestampError::CertificatesNotValid);
        }
        Ok(GeneralizedTime::from_unix_duration(rounded)?)
    }
}

/// Whoever signs now, and a clock.
pub struct TimestampAuthority {
    signer: ArcSwap<TimestampSigner>,
    clock: WatchedClock,
}

impl TimestampAuthority {
    /// Says the time by `clock`.
    #[must_use]
    pub fn new(signer: TimestampSigner, clock: WatchedClock) -> Self {
        Self {
            signer: ArcSwap::from_pointee(signer),
            clock,
        }
    }

    /// Who signs now.
    #[must_use]
    pub fn signer(&self) -> Arc<TimestampSigner> {
        self.signer.load_full()
    }

    /// From now on another signs; requests that have begun end as they began.
    pub fn sign_with(&self, signer: Arc<TimestampSigner>) {
        self.signer.store(signer);
    }

    /// Its clock, for whoever confirms that.
    #[must_use]
    pub const fn clock(&self) -> &WatchedClock {
        &self.clock
    }

    /// Whether it could say the time now, as far as that is known without asking its key.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn health(&self) -> Result<(), TimestampError> {
        self.signer().time(&self.clock).map(drop)
    }

    /// The answer to `query`: DER of a TimeStampResp (RFC 3161 2.4.2) with a token.
    ///
    /// # Errors
    /// What keeps the authority from saying the time.
    pub async fn stamp(&self, query: &Query) -> Result<Vec<u8>, TimestampError> {
        self.signer().sign(query, &self.clock).await
    }
}

/// DER of a TimeStampResp without a token (RFC 3161 2.4.2): why, by code and in words.
///
/// # Errors
/// Words that DER cannot hold.
pub fn refusal(failure: FailureInfo, why: &str) -> Result<Vec<u8>, der::Error> {
    let response = TimeStampResp {
        status: PkiStatusInfo {
            status: REJECTION,
            status_string: Some(vec![why.to_owned()]),
            fail_info: Some(failure.to_bit_string()?),
        },
        time_stamp_token: None,
    };
    response.to_der()
}

/// Why a time is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// The caller's doing.
    #[error("the timestamp request is refused: {0}")]
    Query(#[from] QueryError),
    /// The clock was set, or nobody confirms it.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A certificate of the chain has expired, or is not valid yet.
    #[error("a certificate of the timestamp authority's chain is not valid now: its operator must renew it")]
    CertificatesNotValid,
    /// Key and certificate are not a pair.
    #[error("the timestamp authority's key is not that of the first certificate of its chain")]
    KeyMismatch,
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No serial number could be made.
    #[error(transparent)]
    Serial(#[from] ProfileError),
    /// The token could not be encoded.
    #[error("the timestamp could not be encoded")]
    Encoding(#[from] der::Error),
}

impl TimestampError {
    /// The code in an answer.
    #[must_use]
    pub const fn failure(&self) -> FailureInfo {
        match self {
            Self::Query(error) => error.failure(),
            Self::Clock(_) => FailureInfo::TimeNotAvailable,
            _ => FailureInfo::SystemFailure,
        }
    }
}

#[cfg(test)]
mod tests;
