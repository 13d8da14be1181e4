//! The requests that wait for an issuer's keys: so many in all, and so many of one client.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ct_log::acceptor::{ClientAddress, ClientNetwork};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::FetchError;

/// How many requests may wait for the keys of one issuer, or of all that match one pattern: a quarter of the issuances
/// that run at the same time, so that what is slow does not keep the tokens of the others out.
pub const MAX_WAITING: usize = 256;

/// How many of them may be one client's, by its IPv4 address or the /64 of its IPv6 address.
pub const MAX_WAITING_PER_CLIENT: usize = MAX_WAITING / 4;

/// Those that wait in one queue.
#[derive(Debug)]
pub(super) struct Waiting {
    places: Semaphore,
    /// Only of clients that wait now.
    by_client: Mutex<HashMap<ClientNetwork, usize>>,
}

/// The place of one request, until it is dropped.
pub(super) struct Place<'a> {
    _place: SemaphorePermit<'a>,
    _share: Option<Share<'a>>,
}

/// Its place among those of its client.
struct Share<'a> {
    waiting: &'a Waiting,
    client: ClientNetwork,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            places: Semaphore::new(MAX_WAITING),
            by_client: Mutex::default(),
        }
    }
}

impl Waiting {
    /// A place, for a request of `client` if that is known.
    ///
    /// # Errors
    /// There is none, or none for this client.
    pub(super) fn enter(&self, client: Option<ClientAddress>) -> Result<Place<'_>, FetchError> {
        let share = client.map(|client| self.share(client.network())).transpose()?;
        let place = self.places.try_acquire().map_err(|_| FetchError::Crowded)?;
        Ok(Place {
            _place: place,
            _share: share,
        })
    }

    fn share(&self, client: ClientNetwork) -> Result<Share<'_>, FetchError> {
        let mut by_client = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = by_client.entry(client).or_default();
        if *waiting >= MAX_WAITING_PER_CLIENT {
            return Err(FetchError::Crowded);
        }
        *waiting = waiting.saturating_add(1);
        Ok(Share {
            waiting: self,
            client,
        })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut by_client = self
            .waiting
            .by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = by_client.get_mut(&self.client) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Option<ClientAddress> {
        Some(ClientAddress::new(address.parse().unwrap()))
    }

    #[test]
    fn one_client_leaves_places_to_others_and_is_forgotten_with_its_last_request() {
        let waiting = Waiting::default();
        let flood: Vec<_> = (0..MAX_WAITING_PER_CLIENT)
            .map(|host| {
                waiting
                    .enter(client(&format!("2001:db8::{host:x}")))
                    .unwrap_or_else(|_| panic!("{host}"))
            })
            .collect();
        assert!(waiting.enter(client("2001:db8::ffff")).is_err());
        for other in [client("2001:db8:0:1::1"), client("192.0.2.1"), None] {
            assert!(waiting.enter(other).is_ok(), "{other:?}");
        }
        drop(flood);
        assert!(waiting.by_client.lock().unwrap().is_empty());
        assert_eq!(waiting.places.available_permits(), MAX_WAITING);
    }

    #[test]
    fn requests_whose_client_is_not_known_have_all_places() {
        let waiting = Waiting::default();
        let all: Vec<_> = (0..MAX_WAITING).map(|_| waiting.enter(None)).collect();
        assert!(all.iter().all(Result::is_ok) && waiting.enter(None).is_err());
        assert!(waiting.enter(client("192.0.2.1")).is_err());
        assert!(
            waiting.by_client.lock().unwrap().is_empty(),
            "a refused one holds nothing"
        );
    }
}
