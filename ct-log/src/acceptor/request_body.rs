//! The body of a request, as its service reads it: without the fields after it (trailers).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::account::Account;
use super::arrival::Arrival;
use super::holdings::Overloaded;

/// A body, and what keeps it counted.
pub(super) struct Received {
    pub(super) body: Body,
    pub(super) arrival: Arc<Arrival>,
}

struct RequestBody {
    incoming: Incoming,
    arrival: Arc<Arrival>,
}

impl Received {
    pub(super) fn new(incoming: Incoming, account: &Arc<Account>) -> Self {
        let has_ended = incoming.is_end_stream();
        let arrival = Arrival::begin(account, has_ended);
        if has_ended {
            let body = Body::empty();
            return Self { body, arrival };
        }
        let body = RequestBody {
            incoming,
            arrival: Arc::clone(&arrival),
        };
        Self {
            body: Body::new(body),
            arrival,
        }
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
        let whole = match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
            Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Err(Error::new(error)),
            _ => Ok(()),
        };
        Poll::Ready(self.end(whole))
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.arrival.end();
    }
}
