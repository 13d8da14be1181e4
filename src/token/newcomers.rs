//! How many issuers of a pattern may turn up. Whoever can write a token can make up names that match, and each costs a
//! connection; so there is a rate for all of them, and one for each client, so that one client does not use up the first.

use std::{num::NonZeroU32, sync::Mutex, time::Duration};

use ct_log::acceptor::{ClientAddress, ClientNetwork};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;

use super::FetchError;

/// How many issuers that match one pattern may turn up in a second.
pub const NEW_ISSUERS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How many may turn up at once.
const BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// How many may turn up at once in tokens of one client, an IPv4 address or the /64 of an IPv6 address; one more each
/// second.
pub const NEW_ISSUERS_PER_CLIENT: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// What an issuer of which no token was verified costs its client besides: as much as so many that were.
const FAILURE_COST: u32 = 4;

/// How many clients are counted at the same time. While there are more, no issuer is new: so many clients use up the rate
/// for all of them anyway.
const MAX_CLIENTS: usize = 10_000;

/// How often clients that may be forgotten are searched for.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// The rates for one pattern.
#[derive(Debug)]
pub(super) struct Newcomers {
    all: DefaultDirectRateLimiter,
    by_client: DefaultKeyedRateLimiter<ClientNetwork>,
    searched: Mutex<Option<Instant>>,
}

impl Default for Newcomers {
    fn default() -> Self {
        let of_client = Quota::per_second(NonZeroU32::MIN).allow_burst(NEW_ISSUERS_PER_CLIENT);
        Self {
            all: RateLimiter::direct(Quota::per_second(NEW_ISSUERS_PER_SECOND).allow_burst(BURST)),
            by_client: RateLimiter::keyed(of_client),
            searched: Mutex::default(),
        }
    }
}

impl Newcomers {
    /// Counts one, which a token of `client` names. A client at its limit takes nothing from what is for all.
    ///
    /// # Errors
    /// Too many turn up.
    pub(super) fn admit(&self, client: Option<ClientAddress>) -> Result<(), FetchError> {
        if let Some(client) = client {
            if self.by_client.len() >= MAX_CLIENTS && !self.make_room() {
                return Err(FetchError::NewIssuers);
            }
            self.by_client
                .check_key(&client.network())
                .map_err(|_| FetchError::NewIssuers)?;
        }
        self.all.check().map_err(|_| FetchError::NewIssuers)
    }

    /// Counts against the client that the issuer which its token named did not verify it.
    pub(super) fn failed(&self, client: Option<ClientAddress>) {
        let Some(client) = client.map(ClientAddress::network) else {
            return;
        };
        for _ in 0..FAILURE_COST {
            if self.by_client.check_key(&client).is_err() {
                return;
            }
        }
    }

    fn make_room(&self) -> bool {
        // Whoever comes while another one searches is refused.
        if let Ok(mut searched) = self.searched.try_lock()
            && searched.is_none_or(|last| last.elapsed() >= SEARCH_EVERY)
        {
            self.by_client.retain_recent();
            *searched = Some(Instant::now());
        }
        self.by_client.len() < MAX_CLIENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> Option<ClientAddress> {
        let address = u32::try_from(number).unwrap();
        Some(ClientAddress::new(std::net::Ipv4Addr::from_bits(address).into()))
    }

    fn admitted(newcomers: &Newcomers, client: Option<ClientAddress>, attempts: u32) -> u32 {
        let admitted = (0..attempts).filter(|_| newcomers.admit(client).is_ok());
        u32::try_from(admitted.count()).unwrap()
    }

    #[test]
    fn a_client_uses_up_its_own_share_only() {
        let newcomers = Newcomers::default();
        let share = NEW_ISSUERS_PER_CLIENT.get();
        // One more if the test takes seconds.
        assert!((share..share + 3).contains(&admitted(&newcomers, client(1), 10_000)));
        assert_eq!(admitted(&newcomers, client(2), share), share);
    }

    #[test]
    fn an_issuer_that_does_not_verify_its_token_costs_more() {
        let newcomers = Newcomers::default();
        for _ in 0..2 {
            newcomers.admit(client(1)).unwrap();
            newcomers.failed(client(1));
        }
        assert!(admitted(&newcomers, client(1), 10) < 3);
        assert_eq!(admitted(&newcomers, client(2), 10), 10);
        newcomers.failed(None);
    }

    #[test]
    fn many_clients_do_not_grow_it_without_bound() {
        let newcomers = Newcomers::default();
        for number in 0..2 * MAX_CLIENTS {
            let _ = newcomers.admit(client(number));
        }
        assert!(newcomers.by_client.len() <= MAX_CLIENTS);
    }
}
