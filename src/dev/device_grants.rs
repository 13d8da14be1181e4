//! Device authorization grants (RFC 8628): asked for in a terminal, approved in a browser.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;

use super::{pending_codes::random_code, pkce::Challenge, subject::EmailAddress};
use crate::clock::Timestamp;

/// How long a person has to type the code (RFC 8628 section 6.1 balances this against guessing).
pub(super) const DEVICE_CODE_LIFETIME: Duration = Duration::from_secs(600);

/// The least time between two polls, at first.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// RFC 8628 section 3.5: `slow_down` adds five seconds for this and all later polls.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// Grants are searched one by one, and guessing a user code gets easier with every pending one.
const MAX_PENDING: usize = 256;

/// RFC 8628 section 6.1: consonants only, so that no word appears and no digit is misread.
const USER_CODE_ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const USER_CODE_LETTERS: usize = 8;

/// What a poll finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Poll {
    /// Nobody has approved yet.
    Pending,
    /// Asked again too soon.
    TooSoon,
    /// It was not approved in time.
    Expired,
    /// No such code, a code already redeemed, or the wrong PKCE verifier.
    Unknown,
    /// Approved by this person; the code is spent.
    Approved(EmailAddress),
}

/// The two codes of a new grant.
#[derive(Debug)]
pub(super) struct DeviceCodes {
    /// For the device's polls.
    pub(super) device: String,
    /// For the person, as `BCDF-GHJK`.
    pub(super) user: String,
}

#[derive(Debug)]
struct Grant {
    device_code: String,
    user_code: String,
    challenge: Option<Challenge>,
    expires: Timestamp,
    interval: Duration,
    last_poll: Option<Timestamp>,
    approved_by: Option<EmailAddress>,
}

/// Every grant that is not redeemed.
#[derive(Debug, Default)]
pub(super) struct DeviceGrants(Mutex<Vec<Grant>>);

impl DeviceGrants {
    /// A new grant, if need be instead of the oldest that nobody approved; `None` when no randomness can be had.
    pub(super) fn issue(&self, challenge: Option<Challenge>, now: Timestamp) -> Option<DeviceCodes> {
        let codes = DeviceCodes {
            device: random_code()?,
            user: random_user_code()?,
        };
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Kept for a second lifetime, to answer a late poll with `expired_token`.
        grants.retain(|grant| now < grant.expires.plus(DEVICE_CODE_LIFETIME));
        if grants.len() >= MAX_PENDING {
            let oldest = grants.iter().position(|grant| grant.approved_by.is_none());
            grants.remove(oldest.unwrap_or(0));
        }
        grants.push(Grant {
            device_code: codes.device.clone(),
            user_code: codes.user.clone(),
            challenge,
            expires: now.plus(DEVICE_CODE_LIFETIME),
            interval: POLL_INTERVAL,
            last_poll: None,
            approved_by: None,
        });
        Some(codes)
    }

    /// Approves the grant of a user code, however it was typed; false if there is none to approve.
    pub(super) fn approve(&self, user_code: &str, email: &EmailAddress, now: Timestamp) -> bool {
        let typed = letters(user_code);
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |grant: &&mut Grant| grant.approved_by.is_none() && now < grant.expires;
        let found = grants
            .iter_mut()
            .filter(open)
            .find(|grant| letters(&grant.user_code) == typed);
        match found {
            Some(grant) => {
                grant.approved_by = Some(email.clone());
                true
            }
            None => false,
        }
    }

    /// A device asks whether it may have its token.
    pub(super) fn poll(&self, device_code: &str, verifier: Option<&str>, now: Timestamp) -> Poll {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = grants.iter().position(|grant| grant.device_code == device_code) else {
            return Poll::Unknown;
        };
        let Some(grant) = grants.get_mut(at) else {
            return Poll::Unknown;
        };
        let answer = grant.poll(verifier, now);
        if matches!(answer, Poll::Approved(_)) {
            grants.swap_remove(at);
        }
        answer
    }
}

