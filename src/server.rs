//! The network side: one port for gRPC, JSON and the log; a second one for metrics.
//!
//! ```text
//! connection   TLS or not; how many and how long is the acceptor's (ct_log::acceptor)
//!   app        id, deadline, panics, CORS, one log line, metrics
//!     api, grpc, trust, timestamp, health, openapi    the interfaces
//!       wire   formats -> IssueRequest
//!       gate   admission, then the authority
//!   answer     the one place where an error (error.rs) is written out
//! ```

mod answer;
mod api;
mod app;
mod connection;
mod error;
mod gate;
mod grpc;
mod health;
mod limits;
mod notes;
mod openapi;
mod panics;
mod route;
mod timestamp;
mod tls;
mod trust;
mod tuf;
mod wire;

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use ct_log::{
    acceptor::{Acceptor, Clear, ConnectionEvent, IpNet, ListenError, Refusal, Service, listen},
    output,
};
use hyper::{HeaderMap, Request};
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{
    answer::Dialect,
    app::{App, AssemblyError},
    connection::Tls,
    error::ApiError,
    gate::Gate,
};
pub use self::{
    limits::{ConnectionLimits, Limits},
    route::TIMESTAMP as TIMESTAMP_PATH,
    timestamp::{GrantedStatus, Timestamps},
    tls::{TlsError, TlsFiles},
    tuf::tuf_routes,
};
use crate::{
    issue::Authority,
    log::Shards,
    telemetry::{KeyMetrics, Metrics, Sources},
};

/// The generated gRPC types, client and server, of `dev.sigstore.fulcio.v2`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::missing_errors_doc,
    reason = "generated"
)]
pub mod proto {
    tonic::include_proto!("dev.sigstore.fulcio.v2");

    pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fulcio.descriptors"));
}

/// What may be taken of the metrics port: by a few scrapers, each of which may have all of it.
const METRICS_LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 64,
    client_parts: 1,
    ..ConnectionLimits::standard()
};
/// Version 0.0.4 of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The ports, bound before anything else is put together: a development issuer's URL contains the API's.
#[derive(Debug)]
pub struct Listeners {
    api: (TcpListener, SocketAddr),
    metrics: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    /// Binds the API's address, and the metrics' if there is one; port 0 picks a free one.
    ///
    /// # Errors
    /// The first address that is not free.
    pub async fn bind(api: SocketAddr, metrics: Option<SocketAddr>) -> Result<Self, ServeError> {
        let metrics = match metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self {
            api: listen(api).await?,
            metrics,
        })
    }

    /// Where the API is.
    #[must_use]
    pub const fn api_address(&self) -> SocketAddr {
        self.api.1
    }

    /// Where the metrics are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }
}

/// How to serve.
#[derive(Clone)]
pub struct ServerSettings {
    /// TLS for the API; plain HTTP if absent.
    pub tls: Option<TlsFiles>,
    /// How much callers may take.
    pub limits: Limits,
    /// Proxies in front of this server. Their connections may take everything; other clients a share.
    pub trusted_proxies: Vec<IpNet>,
    /// What the keys outside this process count.
    pub keys: Option<KeyMetrics>,
    /// The timestamp authority; without one its paths are not there.
    pub timestamps: Option<Timestamps>,
}

