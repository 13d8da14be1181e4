//! What the operator sees: Prometheus metrics, Fulcio's names beside our own. Every label has a bounded set of values.

mod external_logs;
mod grpc;
mod issuers;
mod keys;
mod logs;
mod output;
mod process;
mod reloads;
mod self_audits;
mod timestamps;
mod tuf;
mod witnesses;

use std::{sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use ct_log::{Log, auditor::Round};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    PullingGauge, Registry, TextEncoder,
};

use crate::{issuer::CertificateChain, timestamp::TimestampChain, trust::tuf::Standing};

use self::reloads::ReloadMetrics;
pub use self::{
    external_logs::ExternalLogMetrics,
    grpc::{GrpcKind, GrpcMethod, Served},
    issuers::IssuerStatuses,
    keys::KeyMetrics,
    reloads::Reload,
};
pub(crate) use self::{
    external_logs::{Attempted, ExternalLogSeries},
    keys::{KeySeries, Signed},
};
use self::{
    grpc::GrpcMetrics, issuers::IssuerMetrics, logs::LogMetrics, output::OutputMetrics,
    process::ProcessMetrics, self_audits::SelfAuditMetrics, timestamps::TimestampMetrics, tuf::TufMetrics,
    witnesses::WitnessMetrics,
};

/// Every metric of one process.
pub struct Metrics {
    registry: Registry,
    new_certs: IntCounter,
    api_latency: HistogramVec,
    http_requests: IntCounterVec,
    grpc: GrpcMetrics,
    issued: IntCounter,
    refused: IntCounterVec,
    in_flight: IntGauge,
    connections: IntGauge,
    connections_refused: IntCounterVec,
    connections_cut: IntCounterVec,
    issuers: Option<IssuerMetrics>,
    issuer_file: ReloadMetrics,
    configuration: ReloadMetrics,
    ca_end: IntGauge,
    timestamps: TimestampMetrics,
    tuf: TufMetrics,
    self_audits: SelfAuditMetrics,
}

/// What is read at each scrape.
#[derive(Clone, Default)]
pub struct Sources {
    /// The logs that this process writes, of which there may be more later.
    pub logs: Option<Logs>,
    /// The logs elsewhere.
    pub external_logs: Option<ExternalLogMetrics>,
    /// What the keys outside this process count.
    pub keys: Option<KeyMetrics>,
    /// How the issuers stand.
    pub issuers: Option<IssuerStatuses>,
    /// Whether the audit record can be written.
    pub audit: Option<Usable>,
}

/// Whether something can be used now.
pub type Usable = Arc<dyn Fn() -> bool + Send + Sync>;

/// The logs that this process writes now.
pub type Logs = Arc<dyn Fn() -> Vec<Log> + Send + Sync>;

