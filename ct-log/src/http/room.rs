//! Room in memory for a large answer, if the server in which the log is counts what its clients hold.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
#[cfg(feature = "acceptor")]
use crate::acceptor::{Budget, Reservation};

/// What the client of a request may hold.
pub(super) struct Client {
    #[cfg(feature = "acceptor")]
    budget: Option<Budget>,
}

/// Room for one answer.
pub(super) struct Room {
    #[cfg(feature = "acceptor")]
    reserved: Option<Reservation>,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    #[cfg_attr(
        not(feature = "acceptor"),
        expect(unused_variables, reason = "nothing is counted")
    )]
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            #[cfg(feature = "acceptor")]
            budget: parts.extensions.get().cloned(),
        })
    }
}

#[cfg(feature = "acceptor")]
impl Client {
    /// Room for an answer of about so many bytes, before they are read.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Room, HttpError> {
        let reserved = match &self.budget {
            Some(budget) => Some(budget.reserve_answer(bytes).await?),
            None => None,
        };
        Ok(Room { reserved })
    }
}

#[cfg(feature = "acceptor")]
impl Room {
    /// Keeps the room until the answer was sent, as large as the answer is.
    pub(super) fn hold(self, answer: impl IntoResponse) -> Result<Response, HttpError> {
        use axum::body::HttpBody as _;

        let mut answer = answer.into_response();
        if let Some(mut reserved) = self.reserved {
            let bytes = answer.body().size_hint().exact();
            let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
            reserved.resize(bytes.unwrap_or(usize::MAX))?;
            reserved.attach(&mut answer);
        }
        Ok(answer)
    }
}

#[cfg(not(feature = "acceptor"))]
impl Client {
    pub(super) async fn reserve(&self, _bytes: usize) -> Result<Room, HttpError> {
        Ok(Room {})
    }
}

#[cfg(not(feature = "acceptor"))]
impl Room {
    pub(super) fn hold(self, answer: impl IntoResponse) -> Result<Response, HttpError> {
        Ok(answer.into_response())
    }
}