impl Grant {
    fn poll(&mut self, verifier: Option<&str>, now: Timestamp) -> Poll {
        if now >= self.expires {
            return Poll::Expired;
        }
        let too_soon = self.last_poll.is_some_and(|last| now < last.plus(self.interval));
        self.last_poll = Some(now);
        if too_soon {
            self.interval = self.interval.saturating_add(SLOW_DOWN);
            return Poll::TooSoon;
        }
        if let Some(challenge) = &self.challenge
            && !verifier.is_some_and(|verifier| challenge.is_met_by(verifier))
        {
            return Poll::Unknown;
        }
        self.approved_by.clone().map_or(Poll::Pending, Poll::Approved)
    }
}

/// The letters of a code, whatever case and punctuation it was typed with (RFC 8628 section 6.1).
fn letters(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_uppercase())
        .collect()
}

fn random_user_code() -> Option<String> {
    let mut code = String::new();
    while letters(&code).len() < USER_CODE_LETTERS {
        let mut byte = [0];
        rand::fill(&mut byte).ok()?;
        // 240 is the largest multiple of 20 in a byte; what is above would favour the first letters.
        let [byte] = byte;
        if byte >= 240 {
            continue;
        }
        if code.len() == USER_CODE_LETTERS / 2 {
            code.push('-');
        }
        code.push(char::from(*USER_CODE_ALPHABET.get(usize::from(byte % 20))?));
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(Duration::from_secs(1_700_000_000));

    fn email() -> EmailAddress {
        "you@example.com".parse().unwrap()
    }

    #[test]
    fn user_codes_are_eight_consonants() {
        let code = random_user_code().unwrap();
        assert_eq!((code.len(), code.find('-')), (9, Some(4)), "{code}");
        assert!(
            letters(&code).bytes().all(|b| USER_CODE_ALPHABET.contains(&b)),
            "{code}"
        );
    }

    #[test]
    fn approved_once_redeemed_once() {
        let grants = DeviceGrants::default();
        let codes = grants.issue(None, NOW).unwrap();
        assert_eq!(grants.poll(&codes.device, None, NOW), Poll::Pending);
        assert!(!grants.approve("XXXX-XXXX", &email(), NOW));
        assert!(grants.approve(&codes.user.to_lowercase().replace('-', " "), &email(), NOW));
        assert!(!grants.approve(&codes.user, &email(), NOW));
        let later = NOW.plus(POLL_INTERVAL);
        assert_eq!(grants.poll(&codes.device, None, later), Poll::Approved(email()));
        assert_eq!(grants.poll(&codes.device, None, later), Poll::Unknown);
    }

    #[test]
    fn each_hasty_poll_costs_five_seconds() {
        let grants = DeviceGrants::default();
        let codes = grants.issue(None, NOW).unwrap();
        assert_eq!(grants.poll(&codes.device, None, NOW), Poll::Pending);
        assert_eq!(grants.poll(&codes.device, None, NOW), Poll::TooSoon);
        let old_interval = NOW.plus(POLL_INTERVAL);
        assert_eq!(grants.poll(&codes.device, None, old_interval), Poll::TooSoon);
        let patient = old_interval.plus(POLL_INTERVAL + 2 * SLOW_DOWN);
        assert_eq!(grants.poll(&codes.device, None, patient), Poll::Pending);
    }

    #[test]
    fn expires_and_then_is_forgotten() {
        let grants = DeviceGrants::default();
        let codes = grants.issue(None, NOW).unwrap();
        let expired = NOW.plus(DEVICE_CODE_LIFETIME);
        assert!(!grants.approve(&codes.user, &email(), expired));
        assert_eq!(grants.poll(&codes.device, None, expired), Poll::Expired);
        grants.issue(None, expired.plus(DEVICE_CODE_LIFETIME)).unwrap();
        assert_eq!(grants.poll(&codes.device, None, expired), Poll::Unknown);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_count() {
        let grants = DeviceGrants::default();
        let issue = || grants.issue(None, NOW).unwrap();
        let (approved, first, second) = (issue(), issue(), issue());
        assert!(grants.approve(&approved.user, &email(), NOW));
        (3..=MAX_PENDING).for_each(|_| drop(issue()));
        assert_eq!(grants.0.lock().unwrap().len(), MAX_PENDING);
        assert_eq!(grants.poll(&first.device, None, NOW), Poll::Unknown);
        assert_eq!(grants.poll(&second.device, None, NOW), Poll::Pending);
        assert_eq!(grants.poll(&approved.device, None, NOW), Poll::Approved(email()));
    }
}
