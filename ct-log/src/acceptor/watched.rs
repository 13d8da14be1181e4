//! A stream that knows how long its peer has not taken what was written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Since when nothing can be written.
#[derive(Debug)]
pub(super) struct Blockage {
    opened: Instant,
    /// Milliseconds since `opened`; 0 if it can be written.
    since: AtomicU64,
}

impl Blockage {
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            since: AtomicU64::new(0),
        })
    }

    /// Whether nothing could be written for so long.
    pub(super) fn lasts(&self, longest: Duration) -> bool {
        match self.since.load(Ordering::Relaxed) {
            0 => false,
            since => self.opened.elapsed() >= Duration::from_millis(since).saturating_add(longest),
        }
    }

    fn note<T>(&self, outcome: &Poll<T>) {
        let since = match outcome {
            Poll::Ready(_) => 0,
            Poll::Pending => match self.since.load(Ordering::Relaxed) {
                0 => u64::try_from(self.opened.elapsed().as_millis())
                    .unwrap_or(u64::MAX)
                    .max(1),
                earlier => earlier,
            },
        };
        self.since.store(since, Ordering::Relaxed);
    }
}

/// A stream, and what it notes.
pub(super) struct Watched<S> {
    stream: S,
    blockage: Arc<Blockage>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, blockage: Arc<Blockage>) -> Self {
        Self { stream, blockage }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.blockage.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.blockage.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.blockage.note(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.blockage.note(&shut);
        shut
    }
}
