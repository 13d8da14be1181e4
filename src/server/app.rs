//! The routers together, and what every request gets: an id, a deadline, a caught panic, one log line, its metrics.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    },
    middleware,
    response::{IntoResponse, Response},
};
use ct_log::acceptor::ClientAddress;
use futures_util::FutureExt;
use tokio::time;
use tonic_health::server::HealthReporter;
use tower::{Layer, ServiceExt};
use tower_http::cors::{Any as AnyOrigin, Cors, CorsLayer};

use super::{
    answer::{self, Dialect},
    api,
    error::ApiError,
    gate::Gate,
    grpc, health,
    notes::{Notes, note_route},
    openapi, route, timestamp, trust,
};
use crate::telemetry::{self, GrpcMethod, Metrics, Served};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id taken from a caller; a UUID has 36 characters.
const LONGEST_ID: usize = 64;

/// Everything behind the listener. Cheap to share.
pub(super) struct App {
    /// Our own paths.
    own: Router,
    /// These, and what is served beside them.
    router: ArcSwap<Cors<Router>>,
    gate: Arc<Gate>,
    ids: RequestIds,
}

/// What could not be put together; each is a mistake in the build, not in the configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum AssemblyError {
    #[error("the OpenAPI document cannot be written")]
    OpenApi(#[from] serde_json::Error),
    #[error("the gRPC descriptors cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the system has no random bytes")]
    Random,
}

impl App {
    /// `extra` is served as it is beside our own routes.
    pub(super) fn new(
        gate: Arc<Gate>,
        reporter: HealthReporter,
        extra: Router,
    ) -> Result<Self, AssemblyError> {
        let own = api::routes()
            .merge(trust::routes())
            .merge(timestamp::routes())
            .merge(health::routes())
            .merge(openapi::routes()?)
            .method_not_allowed_fallback(|| std::future::ready(ApiError::method_not_allowed()))
            .with_state(Arc::clone(&gate))
            .merge(grpc::routes(&gate, reporter)?);
        Ok(Self {
            router: ArcSwap::from_pointee(beside(&own, extra)),
            own,
            gate,
            ids: RequestIds::new()?,
        })
    }

    /// From now on `extra` is served, instead of what was served before, beside our own routes.
    pub(super) fn serve_extra(&self, extra: Router) {
        self.router.store(Arc::new(beside(&self.own, extra)));
    }

    /// Answers one request, whatever happens.
    pub(super) async fn answer(&self, request: Request) -> Response {
        let started = Instant::now();
        let _flight = self.gate.metrics().in_flight();
        let id = self.ids.of(request.headers());
        let asked = Asked::of(&request, self.gate.metrics());
        let (response, notes) = Notes::taken(self.run(request)).await;
        let (mut response, refusal) = answer::write_refusal(response, asked.dialect, &id);
        asked.record(
            self.gate.metrics(),
            &Outcome {
                response: &response,
                refusal: refusal.as_deref(),
                notes: &notes,
                id: &id,
                took: started.elapsed(),
            },
        );
        name(&mut response, &id);
        response
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.gate.metrics()
    }

    /// The answer to a request that nobody looked at.
    pub(super) fn refuse(&self, error: ApiError, headers: &HeaderMap) -> Response {
        let id = self.ids.of(headers);
        self.gate.metrics().refused(error.reason());
        tracing::debug!(request_id = id, reason = error.reason(), "request refused");
        let (mut refusal, _) = answer::write_refusal(error.into_response(), Dialect::of(headers), &id);
        name(&mut refusal, &id);
        refusal
    }

    async fn run(&self, request: Request) -> Response {
        let served = AssertUnwindSafe(Cors::clone(&self.router.load()).oneshot(request)).catch_unwind();
        match time::timeout(self.gate.limits().request, served).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => ApiError::internal(panic_text(panic.as_ref())).into_response(),
            Err(_) => ApiError::request_timeout().into_response(),
        }
    }
}

fn beside(own: &Router, extra: Router) -> Cors<Router> {
    let routes = own.clone().merge(extra.reset_fallback()).fallback(unknown);
    cors().layer(routes.layer(middleware::from_fn(note_route)))
}

