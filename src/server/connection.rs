//! What connections begin with, and what is counted of them. The acceptor itself is the log's.

use std::io;

use ct_log::acceptor::{ConnectionCut, ConnectionEvent, ConnectionRefusal, Handshake};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::telemetry::Metrics;

/// TLS, then HTTP.
pub(super) struct Tls(pub(super) TlsAcceptor);

impl Handshake for Tls {
    type Stream = TlsStream<TcpStream>;

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<Self::Stream> {
        self.0.accept(stream).await
    }
}

/// Counts what happens to a connection.
pub(super) fn observe(metrics: &Metrics, event: ConnectionEvent) {
    match event {
        ConnectionEvent::Opened => metrics.connection_opened(),
        ConnectionEvent::Closed => metrics.connection_closed(),
        ConnectionEvent::Refused(refusal) => metrics.connection_refused(match refusal {
            ConnectionRefusal::Client => "client",
            ConnectionRefusal::Full => "full",
        }),
        ConnectionEvent::Cut(cut) => metrics.connection_cut(match cut {
            ConnectionCut::Silent => "silent",
            ConnectionCut::Stalled => "stalled",
            ConnectionCut::Unfinished => "unfinished",
        }),
    }
}
