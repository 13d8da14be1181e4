//! The body of an answer, counted until its last byte was handed to the system.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Buf, Frame, SizeHint};

use super::account::{Account, Flight};
use super::arrival::Arrival;
use super::budget::{Reservation, Unsent};

/// What keeps a request counted until its answer has ended.
#[derive(Debug)]
pub(super) struct Underway {
    pub(super) flight: Flight,
    pub(super) arrival: Arc<Arrival>,
}

/// A body whose bytes are counted from before they are asked for, if its size is known then, else
/// from when they are there.
pub(super) struct Counted {
    body: Body,
    account: Arc<Account>,
    /// What is still in `body`.
    rest: Option<Reservation>,
    /// What a layer below holds of an answer whose size is not known.
    _reserved: Option<Arc<Reservation>>,
    _underway: Underway,
}

/// Some bytes of an answer.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    unsent: Unsent,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.arrival.leave();
    }
}

impl Counted {
    /// A body whose size is known.
    pub(super) fn whole(body: Body, reserved: Reservation, underway: Underway) -> Self {
        Self {
            account: Arc::clone(underway.flight.account()),
            rest: Some(reserved),
            _reserved: None,
            body,
            _underway: underway,
        }
    }

    /// A body that is made while it is sent, or empty.
    pub(super) fn streamed(body: Body, reserved: Option<Arc<Reservation>>, underway: Underway) -> Self {
        Self {
            account: Arc::clone(underway.flight.account()),
            rest: None,
            _reserved: reserved,
            body,
            _underway: underway,
        }
    }

    fn piece(&mut self, bytes: Bytes) -> Piece {
        let unsent = match &mut self.rest {
            Some(rest) => rest.send(bytes.len()),
            None => Unsent::new(&self.account, bytes.len()),
        };
        Piece { bytes, unsent }
    }
}

impl HttpBody for Counted {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map(|frame| Some(frame?.map(|frame| frame.map_data(|bytes| self.piece(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.unsent.sent(count);
    }
}
