//! One request, from its head to its answer.

use std::future::Future;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::account::{Account, Flight};
use super::arrival::Arrival;
use super::body::{Counted, Underway};
use super::budget::{Budget, Reservation};
use super::holdings::Overloaded;
use super::host;
use super::limits::Limits;
use super::places::Open;
use super::request_body::{Readings, Received};
use super::{Refusal, Service};

/// Counted for an answer whose size is not known before it is sent.
const STREAMED_ANSWER: usize = 4 * 1024;
/// What of a header is kept to refuse the request later: in which form, and by which name.
const KEPT: [HeaderName; 2] = [CONTENT_TYPE, HeaderName::from_static("x-request-id")];

/// Begins to answer. What is refused is dropped at once, not when the answer is polled: thousands
/// of header fields, sent as indices of one byte each, are not held meanwhile.
pub(super) fn begin<S: Service>(
    service: &Arc<S>,
    open: &Arc<Open>,
    readings: &Readings,
    limits: &Limits,
    request: Request<Incoming>,
) -> impl Future<Output = Response<Counted>> + Send + use<S> {
    let flight = Flight::begin(&open.account);
    let has_host = host::is_sound(&request);
    let (mut head, incoming) = request.into_parts();
    let received = Received::new(head.version, incoming, &open.account, readings);
    let underway = Underway {
        flight,
        arrival: received.arrival,
    };
    let budget = Budget::new(&open.account);
    let asked = if head.method == Method::CONNECT {
        Err(no_tunnel())
    } else if head.headers.len() > limits.fields {
        Err(service.refuse(Refusal::Fields, &head.headers))
    } else if !has_host {
        Err(service.refuse(Refusal::Host, &head.headers))
    } else if underway.arrival.is_refused() {
        Err(service.refuse(Refusal::Overloaded, &head.headers))
    } else {
        head.extensions.insert(budget.clone());
        open.client.map(|client| head.extensions.insert(client));
        Ok(Request::from_parts(head, received.body))
    };
    let service = Arc::clone(service);
    async move {
        let answer = match asked {
            Ok(request) => ask(&*service, request, &underway.arrival).await,
            Err(refused) => refused,
        };
        count(&*service, answer, budget.take_kept(), underway)
    }
}

/// Without a body, so that the stream ends at once: hyper keeps what comes after `CONNECT` over
/// HTTP/2, trailers included, and nobody can read it.
fn no_tunnel() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NOT_IMPLEMENTED;
    answer
}

/// The service's answer, or a refusal if there is no place for the request when its body has ended.
async fn ask<S: Service>(service: &S, request: Request<Body>, arrival: &Arrival) -> Response<Body> {
    let kept = KEPT.map(|name| Some((name.clone(), request.headers().get(name)?.clone())));
    let answer = tokio::select! {
        biased;
        () = arrival.refused() => None,
        answer = service.answer(request) => Some(answer),
    };
    // The service saw a body that ends badly, if there was no place.
    match answer {
        Some(answer) if !arrival.is_refused() => answer,
        _ => service.refuse(Refusal::Overloaded, &kept.into_iter().flatten().collect()),
    }
}

fn count<S: Service>(
    service: &S,
    answer: Response<Body>,
    kept: Option<Reservation>,
    underway: Underway,
) -> Response<Counted> {
    let (mut head, body) = answer.into_parts();
    let reserved = head.extensions.remove::<Arc<Reservation>>();
    let reserved = reserved.or_else(|| kept.map(Arc::new));
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
