//! A connection to the server that can be cut at the worst moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use ct_log::PostgresSettings;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::server::Server;

/// `Query "COMMIT"` of the protocol (PostgreSQL manual, "Message Formats").
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What happens to the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Never = 0,
    /// The server never hears of it.
    Before = 1,
    /// The server's answer is lost.
    After = 2,
}

/// Cuts one connection for each [`Proxy::cut`].
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    next: Arc<AtomicU8>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    /// On a thread of its own: the test's threads may all be waiting for an answer of the database.
    pub(crate) fn start(server: &Server) -> Proxy {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            next: Arc::default(),
            cuts: Arc::default(),
        };
        let (accepting, socket) = (proxy.clone(), server.socket());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // Ends with the process.
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(accepting.clone().serve(stream, socket.clone()));
                }
            });
        });
        proxy
    }

    pub(crate) fn settings(&self) -> PostgresSettings {
        let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", self.port);
        PostgresSettings::new(&url).unwrap()
    }

    /// The next commit of anybody's.
    pub(crate) fn cut(&self, cut: Cut) {
        self.next.store(cut as u8, Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }

    async fn serve(self, client: TcpStream, socket: PathBuf) {
        let Ok(server) = UnixStream::connect(socket).await else {
            return;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let down = tokio::spawn(copy(from_server, to_client));
        self.up(from_client, to_server).await;
        down.abort();
    }

    async fn up(&self, mut client: impl AsyncRead + Unpin, mut server: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = client.read(&mut buffer).await {
            let sent = &buffer[..length];
            let commits = sent.ends_with(COMMIT);
            let cut = match commits {
                true => self.next.swap(0, Ordering::SeqCst),
                false => 0,
            };
            if cut != 0 {
                self.cuts.fetch_add(1, Ordering::SeqCst);
            }
            if cut == Cut::Before as u8 {
                return;
            }
            if server.write_all(sent).await.is_err() {
                return;
            }
            if cut == Cut::After as u8 {
                // Both directions end here; what the server does with it is its own business.
                return;
            }
        }
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}
