//! How much one caller, and all callers together, may take. Overload is refused at once, never queued.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time,
};

use super::error::ApiError;

/// What the server allows. [`Limits::standard`] is meant for production; tests make some of them small.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From accepting a connection (TLS handshake included) to the first complete request head.
    pub head: Duration,
    /// From the head of a request to the end of its body.
    pub body: Duration,
    /// From the head of a request to the head of its answer.
    pub request: Duration,
    /// How long a connection may stay open without a new request.
    pub idle: Duration,
    /// How long requests in flight may take after shutdown began.
    pub drain: Duration,
    /// Largest JSON body in bytes.
    pub json_body: usize,
    /// Largest gRPC message in bytes.
    pub grpc_message: usize,
    /// Certificates being issued at the same time.
    pub issuances: usize,
    /// Open connections; further lowered to leave file descriptors to the log.
    pub connections: usize,
    /// Bytes of request bodies held in memory by all requests together.
    pub buffered: usize,
}

impl Limits {
    /// The limits of `design.md` section 8 and of Fulcio's clients: a request is about 4 KiB, a token at most 32 KiB.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            json_body: 64 * 1024,
            grpc_message: 128 * 1024,
            issuances: 1024,
            connections: 16 * 1024,
            buffered: 64 * 1024 * 1024,
        }
    }
}

/// HTTP/2: streams that one connection may have open. Clients of a CA send one request at a time;
/// many times that still leaves room for a gRPC proxy.
pub(super) const MAX_STREAMS: u32 = 64;
/// HTTP/2: streams reset by the peer before they were accepted (rapid reset, CVE-2023-44487); h2's own default.
pub(super) const MAX_PENDING_RESETS: usize = 20;
/// HTTP/2: streams that we reset because of the peer's errors ("MadeYouReset", CVE-2025-8671).
pub(super) const MAX_LOCAL_RESETS: usize = 256;
/// HTTP/2: receive window of a stream: one largest message and its frame fit.
pub(super) const STREAM_WINDOW: u32 = 192 * 1024;
/// HTTP/2: receive window of a connection.
pub(super) const CONNECTION_WINDOW: u32 = 384 * 1024;
/// Header bytes of one request: the longest token (32 KiB) in `Authorization`, and the rest.
pub(super) const MAX_HEADER_BYTES: u32 = 48 * 1024;
/// HTTP/1: read buffer, which bounds the request head.
pub(super) const MAX_HEAD_BUFFER: usize = 64 * 1024;
/// HTTP/2: how often a silent peer is asked whether it is there, and how long it may take to answer.
pub(super) const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// What the server as a whole has to give at one moment.
#[derive(Debug)]
pub(super) struct Capacity {
    issuances: Semaphore,
    buffered: Semaphore,
}

/// A request body in memory, and its share of what all bodies may take.
pub(super) struct Buffered<'a> {
    bytes: Vec<u8>,
    _share: Option<SemaphorePermit<'a>>,
}

impl Capacity {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            issuances: Semaphore::new(limits.issuances),
            buffered: Semaphore::new(limits.buffered),
        }
    }

    /// A place among the running issuances, or a refusal at once.
    pub(super) fn admit(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.issuances.try_acquire().map_err(|_| ApiError::overloaded())
    }

    /// Reads a whole body of at most `max` bytes within `deadline`.
    pub(super) async fn read(
        &self,
        body: Body,
        max: usize,
        deadline: Duration,
    ) -> Result<Buffered<'_>, ApiError> {
        time::timeout(deadline, self.collect(body, max))
            .await
            .map_err(|_| ApiError::body_timeout())?
    }

    async fn collect(&self, mut body: Body, max: usize) -> Result<Buffered<'_>, ApiError> {
        if usize::try_from(body.size_hint().lower()).is_ok_and(|declared| declared > max) {
            return Err(ApiError::body_too_large(max));
        }
        let mut read = Buffered {
            bytes: Vec::new(),
            _share: None,
        };
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ApiError::body_aborted())?.into_data() else {
                continue;
            };
            if read.bytes.len().saturating_add(data.len()) > max {
                return Err(ApiError::body_too_large(max));
            }
            read.hold(self.share(data.len())?);
            read.bytes.extend_from_slice(&data);
        }
        Ok(read)
    }

    fn share(&self, bytes: usize) -> Result<SemaphorePermit<'_>, ApiError> {
        let bytes = u32::try_from(bytes).map_err(|_| ApiError::overloaded())?;
        self.buffered
            .try_acquire_many(bytes)
            .map_err(|_| ApiError::overloaded())
    }
}

impl<'a> Buffered<'a> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn hold(&mut self, more: SemaphorePermit<'a>) {
        match &mut self._share {
            Some(share) => share.merge(more),
            None => self._share = Some(more),
        }
    }
}
