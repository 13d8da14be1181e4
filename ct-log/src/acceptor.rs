//! Accepting the connections of clients, and what each client and all of them may take.
//!
//! Everything that a client can hold without doing anything is bounded: places for connections and
//! requests, memory for answers that it does not read, and time. What one client may take of it is
//! a share, so that strangers have to be many to keep others out.
//!
//! - A silent connection ends after [`Limits::head`], an idle one after [`Limits::idle`], each
//!   after [`Limits::age`]. If all places are taken, the connection that has been idle for longest
//!   makes room for a new one.
//! - A request takes a place among those that are answered when its body is there. If too many
//!   bodies are awaited, the request that has been awaited for longest is refused (503).
//! - Answers are counted from when they are made until their last byte was sent. Beyond
//!   [`Limits::answers`] large ones are refused (503). If 16 KiB of an answer, or its rest, are not
//!   read in [`Limits::stalled`], the connection is cut.
//! - Clients are told apart by [`ClientAddress`]. Connections of proxies have no shares.

mod account;
mod address;
mod arrival;
mod body;
mod budget;
mod connection;
mod descriptors;
mod holdings;
mod host;
mod limits;
mod listen;
mod places;
mod request;
mod request_body;
#[cfg(test)]
mod tests;
mod watched;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt as _;
use hyper::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time;

pub use address::{ClientAddress, ClientNetwork};
pub use budget::{Budget, Reservation, Upload};
pub use descriptors::raise_descriptor_limit;
pub use holdings::Overloaded;
pub use ipnet::IpNet;
pub use limits::Limits;
pub use listen::{ListenError, listen};
pub use places::ConnectionRefusal;

use connection::{LATE_GRACE, Shared};
use places::Places;

/// The addresses of this machine, from which a proxy beside the server connects. Each client that
/// connects from here without one is trusted as one, too.
#[must_use]
pub fn loopback() -> Vec<IpNet> {
    let addresses = ["127.0.0.0/8", "::1/128"];
    addresses
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect()
}

/// Reads an address or a network, such as `10.0.0.0/8`.
#[must_use]
pub fn parse_network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
    text.parse().ok().or_else(address)
}

/// After a failed accept (mostly: out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request, whatever happens. Its extensions have the [`Budget`] of its client,
    /// and its [`ClientAddress`] unless it comes from a proxy. Its body has no trailers.
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// The answer to a request that is refused unseen, with the headers that it came with; to one
    /// whose body was awaited, with its `Content-Type` and `X-Request-Id` only; or to one whose
    /// answer cannot be held: then `headers` is empty.
    fn refuse(&self, refusal: Refusal, headers: &HeaderMap) -> Response<Body>;

    /// Takes note of what happens to connections.
    fn observe(&self, event: ConnectionEvent);
}

/// What a connection begins with.
pub trait Handshake: Send + Sync + 'static {
    /// What requests come from.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Prepares a new connection.
    ///
    /// # Errors
    /// The peer is not understood.
    fn shake_hands(&self, stream: TcpStream) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// No handshake: HTTP in the clear.
#[derive(Debug, Clone, Copy)]
pub struct Clear;

impl Handshake for Clear {
    type Stream = TcpStream;

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<TcpStream> {
        Ok(stream)
    }
}

/// Why a request is refused before anybody sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has more than [`Limits::fields`] header fields: 431.
    Fields,
    /// It has no sound `Host`: 400.
    Host,
    /// There are too many requests, whose bodies are awaited or which are answered, or answers that
    /// were not read: 503, try again.
    Overloaded,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It has a place.
    Opened,
    /// It had a place.
    Closed,
    /// It was closed unanswered.
    Refused(ConnectionRefusal),
    /// It was cut off; [`ConnectionEvent::Closed`] follows.
    Cut(ConnectionCut),
}

/// Why a connection was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionCut {
    /// There was no request in time.
    Silent,
    /// An answer was not read in time.
    Stalled,
    /// Its requests took too long when it was to end.
    Unfinished,
}

/// Serves one listening socket.
pub struct Acceptor<S, H> {
    shared: Arc<Shared<S, H>>,
    places: Arc<Places>,
}

impl<S: Service, H: Handshake> Acceptor<S, H> {
    /// An acceptor. Connections from `proxies` have no shares, and their peer's address says
    /// nothing of the client.
    pub fn new(service: Arc<S>, handshake: H, limits: Limits, proxies: Vec<IpNet>) -> Self {
        let limits = Limits {
            connections: descriptors::connections(limits.connections),
            ..limits
        };
        Self {
            shared: Arc::new(Shared {
                service,
                handshake,
                limits,
            }),
            places: Arc::new(Places::new(limits, proxies)),
        }
    }

    /// Serves until `closing` turns true and the connections that were open then are done.
    pub async fn serve(self, listener: TcpListener, mut closing: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = closing.wait_for(|closing| *closing) => break,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, closing.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // What the system accepted before the end is served too; callers that keep coming do not put
        // the end off.
        for _ in 0..self.shared.limits.connections {
            match unconstrained(listener.accept()).now_or_never() {
                Some(Ok((stream, peer))) => self.admit(stream, peer, closing.clone()),
                _ => break,
            }
        }
        drop(listener);
        let longest = self.shared.limits.drain.saturating_add(LATE_GRACE);
        if time::timeout(longest, self.places.emptied()).await.is_err() {
            tracing::warn!("connections were still open when the time to drain was over");
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, closing: watch::Receiver<bool>) {
        match self.places.enter(peer.ip()) {
            Ok(seat) => {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move { shared.serve(stream, seat, closing).await });
            }
            Err(refusal) => self.shared.service.observe(ConnectionEvent::Refused(refusal)),
        }
    }
}
