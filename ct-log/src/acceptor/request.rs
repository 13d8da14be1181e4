//! One request, from its head to its answer.

use std::future::Future;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};

use super::account::{Account, Flight};
use super::body::{Counted, Underway};
use super::budget::{Budget, Reservation};
use super::holdings::Overloaded;
use super::host;
use super::limits::Limits;
use super::places::Open;
use super::{Refusal, Service};

/// Counted for an answer whose size is not known before it is sent.
const STREAMED_ANSWER: usize = 4 * 1024;

/// Begins to answer. What is refused is dropped at once, not when the answer is polled: thousands
/// of header fields, sent as indices of one byte each, are not held meanwhile.
pub(super) fn begin<S: Service>(
    service: &Arc<S>,
    open: &Arc<Open>,
    limits: &Limits,
    mut request: Request<Incoming>,
) -> impl Future<Output = Response<Counted>> + Send + use<S> {
    let (flight, place) = Flight::begin(&open.account);
    let refusal = if request.headers().len() > limits.fields {
        Some(Refusal::Fields)
    } else if !host::is_sound(&request) {
        Some(Refusal::Host)
    } else {
        place.is_err().then_some(Refusal::Overloaded)
    };
    let underway = Underway {
        flight,
        _place: place.ok(),
    };
    let asked = match refusal {
        Some(refusal) => Err(service.refuse(refusal, request.headers())),
        None => {
            let extensions = request.extensions_mut();
            extensions.insert(Budget::new(&open.account));
            open.client.map(|client| extensions.insert(client));
            Ok(request)
        }
    };
    let service = Arc::clone(service);
    async move {
        let answer = match asked {
            Ok(request) => service.answer(request).await,
            Err(refused) => refused,
        };
        count(&*service, answer, underway)
    }
}

fn count<S: Service>(service: &S, answer: Response<Body>, underway: Underway) -> Response<Counted> {
    let (mut head, body) = answer.into_parts();
    let reserved = head.extensions.remove::<Arc<Reservation>>();
    let size = body.size_hint().exact().map(usize::try_from);
    let account = underway.flight.account();
    let counted = match size {
        Some(Ok(0)) => return Response::from_parts(head, Counted::streamed(body, None, underway)),
        Some(Ok(size)) => whole(account, reserved, size).map(Ok),
        Some(Err(_)) => Err(Overloaded),
        None => match reserved {
            Some(reserved) => Ok(Err(reserved)),
            None => Reservation::try_take(account, STREAMED_ANSWER).map(|taken| Err(Arc::new(taken))),
        },
    };
    match counted {
        Ok(Ok(whole)) => Response::from_parts(head, Counted::whole(body, whole, underway)),
        Ok(Err(part)) => Response::from_parts(head, Counted::streamed(body, Some(part), underway)),
        Err(Overloaded) => service
            .refuse(Refusal::Overloaded, &HeaderMap::new())
            .map(|body| Counted::streamed(body, None, underway)),
    }
}

/// The room for an answer of that size; what was reserved for it is part of it.
fn whole(
    account: &Arc<Account>,
    reserved: Option<Arc<Reservation>>,
    size: usize,
) -> Result<Reservation, Overloaded> {
    match reserved.and_then(Arc::into_inner) {
        Some(mut reserved) => reserved.resize(size).map(|()| reserved),
        None => Reservation::try_take(account, size),
    }
}
