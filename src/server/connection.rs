//! Accepting connections, bounded in number, in time and in what each may ask for; draining them at the end.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::response::Response;
use futures_util::FutureExt;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use rustix::process::{Resource, getrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::unconstrained,
    time::{self, Instant},
};
use tokio_rustls::TlsAcceptor;

use super::limits::{self, Limits};
use crate::telemetry::Metrics;

/// After a failed accept (mostly: out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What an open connection gets at the end, to be asked for what is on its way already: a close would throw it away.
const LATE_GRACE: Duration = Duration::from_millis(200);
/// Of the process's file descriptors, the part that connections may have; the rest is the log's.
const DESCRIPTOR_SHARE: u64 = 2;

/// Who answers requests.
pub(super) trait Answer: Send + Sync + 'static {
    /// Answers one request, whatever happens.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// One listening socket.
pub(super) struct Door<A> {
    pub(super) answer: Arc<A>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
}

impl<A: Answer> Door<A> {
    /// Serves until `closing` turns true and the connections that were open then are done.
    pub(super) async fn serve(self, listener: TcpListener, mut closing: watch::Receiver<bool>) {
        let door = Arc::new(self);
        let places = door.places();
        let free = Arc::new(Semaphore::new(usize::try_from(places).unwrap_or(usize::MAX)));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = closing.wait_for(|closing| *closing) => break,
            };
            match accepted {
                Ok((stream, _)) => door.admit(stream, &free, closing.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // What the system accepted before the end is served too; callers that keep coming do not put the end off.
        for _ in 0..places {
            match unconstrained(listener.accept()).now_or_never() {
                Some(Ok((stream, _))) => door.admit(stream, &free, closing.clone()),
                _ => break,
            }
        }
        drop(listener);
        let longest = door.limits.drain.saturating_add(LATE_GRACE);
        if time::timeout(longest, free.acquire_many(places)).await.is_err() {
            tracing::warn!("connections were still open when the time to drain was over");
        }
    }

    fn places(&self) -> u32 {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / DESCRIPTOR_SHARE;
        let wanted = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        wanted.min(u32::try_from(descriptors).unwrap_or(u32::MAX))
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, free: &Arc<Semaphore>, closing: watch::Receiver<bool>) {
        let Ok(place) = Arc::clone(free).try_acquire_owned() else {
            self.metrics.connection_refused();
            return;
        };
        let door = Arc::clone(self);
        tokio::spawn(async move { door.shake_hands(stream, place, closing).await });
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        closing: watch::Receiver<bool>,
    ) {
        let _open = (place, self.metrics.connection());
        let deadline = Instant::now() + self.limits.head;
        // Small answers must not wait for Nagle; a socket that refuses is closed already.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(tls) = &self.tls else {
            return self.converse(stream, deadline, closing).await;
        };
        match time::timeout_at(deadline, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream, deadline, closing).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    /// One connection: dropped if no request comes by `deadline`, closed in order when idle or when the server ends.
    async fn converse<S>(&self, stream: S, deadline: Instant, mut closing: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = AtomicU64::new(0);
        let begun = Arc::new(begun);
        let service = {
            let (begun, answer) = (Arc::clone(&begun), Arc::clone(&self.answer));
            service_fn(move |request| {
                begun.fetch_add(1, Ordering::Relaxed);
                let answer = Arc::clone(&answer);
                async move { Ok::<_, Infallible>(answer.answer(request).await) }
            })
        };
        let builder = self.http();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let (mut seen, mut check) = (0, deadline);
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = closing.wait_for(|closing| *closing) => break,
                () = time::sleep_until(check) => {}
            }
            match begun.load(Ordering::Relaxed) {
                0 => return,
                unchanged if unchanged == seen => break,
                more => seen = more,
            }
            check += self.limits.idle;
        }
        if time::timeout(LATE_GRACE, connection.as_mut()).await.is_ok() {
            return;
        }
        connection.as_mut().graceful_shutdown();
        if time::timeout(self.limits.drain, connection).await.is_err() {
            tracing::debug!("connection cut: it did not end in time");
        }
    }

    /// HTTP/1.1 and HTTP/2 with the limits that keep one peer from taking everything.
    fn http(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
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
            .keep_alive_interval(limits::KEEP_ALIVE.0)
            .keep_alive_timeout(limits::KEEP_ALIVE.1);
        builder
    }
}
