//! `rate-limit:` — how often the identities of an entry get certificates, all together and each of them.

use std::{
    fmt,
    num::NonZeroU32,
    str::FromStr,
    sync::Mutex,
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::identity::SubjectName;

/// How many identities one entry counts at the same time. An identity is forgotten as soon as its allowance is whole
/// again; if so many are not, the entry admits nobody until some are. Each takes about a hundred bytes.
pub const MAX_COUNTED_IDENTITIES: usize = 100_000;

/// How much time passes between two searches for identities to forget: a search looks at all of them.
const SEARCH_EVERY: Duration = Duration::from_secs(5);

/// When to come back if no more identities can be counted.
const CROWDED_RETRY: Duration = Duration::from_secs(10);

/// So many certificates in each period, all of them at once if need be; the allowance grows back evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    certificates: NonZeroU32,
    period: Duration,
}

impl Rate {
    /// How many in each period, and how long that is.
    pub(crate) const fn parts(self) -> (NonZeroU32, Duration) {
        (self.certificates, self.period)
    }

    fn quota(self) -> Quota {
        // `None` if one certificate takes less than a nanosecond.
        Quota::with_period(self.period / self.certificates.get())
            .unwrap_or(Quota::per_second(self.certificates))
            .allow_burst(self.certificates)
    }
}

/// `60/minute`, with second, minute, hour or day.
impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (number, unit) = text.split_once('/').ok_or(RateError)?;
        let seconds = match unit.trim() {
            "second" => 1,
            "minute" => 60,
            "hour" => 60 * 60,
            "day" => 24 * 60 * 60,
            _ => return Err(RateError),
        };
        Ok(Self {
            certificates: number.trim().parse().map_err(|_| RateError)?,
            period: Duration::from_secs(seconds),
        })
    }
}

/// Not a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a number of certificates, 1 to 4294967295, in a second, minute, hour or day")]
pub struct RateError;

/// The limits of one entry and what they have counted.
#[derive(Default)]
pub struct RateLimits {
    issuer: Option<DefaultDirectRateLimiter>,
    identity: Option<DefaultKeyedRateLimiter<SubjectName>>,
    searched: Mutex<Option<Instant>>,
}

/// Which limit was reached, and when it is worth trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// Whose limit.
    pub scope: LimitScope,
    /// Until then, the same request is refused again.
    pub retry_after: Duration,
}

/// Whose certificates a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// All of the entry.
    Issuer,
    /// Those of one identity.
    Identity,
}

impl RateLimits {
    /// Limits for all identities of an entry together, and for each of them.
    #[must_use]
    pub fn new(issuer: Option<Rate>, identity: Option<Rate>) -> Self {
        Self {
            issuer: issuer.map(|rate| RateLimiter::direct(rate.quota())),
            identity: identity.map(|rate| RateLimiter::keyed(rate.quota())),
            searched: Mutex::default(),
        }
    }

    /// Counts one certificate for `name`. One identity at its limit takes nothing from the others' allowance.
    pub(super) fn count(&self, name: &SubjectName) -> Result<(), LimitReached> {
        let clock = DefaultClock::default();
        if let Some(limiter) = &self.identity {
            if limiter.len() >= MAX_COUNTED_IDENTITIES && !self.make_room(limiter) {
                return Err(LimitScope::Identity.reached(CROWDED_RETRY));
            }
            limiter
                .check_key(name)
                .map_err(|until| LimitScope::Identity.reached(until.wait_time_from(clock.now())))?;
        }
        if let Some(limiter) = &self.issuer {
            limiter
                .check()
                .map_err(|until| LimitScope::Issuer.reached(until.wait_time_from(clock.now())))?;
        }
        Ok(())
    }

    fn make_room(&self, limiter: &DefaultKeyedRateLimiter<SubjectName>) -> bool {
        // Whoever comes while another one searches is refused.
        if let Ok(mut searched) = self.searched.try_lock()
            && searched.is_none_or(|last| last.elapsed() >= SEARCH_EVERY)
        {
            limiter.retain_recent();
            *searched = Some(Instant::now());
        }
        limiter.len() < MAX_COUNTED_IDENTITIES
    }
}

impl LimitScope {
    const fn reached(self, retry_after: Duration) -> LimitReached {
        LimitReached {
            scope: self,
            retry_after,
        }
    }
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits")
            .field("issuer", &self.issuer.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SubjectName {
        SubjectName::Email(text.to_owned())
    }

    fn scopes(limits: &RateLimits, names: &[&str]) -> Vec<Option<LimitScope>> {
        let count = |text: &&str| limits.count(&name(text)).err().map(|reached| reached.scope);
        names.iter().map(count).collect()
    }

    #[test]
    fn rates_are_numbers_in_a_unit() {
        for (text, certificates, seconds) in [
            ("1/second", 1, 1),
            ("60/minute", 60, 60),
            ("5 / hour", 5, 3600),
            ("9/day", 9, 86_400),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(
                (rate.certificates.get(), rate.period.as_secs()),
                (certificates, seconds)
            );
        }
        for text in [
            "",
            "60",
            "60/",
            "/minute",
            "0/minute",
            "-1/minute",
            "1.5/minute",
            "60/minutes",
            "60/m",
            "99999999999/day",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
    }

    #[test]
    fn each_limit_counts_for_itself() {
        let rate = |text: &str| Some(text.parse().unwrap());
        let by_identity = RateLimits::new(None, rate("2/day"));
        assert_eq!(
            scopes(&by_identity, &["a", "a", "b", "a", "b"]),
            [None, None, None, Some(LimitScope::Identity), None]
        );
        let by_issuer = RateLimits::new(rate("2/day"), None);
        assert_eq!(
            scopes(&by_issuer, &["a", "b", "c"]),
            [None, None, Some(LimitScope::Issuer)]
        );
        let both = RateLimits::new(rate("3/day"), rate("1/day"));
        assert_eq!(
            scopes(&both, &["a", "a", "a", "b", "c", "d"]),
            [
                None,
                Some(LimitScope::Identity),
                Some(LimitScope::Identity),
                None,
                None,
                Some(LimitScope::Issuer)
            ]
        );
        assert_eq!(scopes(&RateLimits::default(), &["a"; 4]), [None; 4]);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let limits = RateLimits::new(None, Some("2/hour".parse().unwrap()));
        limits.count(&name("a")).unwrap();
        limits.count(&name("a")).unwrap();
        let wait = limits.count(&name("a")).unwrap_err().retry_after;
        assert!(
            wait > Duration::from_secs(1790) && wait <= Duration::from_secs(1800),
            "{wait:?}"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let limits = RateLimits::new(None, Some("1/day".parse().unwrap()));
        let admitted =
            (0..MAX_COUNTED_IDENTITIES + 1000).filter(|at| limits.count(&name(&at.to_string())).is_ok());
        assert_eq!(admitted.count(), MAX_COUNTED_IDENTITIES);
        let short = RateLimits::new(None, Some("1000000/second".parse().unwrap()));
        for at in 0..MAX_COUNTED_IDENTITIES + 1000 {
            short.count(&name(&at.to_string())).unwrap();
        }
    }
}
