//! An acceptor on loopback before a few paths, and clients that do not behave.

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use h2::client::{ResponseFuture, SendRequest};
use http_body_util::BodyExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::places::Places;
use super::super::{Acceptor, Clear, ClientAddress, ConnectionEvent, Limits, Refusal, Service};

/// Size of the answer at `/large`.
pub(super) const LARGE: usize = 256 * 1024;

#[derive(Default)]
pub(super) struct Paths {
    pub(super) asked: AtomicUsize,
    refused: AtomicUsize,
}

impl Service for Paths {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match request.uri().path() {
            "/large" => Bytes::from(vec![0; LARGE]).into_response(),
            "/never" => pending().await,
            "/read" => {
                let mut body = request.into_body();
                let mut read = 0;
                while let Some(frame) = body.frame().await {
                    let data = frame.unwrap().into_data();
                    read += data.expect("trailers are not handed on").len();
                }
                read.to_string().into_response()
            }
            "/client" => {
                let client = request.extensions().get::<ClientAddress>();
                format!("{:?}", client.map(|client| client.ip())).into_response()
            }
            _ => "small".into_response(),
        }
    }

    fn refuse(&self, refusal: Refusal, _headers: &HeaderMap) -> Response<Body> {
        match refusal {
            Refusal::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response(),
            Refusal::Host => StatusCode::BAD_REQUEST.into_response(),
            Refusal::Overloaded => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }

    fn observe(&self, event: ConnectionEvent) {
        if let ConnectionEvent::Refused(_) = event {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A server for as long as the value.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) paths: Arc<Paths>,
    pub(super) places: Arc<Places>,
    pub(super) close: watch::Sender<bool>,
    pub(super) serving: JoinHandle<()>,
}

impl Server {
    /// No address is that of a proxy.
    pub(super) async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let paths = Arc::new(Paths::default());
        let acceptor = Acceptor::new(Arc::clone(&paths), Clear, limits, Vec::new());
        let (close, closing) = watch::channel(false);
        Self {
            address,
            paths,
            places: Arc::clone(&acceptor.places),
            close,
            serving: tokio::spawn(acceptor.serve(listener, closing)),
        }
    }

    pub(super) fn refused(&self) -> usize {
        self.paths.refused.load(Ordering::Relaxed)
    }

    /// A connection from 127.0.0.`host`.
    pub(super) async fn connect_from(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    pub(super) async fn connect(&self) -> TcpStream {
        self.connect_from(1).await
    }

    /// HTTP/2 from 127.0.0.`host`, with a window for each answer.
    pub(super) async fn http2(&self, host: u8, window: u32) -> Http2 {
        let stream = self.connect_from(host).await;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        Http2 {
            requests,
            connection: tokio::spawn(async move { drop(connection.await) }),
        }
    }
}

/// An HTTP/2 connection; the task ends with it.
pub(super) struct Http2 {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) connection: JoinHandle<()>,
}

impl Http2 {
    pub(super) async fn send(&mut self, path: &str, headers: HeaderMap) -> Result<ResponseFuture, h2::Error> {
        let mut request = Request::get(format!("http://a{path}")).body(()).unwrap();
        *request.headers_mut() = headers;
        let mut ready = self.requests.clone().ready().await?;
        Ok(ready.send_request(request, true)?.0)
    }

    /// The head of an answer, whose body is read only as far as the window goes.
    pub(super) async fn get(&mut self, path: &str) -> Result<Response<h2::RecvStream>, h2::Error> {
        self.send(path, HeaderMap::new()).await?.await
    }
}
