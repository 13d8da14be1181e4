//! How much one caller, and all callers together, may take. Overload is refused at once, never queued.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use ct_log::acceptor::{Budget, Upload};
use http_body_util::BodyExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time,
};

use super::error::ApiError;

/// What connections may take, and how long they may last.
pub type ConnectionLimits = ct_log::acceptor::Limits;

/// What the server allows. [`Limits::standard`] is meant for production; tests make some of them small.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of connections and of what they hold: requests, bodies and answers.
    pub connection: ConnectionLimits,
    /// From the head of a request to the end of its body.
    pub body: Duration,
    /// From the head of a request to the head of its answer.
    pub request: Duration,
    /// Largest JSON body in bytes.
    pub json_body: usize,
    /// Largest gRPC message in bytes.
    pub grpc_message: usize,
    /// Certificates being issued at the same time.
    pub issuances: usize,
    /// Timestamps being signed at the same time.
    pub timestamps: usize,
}

impl Limits {
    /// The limits of `design.md` section 8 and of Fulcio's clients: a request is about 4 KiB, a token at most 32 KiB.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            connection: ConnectionLimits::standard(),
            body: Duration::from_secs(10),
            request: Duration::from_secs(30),
            json_body: 64 * 1024,
            grpc_message: 128 * 1024,
            issuances: 1024,
            timestamps: 1024,
        }
    }
}

/// What the server as a whole has to give at one moment. A place is taken when all that the client sends is there, so
/// that nobody holds one by sending slowly.
#[derive(Debug)]
pub(super) struct Capacity {
    issuances: Semaphore,
    timestamps: Semaphore,
}

/// A request body in memory, and its share of what all bodies may take.
#[derive(Debug)]
pub(super) struct Buffered {
    bytes: Vec<u8>,
    share: Upload,
}

/// The longest body, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimit {
    pub(super) bytes: usize,
    pub(super) deadline: Duration,
}

impl Capacity {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            issuances: Semaphore::new(limits.issuances),
            timestamps: Semaphore::new(limits.timestamps),
        }
    }

    /// A place among the running issuances, or a refusal at once.
    pub(super) fn issuance(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.issuances.try_acquire().map_err(|_| ApiError::overloaded())
    }

    /// A place among the timestamps that are being signed, or a refusal at once.
    pub(super) fn timestamp(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.timestamps.try_acquire().map_err(|_| ApiError::overloaded())
    }
}

impl Buffered {
    /// Reads a whole body, counted in what its client may hold. Then there is room for the answer:
    /// nothing is signed whose answer cannot be held.
    pub(super) async fn read(body: Body, budget: &Budget, limit: BodyLimit) -> Result<Self, ApiError> {
        let read = Self {
            bytes: Vec::new(),
            share: budget.upload(),
        };
        let read = time::timeout(limit.deadline, read.collect(body, limit.bytes))
            .await
            .map_err(|_| ApiError::body_timeout())??;
        budget.keep_small_answer().map_err(|_| ApiError::overloaded())?;
        Ok(read)
    }

    async fn collect(mut self, mut body: Body, max: usize) -> Result<Self, ApiError> {
        if usize::try_from(body.size_hint().lower()).is_ok_and(|declared| declared > max) {
            return Err(ApiError::body_too_large(max));
        }
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| ApiError::body_aborted())?.into_data() else {
                continue;
            };
            if self.bytes.len().saturating_add(data.len()) > max {
                return Err(ApiError::body_too_large(max));
            }
            self.share.grow(data.len()).map_err(|_| ApiError::overloaded())?;
            self.bytes.extend_from_slice(&data);
        }
        Ok(self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
