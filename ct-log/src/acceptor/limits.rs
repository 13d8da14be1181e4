//! What clients may take of a server.

use std::time::Duration;

/// HTTP/2: streams that one connection may have open. Clients of a CA send one request at a time;
/// many times that still leaves room for a gRPC proxy.
pub(super) const MAX_STREAMS: u32 = 64;
/// HTTP/2: streams reset by the peer before they were accepted (rapid reset, CVE-2023-44487); h2's
/// own default.
pub(super) const MAX_PENDING_RESETS: usize = 20;
/// HTTP/2: streams that we reset because of the peer's errors ("MadeYouReset", CVE-2025-8671).
pub(super) const MAX_LOCAL_RESETS: usize = 256;
/// HTTP/2: receive window of a stream: one largest message and its frame fit.
pub(super) const STREAM_WINDOW: u32 = 192 * 1024;
/// HTTP/2: receive window of a connection.
pub(super) const CONNECTION_WINDOW: u32 = 384 * 1024;
/// HTTP/2: bytes of one answer that h2 takes before they can be sent.
pub(super) const SEND_BUFFER: usize = 64 * 1024;
/// HTTP/2: bytes of a body that are read before its service asks for them. It is about what the
/// fields after a body take when they are decoded, [`MAX_HEADER_BYTES`] at most in HPACK's count.
pub(super) const READ_AHEAD: usize = 64 * 1024;
/// Header bytes of one request: the longest token (32 KiB) in `Authorization`, and the rest.
pub(super) const MAX_HEADER_BYTES: u32 = 48 * 1024;
/// HTTP/1: read buffer, which bounds the request head.
pub(super) const MAX_HEAD_BUFFER: usize = 64 * 1024;
/// HTTP/2: how often a silent peer is asked whether it is there.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// HTTP/2: how long it may take to answer that.
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What of an answer counts as progress. With [`Limits::stalled`] it is the lowest rate at which
/// an answer may be read: 16 KiB in 30 s.
pub(super) const LEAST_PROGRESS: usize = 16 * 1024;
/// Answers up to this size may take a quarter more than [`Limits::answers`], so that large answers
/// that nobody reads do not keep small ones (a certificate, a checkpoint) away.
pub(super) const SMALL_ANSWER: usize = 16 * 1024;

/// What clients may take of one listening socket.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; lowered to a half of the file descriptors that the process may have.
    pub connections: usize,
    /// The part of `connections`, `awaited`, `requests`, `answers` and `uploads` that one client
    /// network may take: one of so many. Peers that are trusted proxies may take everything.
    pub client_parts: usize,
    /// Requests whose bodies have not ended, on all connections. If there is one more, the one that
    /// has been awaited for longest is refused.
    pub awaited: usize,
    /// Requests being answered at the same time, on all connections, from the end of the body to
    /// the end of the answer.
    pub requests: usize,
    /// Bytes of answers held in memory until clients have read them, on all connections.
    pub answers: usize,
    /// The same on one connection; a single answer may be larger.
    pub connection_answers: usize,
    /// Bytes of request bodies held in memory, on all connections.
    pub uploads: usize,
    /// Header fields of a request; one more is answered 431.
    pub fields: usize,
    /// From accepting a connection, TLS handshake included, to the head of its first request.
    pub head: Duration,
    /// How long a connection may stay open without a new request.
    pub idle: Duration,
    /// How long an answer may wait without its client reading 16 KiB of it, or its rest. Then the
    /// connection is cut, at the latest after one and a half times as long.
    pub stalled: Duration,
    /// How old a connection may become. Up to a tenth is taken off, so that connections which
    /// began together do not end together.
    pub age: Duration,
    /// What requests in flight get when their connection or the server is to end.
    pub drain: Duration,
}

impl Limits {
    /// For production.
    #[must_use]
    pub const fn standard() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            connections: 16 * 1024,
            client_parts: 4,
            awaited: 16 * 1024,
            requests: 16 * 1024,
            answers: 64 * MIB,
            connection_answers: 4 * MIB,
            uploads: 64 * MIB,
            fields: 100,
            head: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(30),
            age: Duration::from_secs(60 * 60),
            drain: Duration::from_secs(10),
        }
    }

    /// What one client may take of `all`.
    pub(super) fn of_client(&self, all: usize) -> usize {
        all.div_ceil(self.client_parts.max(1))
    }
}
