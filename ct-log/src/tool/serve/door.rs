//! Connections, bounded in number and in time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;
use tower::ServiceExt as _;

/// Open connections; the next is closed at once. Each costs a file descriptor, of which a process has 1,024 by default.
const MAX_CONNECTIONS: usize = 512;

/// For the head of a request, and between two requests.
const HEAD: Duration = Duration::from_secs(30);

/// For a request, its body and its answer: four times what a proxy of RFC 6962 submitters waits.
const REQUEST: Duration = Duration::from_secs(60);

/// What requests in flight get at the end.
const DRAIN: Duration = Duration::from_secs(20);

/// After a failed accept (mostly: out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// Serves until `end` resolves and the requests in flight are answered.
pub(super) async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let open = GracefulShutdown::new();
    let mut end = pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.as_mut() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    converse((stream, place), router.clone(), &open);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if time::timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the time to drain was over");
    }
}

fn converse((stream, place): (TcpStream, OwnedSemaphorePermit), router: Router, open: &GracefulShutdown) {
    // Small answers must not wait for Nagle; a socket that refuses is closed already.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let answer = time::timeout(REQUEST, router.oneshot(request)).await;
            // The connection is closed.
            answer
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))
                .map(|answer| match answer {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                })
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HEAD);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let connection = open.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error, "a connection ended badly");
        }
        drop(place);
    });
}
