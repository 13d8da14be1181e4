//! The places for connections: how many there are, who has them, and who has to leave.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::account::Account;
use super::address::{ClientAddress, ClientNetwork};
use super::holdings::Holdings;
use super::limits::Limits;

/// When a place is needed, one of so many connections leaves, so that a flood of connections does
/// not have all of them searched for each.
const LEAVING_TOGETHER: usize = 64;

/// Why a connection was closed unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// Its client has its share of the connections, and all are busy.
    Client,
    /// All places are taken, and all connections are busy.
    Full,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) account: Arc<Account>,
    /// `None` behind a proxy.
    pub(super) client: Option<ClientAddress>,
    /// Told when another connection needs the place.
    pub(super) leave: Notify,
}

/// All places of a listening socket.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    proxies: Vec<IpNet>,
    all: Arc<Holdings>,
    table: Mutex<Table>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Open>>,
    clients: HashMap<ClientNetwork, Client>,
}

/// A client with connections.
#[derive(Debug)]
struct Client {
    holdings: Arc<Holdings>,
    connections: Vec<u64>,
}

/// A connection's place, until it is dropped or was given away.
#[derive(Debug)]
pub(super) struct Seat {
    places: Arc<Places>,
    id: u64,
    pub(super) open: Arc<Open>,
}

impl Places {
    pub(super) fn new(limits: Limits, proxies: Vec<IpNet>) -> Self {
        Self {
            limits,
            proxies,
            all: Arc::new(Holdings::of_all(&limits)),
            table: Mutex::default(),
            emptied: Notify::new(),
        }
    }

    /// A place for a new connection; if need be, connections that have been idle for longest leave.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Seat, ConnectionRefusal> {
        let client = self.client(peer);
        let network = client.map(ClientAddress::network);
        let mut table = self.table();
        if let Some(network) = network
            && table.count_of(network) >= self.limits.of_client(self.limits.connections)
            && !table.make_room(Some(network))
        {
            return Err(ConnectionRefusal::Client);
        }
        if table.open.len() >= self.limits.connections && !table.make_room(None) {
            return Err(ConnectionRefusal::Full);
        }
        let id = table.next;
        table.next = id.wrapping_add(1);
        let holdings = network.map(|network| table.join(network, id, &self.limits));
        let open = Arc::new(Open {
            account: Arc::new(Account::new(Arc::clone(&self.all), holdings, &self.limits)),
            client,
            leave: Notify::new(),
        });
        table.open.insert(id, Arc::clone(&open));
        let places = Arc::clone(self);
        Ok(Seat { places, id, open })
    }

    /// What all clients hold together.
    #[cfg(test)]
    pub(super) fn all(&self) -> &Holdings {
        &self.all
    }

    /// Resolves when no place is taken.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.table().open.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn client(&self, peer: IpAddr) -> Option<ClientAddress> {
        let client = ClientAddress::new(peer);
        let is_proxy = self.proxies.iter().any(|proxy| proxy.contains(&client.ip()));
        (!is_proxy).then_some(client)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count_of(&self, network: ClientNetwork) -> usize {
        let client = self.clients.get(&network);
        client.map_or(0, |client| client.connections.len())
    }

    fn join(&mut self, network: ClientNetwork, id: u64, limits: &Limits) -> Arc<Holdings> {
        let client = self.clients.entry(network).or_insert_with(|| Client {
            holdings: Arc::new(Holdings::of_client(limits)),
            connections: Vec::new(),
        });
        client.connections.push(id);
        Arc::clone(&client.holdings)
    }

    /// Has the connections leave that have been idle for longest, of one client or of all. Whether
    /// there was one.
    fn make_room(&mut self, network: Option<ClientNetwork>) -> bool {
        let mut idle: Vec<(Instant, u64)> = match network {
            Some(network) => {
                let client = self.clients.get(&network);
                let ids = client.into_iter().flat_map(|client| &client.connections);
                ids.filter_map(|id| idle(*id, self.open.get(id)?)).collect()
            }
            None => {
                let open = self.open.iter();
                open.filter_map(|(id, open)| idle(*id, open)).collect()
            }
        };
        let leaving = idle.len().div_ceil(LEAVING_TOGETHER);
        if let Some(last) = leaving.checked_sub(1) {
            idle.select_nth_unstable(last);
        }
        for (_, id) in idle.into_iter().take(leaving) {
            if let Some(open) = self.remove(id) {
                open.leave.notify_one();
            }
        }
        leaving > 0
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Open>> {
        let open = self.open.remove(&id)?;
        if let Some(network) = open.client.map(ClientAddress::network)
            && let Some(client) = self.clients.get_mut(&network)
        {
            client.connections.retain(|other| *other != id);
            if client.connections.is_empty() {
                self.clients.remove(&network);
            }
        }
        Some(open)
    }
}

fn idle(id: u64, open: &Open) -> Option<(Instant, u64)> {
    Some((open.account.idle_since()?, id))
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.remove(self.id);
        if table.open.is_empty() {
            self.places.emptied.notify_waiters();
        }
    }
}
