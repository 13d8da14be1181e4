//! The body of a request, as its service reads it: without the fields after it (trailers).
//!
//! Over HTTP/2 it is read ahead, also when nobody wants it. h2 keeps trailers decoded until they are
//! read or the answer has ended, thousands of fields of one byte each (HPACK), and they are behind
//! the data. Who has sent more data than is read ahead has sent about as much as the trailers behind
//! it take. The task of the connection reads: what it decodes in one turn is given back in that turn.
//! Over HTTP/1 nothing is read ahead: that would answer `Expect: 100-continue`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use hyper::Version;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};

use super::account::Account;
use super::arrival::Arrival;
use super::holdings::Overloaded;
use super::limits::READ_AHEAD;

/// Bytes handed to the service at once.
const CHUNK: usize = 8 * 1024;

/// A body, and what keeps it counted.
pub(super) struct Received {
    pub(super) body: Body,
    pub(super) arrival: Arc<Arrival>,
}

/// The bodies that one connection reads ahead, each until the answer to its request has ended.
#[derive(Debug, Default)]
pub(super) struct Readings(Mutex<FuturesUnordered<BoxFuture<'static, ()>>>);

struct RequestBody {
    source: Source,
    arrival: Arc<Arrival>,
}

enum Source {
    Incoming(Incoming),
    Ahead {
        reader: DuplexStream,
        is_whole: Arc<AtomicBool>,
        /// Declared, and not read yet.
        left: Option<u64>,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("the body ended before it was whole")]
struct Incomplete;

impl Received {
    pub(super) fn new(
        version: Version,
        incoming: Incoming,
        account: &Arc<Account>,
        readings: &Readings,
    ) -> Self {
        let has_ended = incoming.is_end_stream();
        let arrival = Arrival::begin(account, has_ended);
        if has_ended {
            let body = Body::empty();
            return Self { body, arrival };
        }
        let source = match version {
            Version::HTTP_2 => readings.begin(incoming, &arrival),
            _ => Source::Incoming(incoming),
        };
        let body = RequestBody {
            source,
            arrival: Arc::clone(&arrival),
        };
        Self {
            body: Body::new(body),
            arrival,
        }
    }
}

impl Readings {
    /// Reads on. To be called whenever the connection was polled.
    pub(super) fn poll(&self, context: &mut Context<'_>) {
        let mut readings = self.readings();
        while let Poll::Ready(Some(())) = readings.poll_next_unpin(context) {}
    }

    fn begin(&self, incoming: Incoming, arrival: &Arc<Arrival>) -> Source {
        let left = incoming.size_hint().exact();
        let (writer, reader) = duplex(READ_AHEAD);
        let is_whole = Arc::new(AtomicBool::new(false));
        let (whole, arrival) = (Arc::clone(&is_whole), Arc::clone(arrival));
        let mut reading = Box::pin(async move {
            tokio::select! {
                () = arrival.ended() => {}
                () = read_ahead(incoming, writer, &arrival, &whole) => {}
            }
        });
        // Mostly the body came with the head.
        if reading.as_mut().now_or_never().is_none() {
            self.readings().push(reading);
        }
        Source::Ahead {
            reader,
            is_whole,
            left,
        }
    }

    fn readings(&self) -> MutexGuard<'_, FuturesUnordered<BoxFuture<'static, ()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_ahead(mut body: Incoming, mut writer: DuplexStream, arrival: &Arrival, is_whole: &AtomicBool) {
    let carried = tokio::select! {
        biased;
        () = arrival.refused() => false,
        carried = carry(&mut body, &mut writer) => carried,
    };
    if carried {
        return is_whole.store(arrival.end(), Ordering::Release);
    }
    drop(writer);
    let mut unread = READ_AHEAD;
    while let Some(Ok(data)) = next(&mut body).await
        && let Some(less) = unread.checked_sub(data.len())
    {
        unread = less;
    }
}

/// Hands a body on. Whether it was whole.
async fn carry(body: &mut Incoming, writer: &mut DuplexStream) -> bool {
    while let Some(read) = next(body).await {
        let Ok(data) = read else {
            return false;
        };
        if writer.write_all(&data).await.is_err() {
            return false;
        }
    }
    true
}

/// The next data of a body; its trailers are its end.
async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
        Ok(frame) => Some(Ok(frame.into_data().ok()?)),
        Err(error) => Some(Err(error)),
    }
}

impl RequestBody {
    /// After the last data: the end, or why there is none.
    fn end(&self, whole: Result<(), Error>) -> Option<Result<Frame<Bytes>, Error>> {
        match self.arrival.end() {
            true => whole.err().map(Err),
            false => Some(Err(Error::new(Overloaded))),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let whole = match &mut self.source {
            Source::Incoming(incoming) => match ready!(Pin::new(incoming).poll_frame(context)) {
                Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => Err(Error::new(error)),
                _ => Ok(()),
            },
            Source::Ahead {
                reader,
                is_whole,
                left,
            } => {
                let mut chunk = [0; CHUNK];
                let mut chunk = ReadBuf::new(&mut chunk);
                ready!(Pin::new(reader).poll_read(context, &mut chunk)).map_err(Error::new)?;
                let data = chunk.filled();
                if !data.is_empty() {
                    let read = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    *left = left.map(|left| left.saturating_sub(read));
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(data)))));
                }
                match is_whole.load(Ordering::Acquire) {
                    true => Ok(()),
                    false => Err(Error::new(Incomplete)),
                }
            }
        };
        Poll::Ready(self.end(whole))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Incoming(incoming) => incoming.size_hint(),
            Source::Ahead { left, .. } => left.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.arrival.end();
    }
}