impl Default for ServerSettings {
    /// Plain HTTP with the standard limits.
    fn default() -> Self {
        Self {
            tls: None,
            limits: Limits::standard(),
            trusted_proxies: ct_log::acceptor::loopback(),
            keys: None,
            timestamps: None,
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is in use, not this machine's, or not allowed.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The server's own certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A mistake in this build.
    #[error("the server cannot be put together")]
    Assembly(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A server that listens already, and answers once it runs.
pub struct Server {
    listeners: Listeners,
    app: Arc<App>,
    gate: Arc<Gate>,
    meters: Arc<Metrics>,
    reporter: HealthReporter,
    tls: Option<TlsAcceptor>,
    trusted_proxies: Vec<IpNet>,
}

impl Server {
    /// Loads the TLS files and puts the interfaces together, `extra` beside our own paths.
    ///
    /// # Errors
    /// A file that does not load.
    ///
    /// # Panics
    /// If `extra` has one of our own paths.
    pub fn new(
        listeners: Listeners,
        settings: ServerSettings,
        authority: Arc<Authority>,
        extra: Router,
    ) -> Result<Self, ServeError> {
        output::watch_panics();
        let tls = settings.tls.as_ref().map(tls::load).transpose()?;
        let (of_issuers, of_logs) = (Arc::clone(&authority), Arc::clone(&authority));
        let of_audit = Arc::clone(&authority);
        let sources = Sources {
            logs: Some(Arc::new(move || {
                let shards = of_logs.log().embedded();
                shards.iter().flat_map(Shards::iter).cloned().collect()
            })),
            external_logs: authority.log().external_metrics().cloned(),
            keys: settings.keys,
            issuers: Some(Arc::new(move || of_issuers.tokens().status().collect())),
            audit: Some(Arc::new(move || of_audit.signing().audit().health().is_ok())),
        };
        let meters = Arc::new(Metrics::new(sources).map_err(|error| ServeError::Assembly(error.into()))?);
        meters.grpc_registered(&route::GRPC);
        let parts = (authority, settings.timestamps);
        let gate = Arc::new(Gate::new(parts, settings.limits, Arc::clone(&meters)));
        let reporter = HealthReporter::new();
        let app = Arc::new(App::new(Arc::clone(&gate), reporter.clone(), extra)?);
        Ok(Self {
            listeners,
            app,
            gate,
            meters,
            reporter,
            tls,
            trusted_proxies: settings.trusted_proxies,
        })
    }

    /// What this server counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.meters
    }

    /// By which other routes can be served later beside our own paths.
    #[must_use]
    pub fn extra_routes(&self) -> ExtraRoutes {
        ExtraRoutes(Arc::clone(&self.app))
    }

    /// Serves until `shutdown` resolves, then accepts nothing more and lets requests in flight finish
    /// (at most [`Limits::drain`]). Metrics are served to the end.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        let (close_api, api_closing) = watch::channel(false);
        let (close_metrics, metrics_closing) = watch::channel(false);
        let limits = self.gate.limits();
        let (limits, proxies) = (limits.connection, self.trusted_proxies);
        let listener = self.listeners.api.0;
        let api = match self.tls {
            None => {
                tokio::spawn(Acceptor::new(self.app, Clear, limits, proxies).serve(listener, api_closing))
            }
            Some(tls) => {
                tokio::spawn(Acceptor::new(self.app, Tls(tls), limits, proxies).serve(listener, api_closing))
            }
        };
        let metrics = self.listeners.metrics.map(|(listener, _)| {
            let page = Arc::new(MetricsPage(Arc::clone(&self.meters)));
            let acceptor = Acceptor::new(page, Clear, METRICS_LIMITS, Vec::new());
            tokio::spawn(acceptor.serve(listener, metrics_closing))
        });
        let report = tokio::spawn(health::report(self.gate, self.reporter.clone()));

        shutdown.await;
        report.abort();
        health::set(&self.reporter, ServingStatus::NotServing).await;
        close_api.send_replace(true);
        joined("API", api.await);
        close_metrics.send_replace(true);
        if let Some(metrics) = metrics {
            joined("metrics", metrics.await);
        }
    }
}

/// What a server serves beside its own paths.
#[derive(Clone)]
pub struct ExtraRoutes(Arc<App>);

impl ExtraRoutes {
    /// Serves `extra` from the next request on, instead of what was served before.
    ///
    /// # Panics
    /// If `extra` has one of the server's own paths.
    pub fn replace(&self, extra: Router) {
        self.0.serve_extra(extra);
    }
}

impl From<AssemblyError> for ServeError {
    fn from(error: AssemblyError) -> Self {
        Self::Assembly(error.into())
    }
}

impl Service for App {
    async fn answer(&self, request: Request<Body>) -> Response {
        let dialect = Dialect::of(request.headers());
        panics::answered(dialect, self.answer(request)).await
    }

    fn refuse(&self, refusal: Refusal, headers: &HeaderMap) -> Response {
        let error = match refusal {
            Refusal::Fields => ApiError::too_many_header_fields(),
            Refusal::Host => ApiError::host(),
            Refusal::Overloaded => ApiError::overloaded(),
        };
        self.refuse(error, headers)
    }

    fn observe(&self, event: ConnectionEvent) {
        connection::observe(self.metrics(), event);
    }
}

/// `GET /metrics` and `/healthz`, nothing else.
struct MetricsPage(Arc<Metrics>);

impl Service for MetricsPage {
    async fn answer(&self, request: Request<Body>) -> Response {
        panics::answered(Dialect::Http, self.page(request.uri().path())).await
    }

    fn refuse(&self, refusal: Refusal, _headers: &HeaderMap) -> Response {
        match refusal {
            Refusal::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response(),
            Refusal::Host => StatusCode::BAD_REQUEST.into_response(),
            Refusal::Overloaded => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }

    fn observe(&self, event: ConnectionEvent) {
        connection::observe(&self.0, event);
    }
}

impl MetricsPage {
    async fn page(&self, path: &str) -> Response {
        match path {
            "/metrics" => match self.0.render() {
                Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
                Err(error) => {
                    tracing::error!(%error, "metrics cannot be written");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }
            },
            route::HEALTHZ => health::healthz().await.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn joined(what: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, what, "the listener ended badly");
    }
}