/// One more of something that is going on, until it is dropped.
#[derive(Debug)]
pub struct Ongoing(IntGauge);

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// A name that is registered twice.
    pub fn new(sources: Sources) -> Result<Self, prometheus::Error> {
        let make = Maker(Registry::new());
        make.build_info()?;
        make.0.register(Box::new(ProcessMetrics::new()?))?;
        make.0.register(Box::new(OutputMetrics::new()?))?;
        if let Some(audit) = sources.audit {
            let usable = "mayfly_audit_usable";
            let help =
                "Whether the audit record can be written; /readyz says why not, and nothing is issued then";
            let gauge = PullingGauge::new(usable, help, Box::new(move || if audit() { 1.0 } else { 0.0 }))?;
            make.0.register(Box::new(gauge))?;
        }
        if let Some(logs) = sources.logs {
            make.0
                .register(Box::new(WitnessMetrics::new(Arc::clone(&logs))?))?;
            make.0.register(Box::new(LogMetrics::new(logs)?))?;
        }
        if let Some(external) = &sources.external_logs {
            external.register(&make.0)?;
        }
        if let Some(keys) = &sources.keys {
            keys.register(&make.0)?;
        }
        Ok(Self {
            new_certs: make.counter("fulcio_new_certs", "The total number of certificates generated")?,
            api_latency: make.histogram(
                "fulcio_api_latency",
                "API latency in seconds",
                &["code", "method"],
            )?,
            http_requests: make.counters("http_requests_total", "HTTP requests", &["code", "method"])?,
            grpc: GrpcMetrics::new(&make)?,
            issued: make.counter("mayfly_issued_total", "Certificates issued")?,
            refused: make.counters(
                "mayfly_refused_total",
                "Requests refused, by stable reason",
                &["reason"],
            )?,
            in_flight: make.gauge("mayfly_requests_in_flight", "Requests being answered")?,
            connections: make.gauge("mayfly_connections", "Open connections")?,
            connections_refused: make.counters(
                "mayfly_connections_refused_total",
                "Connections closed unanswered: all places were taken (full), or the client's share was (client)",
                &["reason"],
            )?,
            connections_cut: make.counters(
                "mayfly_connections_cut_total",
                "Connections cut off: no request in time (silent), an answer not read (stalled), or the end (unfinished)",
                &["reason"],
            )?,
            issuers: sources
                .issuers
                .map(|read| IssuerMetrics::new(&make, read))
                .transpose()?,
            issuer_file: ReloadMetrics::of_issuer_file(&make)?,
            configuration: ReloadMetrics::of_configuration(&make)?,
            ca_end: make.gauge(
                "mayfly_ca_end_timestamp_seconds",
                "When the CA's chain that signs is over, since the Unix epoch",
            )?,
            timestamps: TimestampMetrics::new(&make)?,
            tuf: TufMetrics::new(&make)?,
            self_audits: SelfAuditMetrics::new(&make)?,
            registry: make.0,
        })
    }

    /// The text format (version 0.0.4) of everything.
    ///
    /// # Errors
    /// A metric that the format cannot hold.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let gathered = match &self.issuers {
            Some(issuers) => issuers.refreshed(|| self.registry.gather()),
            None => self.registry.gather(),
        };
        let mut text = Vec::new();
        TextEncoder::new().encode(&gathered, &mut text)?;
        Ok(text)
    }

    /// A certificate was issued.
    pub fn issued(&self) {
        self.issued.inc();
        self.new_certs.inc();
    }

    /// A request was refused for `reason`, of a bounded set.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// The issuer file was read again.
    pub fn reloaded(&self, outcome: Reload) {
        self.issuer_file.ended(outcome);
    }

    /// The chain that signs from now on.
    pub fn signs_under(&self, chain: &CertificateChain) {
        let end = chain.validity().end().as_secs();
        self.ca_end.set(i64::try_from(end).unwrap_or(i64::MAX));
    }

    /// The chain under which times are signed from now on.
    pub fn signs_times_under(&self, chain: &TimestampChain) {
        self.timestamps.signs_until(*chain.validity().end());
    }

    /// `mayfly.yaml` or a file that it names was read again.
    pub fn configuration_reloaded(&self, outcome: Reload) {
        self.configuration.ended(outcome);
    }

    /// What SCTs were given out for was looked up in the public log of that origin, with so many alarms.
    pub fn self_audited(&self, origin: &str, round: &Round, alarms: usize) {
        self.self_audits.ended(origin, round, alarms);
    }

    /// A request for a timestamp was answered: `granted`, or refused for a reason of a bounded set.
    pub fn timestamped(&self, outcome: &'static str, took: Duration) {
        self.timestamps.ended(outcome, took);
    }

    /// Whether time servers say that the clock of the timestamp authority is right.
    pub fn clock_confirmed(&self, confirmed: bool) {
        self.timestamps.clock_confirmed(confirmed);
    }

    /// How the roles of the TUF repository stand, and how many certificates and keys in force its trusted root lacks.
    pub fn tuf_stands(&self, roles: &[Standing], unpublished: usize) {
        self.tuf.stands(roles, unpublished);
    }

    /// A request is being answered.
    #[must_use]
    pub fn in_flight(&self) -> Ongoing {
        Ongoing::new(&self.in_flight)
    }

    /// A connection was opened.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A connection that was opened is closed.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A connection was closed unanswered.
    pub fn connection_refused(&self, reason: &'static str) {
        self.connections_refused.with_label_values(&[reason]).inc();
    }

    /// A connection was cut off.
    pub fn connection_cut(&self, reason: &'static str) {
        self.connections_cut.with_label_values(&[reason]).inc();
    }

    /// An HTTP request was answered; `method` is of [`method_name`], and a label in lower case, as
    /// Fulcio's dashboards expect it.
    pub fn http_served(&self, method: &'static str, status: StatusCode, took: Duration) {
        let labels = [status.as_str(), &method.to_ascii_lowercase()];
        self.http_requests.with_label_values(&labels).inc();
        self.api_latency
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    /// Shows these gRPC methods as never called.
    pub fn grpc_registered(&self, methods: &[GrpcMethod]) {
        self.grpc.register(methods);
    }

    /// A gRPC call began.
    pub fn grpc_started(&self, method: GrpcMethod) {
        self.grpc.began(method);
    }

    /// A gRPC call was answered.
    pub fn grpc_served(&self, served: &Served) {
        self.grpc.answered(served);
    }
}

impl Ongoing {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Makes metrics and registers them.
struct Maker(Registry);

impl Maker {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
        let histogram = HistogramVec::new(HistogramOpts::new(name, help), labels)?;
        self.0.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }

    /// Under our name, and under Fulcio's with its labels, of which two say nothing of this program.
    fn build_info(&self) -> Result<(), prometheus::Error> {
        let (version, commit) = (env!("CARGO_PKG_VERSION"), crate::COMMIT);
        let help = "Always 1; the labels say what was built";
        let ours = Opts::new("mayfly_build_info", help)
            .const_label("version", version)
            .const_label("commit", commit);
        let fulcios = Opts::new("fulcio_build_info", help)
            .const_label("version", version)
            .const_label("revision", commit)
            .const_label("build_date", "unknown")
            .const_label("goversion", "unknown");
        for options in [ours, fulcios] {
            let gauge = IntGauge::with_opts(options)?;
            gauge.set(1);
            self.0.register(Box::new(gauge))?;
        }
        Ok(())
    }
}

/// The name of a method, of the bounded set that Go's `promhttp`, which Fulcio uses, tells apart.
/// Callers may invent methods, of any length; those share one name.
#[must_use]
pub fn method_name(method: &Method) -> &'static str {
    const NAMED: [&str; 10] = [
        "GET", "PUT", "HEAD", "POST", "DELETE", "CONNECT", "OPTIONS", "NOTIFY", "TRACE", "PATCH",
    ];
    let named = NAMED.into_iter().find(|name| *name == method.as_str());
    named.unwrap_or("unknown")
}