/// Open to all origins, as Fulcio is: there are no cookies, and a token is the caller's own.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AnyOrigin)
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE, REQUEST_ID])
        .expose_headers([RETRY_AFTER, REQUEST_ID])
}

async fn unknown(request: Request) -> ApiError {
    match Dialect::of(request.headers()) {
        Dialect::Http => ApiError::not_found(),
        Dialect::Grpc => ApiError::unknown_method(),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("no message"))
}

/// What was asked, as far as it is recorded: never headers, queries or bodies.
struct Asked {
    dialect: Dialect,
    method: &'static str,
    client: Option<ClientAddress>,
    /// What counts as called: by gRPC, or by HTTP as Fulcio's gateway calls it.
    called: Option<GrpcMethod>,
}

/// How it ended.
struct Outcome<'a> {
    response: &'a Response,
    refusal: Option<&'a ApiError>,
    notes: &'a Notes,
    id: &'a str,
    took: Duration,
}

impl Asked {
    fn of(request: &Request, metrics: &Metrics) -> Self {
        let dialect = Dialect::of(request.headers());
        let (method, path) = (request.method(), request.uri().path());
        let called = match dialect {
            Dialect::Http => route::gateway_method(method, path),
            Dialect::Grpc => Some(route::grpc_method(path)),
        };
        if let Some(called) = called {
            metrics.grpc_started(called);
        }
        Self {
            dialect,
            method: telemetry::method_name(method),
            client: request.extensions().get().copied(),
            called,
        }
    }

    fn record(&self, metrics: &Metrics, outcome: &Outcome<'_>) {
        let reason = outcome.refusal.map_or("", ApiError::reason);
        if !reason.is_empty() {
            metrics.refused(reason);
        }
        let status = outcome.response.status();
        let code = outcome.refusal.map_or(tonic::Code::Ok, |error| error.codes().1);
        if self.dialect == Dialect::Http {
            metrics.http_served(self.method, status, outcome.took);
        }
        if let Some(method) = self.called {
            metrics.grpc_served(&Served {
                method,
                code,
                took: outcome.took,
            });
        }
        let path = match (self.dialect, self.called) {
            (Dialect::Grpc, Some(method)) => method.name,
            _ => outcome.notes.route().unwrap_or(route::UNKNOWN),
        };
        let micros = outcome.took.as_micros();
        let client = self.client.map(|client| tracing::field::display(client.ip()));
        let (issuer, serial) = (outcome.notes.issuer(), outcome.notes.serial());
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(request_id = outcome.id, client, method = %self.method, path, status = status.as_u16(), ?code, reason, issuer, serial, micros, "request")
            };
        }
        // What auditors of the log and probes ask for all the time would hide everything else.
        let is_polled = match self.dialect {
            Dialect::Http => self.method == "GET" && status.is_success() && route::is_polled(path),
            Dialect::Grpc => {
                code == tonic::Code::Ok
                    && self
                        .called
                        .is_some_and(|method| method.service == route::GRPC_HEALTH)
            }
        };
        match is_polled {
            true => line!(debug),
            false => line!(info),
        }
        if let Some(cause) = outcome.refusal.and_then(ApiError::cause) {
            tracing::error!(request_id = outcome.id, path, cause, "internal error");
        }
    }
}

/// Names requests: the caller's name if it is a sane one, else one that no other request of this process has.
struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Result<Self, AssemblyError> {
        let mut process = [0; 4];
        rand::fill(&mut process).map_err(|_| AssemblyError::Random)?;
        Ok(Self {
            process: u32::from_be_bytes(process),
            next: AtomicU64::new(0),
        })
    }

    fn of(&self, headers: &HeaderMap) -> String {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given.filter(|id| is_sane(id)) {
            Some(id) => id.to_owned(),
            None => format!(
                "{:08x}-{}",
                self.process,
                self.next.fetch_add(1, Ordering::Relaxed)
            ),
        }
    }
}

fn name(response: &mut Response, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

fn is_sane(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)
}
