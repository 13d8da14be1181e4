//! What an operator says about trust, beside what signs. It may change while the server runs.

use std::{collections::BTreeMap, sync::Arc};

use super::PublicUrl;
use crate::{clock::Timestamp, issuer::CertificateChain, timestamp::TimestampChain};

/// What an operator says about trust.
#[derive(Clone, Debug, Default)]
pub struct TrustStatement {
    /// Where clients reach the instance. Nothing if it was not said.
    pub url: Option<PublicUrl>,
    /// CAs that are yet to sign, and those that did.
    pub also_trusted: Vec<TrustedAuthority>,
    /// The timestamp authority of this instance, if it has one.
    pub timestamps: Option<Arc<TimestampChain>>,
    /// Timestamp authorities beside that: those that are yet to sign, and those that did.
    pub timestamps_also_trusted: Vec<TrustedTimestamps>,
    /// Until when SCTs of a log of this instance are believed, by its origin; others are believed as long as their
    /// log lasts.
    pub logs_until: BTreeMap<String, Timestamp>,
}

/// A CA, and until when what it signed is believed.
#[derive(Clone, Debug)]
pub struct TrustedAuthority {
    /// Its certificates.
    pub chain: Arc<CertificateChain>,
    /// Nothing that was signed later is believed. Without it, the certificates alone say.
    pub until: Option<Timestamp>,
}

/// A timestamp authority, and until when what it signed is believed.
#[derive(Clone, Debug)]
pub struct TrustedTimestamps {
    /// Its certificates.
    pub chain: Arc<TimestampChain>,
    /// No later time of its is believed. Without it, the certificates alone say.
    pub until: Option<Timestamp>,
}

impl TrustedTimestamps {
    /// When its own certificate begins.
    pub(super) fn since(&self) -> Timestamp {
        let validity = self.chain.signer().tbs_certificate().validity();
        Timestamp::from_unix(validity.not_before.to_unix_duration())
    }
}

impl TrustedAuthority {
    /// When its issuing certificate begins.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        let validity = self.chain.issuing().tbs_certificate().validity();
        Timestamp::from_unix(validity.not_before.to_unix_duration())
    }

    /// Whether something that is signed at `now` would be believed, as far as the operator says.
    #[must_use]
    pub fn is_believed(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until >= now)
    }

    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.chain.der().first() == other.chain.der().first()
    }
}

impl From<Arc<CertificateChain>> for TrustedAuthority {
    fn from(chain: Arc<CertificateChain>) -> Self {
        Self { chain, until: None }
    }
}
