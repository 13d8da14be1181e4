//! Authorization codes that were given out and not yet redeemed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{pkce::Challenge, subject::EmailAddress};
use crate::clock::Timestamp;

/// RFC 6749 section 4.1.2 recommends at most ten minutes; five leave time to copy a code by hand.
const CODE_LIFETIME: Duration = Duration::from_secs(300);

/// With at most some 4 KiB per grant this bounds the memory to a few MiB.
const MAX_PENDING: usize = 1024;

/// 256 bits: not guessable (RFC 6749 section 10.10).
const CODE_BYTES: usize = 32;

/// What a code stands for.
#[derive(Clone, Debug)]
pub(super) struct CodeGrant {
    pub(super) redirect_uri: String,
    pub(super) challenge: Challenge,
    pub(super) nonce: Option<String>,
    pub(super) email: EmailAddress,
}

/// Every pending code with its grant and the instant at which it stops to count.
#[derive(Debug, Default)]
pub(super) struct PendingCodes(Mutex<HashMap<String, (Timestamp, CodeGrant)>>);

impl PendingCodes {
    /// A new code for a grant, if need be instead of the one that ends first; `None` when no randomness can be had.
    pub(super) fn issue(&self, grant: CodeGrant, now: Timestamp) -> Option<String> {
        let code = random_code()?;
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, (expires, _)| now < *expires);
        if pending.len() >= MAX_PENDING {
            let first = pending.iter().min_by_key(|(_, (expires, _))| *expires);
            let first = first.map(|(code, _)| code.clone());
            first.and_then(|code| pending.remove(&code));
        }
        pending.insert(code.clone(), (now.plus(CODE_LIFETIME), grant));
        Some(code)
    }

    /// Takes the code out, so that it counts once, whatever the checks of its grant say.
    pub(super) fn redeem(&self, code: &str, now: Timestamp) -> Option<CodeGrant> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (expires, grant) = pending.remove(code)?;
        (now < expires).then_some(grant)
    }
}

/// An unguessable value, in base64url.
pub(super) fn random_code() -> Option<String> {
    let mut bytes = [0; CODE_BYTES];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(Duration::from_secs(1_700_000_000));

    fn grant() -> CodeGrant {
        CodeGrant {
            redirect_uri: "http://localhost".to_owned(),
            challenge: Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Some("S256")).unwrap(),
            nonce: None,
            email: "you@example.com".parse().unwrap(),
        }
    }

    #[test]
    fn counts_once_and_not_for_long() {
        let codes = PendingCodes::default();
        let code = codes.issue(grant(), NOW).unwrap();
        assert!(codes.redeem(&code, NOW).is_some());
        assert!(codes.redeem(&code, NOW).is_none());
        let late = codes.issue(grant(), NOW).unwrap();
        assert!(codes.redeem(&late, NOW.plus(CODE_LIFETIME)).is_none());
    }

    #[test]
    fn memory_is_bounded_and_the_newest_count() {
        let codes = PendingCodes::default();
        let first = codes.issue(grant(), NOW).unwrap();
        let later = NOW.plus(Duration::from_secs(1));
        let second = codes.issue(grant(), later).unwrap();
        assert!((2..=MAX_PENDING).all(|_| codes.issue(grant(), later).is_some()));
        assert_eq!(codes.0.lock().unwrap().len(), MAX_PENDING);
        assert!(codes.redeem(&first, later).is_none());
        assert!(codes.redeem(&second, later).is_some());
    }
}
