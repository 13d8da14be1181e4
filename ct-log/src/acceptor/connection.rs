//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher as _, RandomState};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::account::Account;
use super::limits::{self, Limits};
use super::places::{Open, Seat};
use super::request::begin;
use super::request_body::Readings;
use super::watched::{Blockage, Watched};
use super::{ConnectionCut, ConnectionEvent, Handshake, Service};

/// What an open connection gets at the end, to be asked for what is on its way already: a close
/// would throw it away.
pub(super) const LATE_GRACE: Duration = Duration::from_millis(200);

/// What all connections of a listening socket have in common.
pub(super) struct Shared<S, H> {
    pub(super) service: Arc<S>,
    pub(super) handshake: H,
    pub(super) limits: Limits,
}

/// Why a connection is to end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The peer or an error ended it.
    Ended,
    /// It is cut off.
    Cut(ConnectionCut),
    /// It may finish what it does.
    Finish,
    /// Another one needs its place.
    Leave,
}

/// Tells that a connection is closed, also after a panic.
struct Closed<'a, S: Service>(&'a S);

impl<S: Service> Drop for Closed<'_, S> {
    fn drop(&mut self) {
        self.0.observe(ConnectionEvent::Closed);
    }
}

impl<S: Service, H: Handshake> Shared<S, H> {
    /// Serves one connection to its end.
    pub(super) async fn serve(&self, stream: TcpStream, seat: Seat, closing: watch::Receiver<bool>) {
        self.service.observe(ConnectionEvent::Opened);
        let _closed = Closed(&*self.service);
        if let Some(cut) = self.shake_hands(stream, &seat.open, closing).await {
            tracing::debug!(?cut, "a connection was cut");
            self.service.observe(ConnectionEvent::Cut(cut));
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        open: &Arc<Open>,
        closing: watch::Receiver<bool>,
    ) -> Option<ConnectionCut> {
        let opened = Instant::now();
        // Small answers must not wait for Nagle; a socket that refuses is closed already.
        stream.set_nodelay(true).ok()?;
        let handshake = time::timeout(self.limits.head, self.handshake.shake_hands(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = open.leave.notified() => return None,
        };
        match shaken {
            Ok(Ok(stream)) => self.converse(stream, open, opened, closing).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                None
            }
            Err(_) => Some(ConnectionCut::Silent),
        }
    }

    async fn converse<T>(
        &self,
        stream: T,
        open: &Arc<Open>,
        opened: Instant,
        mut closing: watch::Receiver<bool>,
    ) -> Option<ConnectionCut>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let blockage = Blockage::none();
        let readings = Arc::new(Readings::default());
        let streams = Streams::default();
        let service = {
            let (service, open, limits) = (Arc::clone(&self.service), Arc::clone(open), self.limits);
            let (readings, streams) = (Arc::clone(&readings), streams.clone());
            service_fn(move |request: Request<Incoming>| {
                let is_connect = request.method() == Method::CONNECT;
                streams.at_once.store(is_connect, Ordering::Relaxed);
                let answer = begin(&service, &open, &readings, &limits, request);
                async move { Ok::<_, Infallible>(answer.await) }
            })
        };
        let builder = http(&self.limits, streams);
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&blockage)));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let watch = Watch {
            account: &open.account,
            blockage: &blockage,
            limits: &self.limits,
            opened,
        };
        let end = tokio::select! {
            () = proceed(connection.as_mut(), &readings) => End::Ended,
            _ = closing.wait_for(|closing| *closing) => End::Finish,
            () = open.leave.notified() => End::Leave,
            end = watch.end() => end,
        };
        let longest = match end {
            End::Ended => return None,
            End::Cut(cut) => return Some(cut),
            // Nothing was ever asked, so nobody waits for an answer.
            End::Leave if open.account.begun() == 0 => return None,
            End::Leave => LATE_GRACE,
            End::Finish => self.limits.drain,
        };
        if matches!(end, End::Finish) {
            let late = proceed(connection.as_mut(), &readings);
            if time::timeout(LATE_GRACE, late).await.is_ok() {
                return None;
            }
        }
        connection.as_mut().graceful_shutdown();
        match time::timeout(longest, proceed(connection, &readings)).await {
            Ok(()) => None,
            Err(_) if matches!(end, End::Leave) => None,
            Err(_) => Some(ConnectionCut::Unfinished),
        }
    }
}

/// Goes on with a connection, and with what it reads ahead.
async fn proceed(mut connection: Pin<&mut impl Future>, readings: &Readings) {
    poll_fn(|context| {
        let polled = connection.as_mut().poll(context);
        readings.poll(context);
        polled.map(drop)
    })
    .await;
}

/// Runs the streams of one connection over HTTP/2, each in a task of its own.
#[derive(Debug, Clone, Default)]
struct Streams {
    /// Whether the next one is polled before it gets a task. It is answered then, and what came with
    /// it is given back in the same turn of the connection.
    at_once: Arc<AtomicBool>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut stream = Box::pin(stream);
        let at_once = self.at_once.load(Ordering::Relaxed);
        if !at_once || stream.as_mut().now_or_never().is_none() {
            tokio::spawn(stream);
        }
    }
}

/// HTTP/1.1 and HTTP/2 with the limits that keep one peer from taking everything.
fn http(limits: &Limits, streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits::MAX_HEAD_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::MAX_STREAMS)
        .max_pending_accept_reset_streams(limits::MAX_PENDING_RESETS)
        .max_local_error_reset_streams(limits::MAX_LOCAL_RESETS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_header_list_size(limits::MAX_HEADER_BYTES)
        .max_send_buf_size(limits::SEND_BUFFER)
        .keep_alive_interval(limits::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEP_ALIVE_TIMEOUT);
    builder
}

/// What decides when a connection ends.
struct Watch<'a> {
    account: &'a Account,
    blockage: &'a Blockage,
    limits: &'a Limits,
    opened: Instant,
}

impl Watch<'_> {
    /// Resolves when the connection is to end: there was no request in time, it is idle or too old,
    /// or nobody reads its answers.
    async fn end(&self) -> End {
        let first = self.opened + self.limits.head;
        let too_old = self.opened + self.age();
        let mut look = self.opened + self.limits.stalled / 2;
        loop {
            let now = Instant::now();
            if now >= look {
                if self.account.is_stalled() || self.blockage.lasts(self.limits.stalled) {
                    return End::Cut(ConnectionCut::Stalled);
                }
                look = now + self.limits.stalled / 2;
            }
            let (until, end) = match self.account.begun() {
                0 => (first, End::Cut(ConnectionCut::Silent)),
                _ => (too_old.min(self.idle_at(now)), End::Finish),
            };
            if now >= until {
                return end;
            }
            time::sleep_until(until.min(look)).await;
        }
    }

    /// When the connection will have been idle for too long.
    fn idle_at(&self, now: Instant) -> Instant {
        let active = if self.account.is_sending() {
            now
        } else {
            self.account.active()
        };
        active + self.limits.idle
    }

    /// Connections that began together do not end together.
    fn age(&self) -> Duration {
        let thousandth = RandomState::new().hash_one(()) % 100;
        let spread = self.limits.age / 1000;
        self.limits.age - spread * u32::try_from(thousandth).unwrap_or(0)
    }
}
