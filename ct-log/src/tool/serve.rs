//! `serve`: a log of its own, for CAs in other processes.

mod answering;

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::routing::get;
use clap::Args;
use der::{DateTime, Encode as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use x509_cert::Certificate;

use super::birth;
use super::failure::Failure;
use crate::acceptor::{Acceptor, Clear, IpNet, Limits, listen, parse_network, raise_descriptor_limit};
use crate::chain::Policy;
use crate::http::Submissions;
use crate::{Log, LogSettings, Origin, Window, WriteFailure};

use answering::Answering;

const MIB: u64 = 1024 * 1024;

/// Submitters wait longer for a head than signers do, and for what is in flight at the end.
const LIMITS: Limits = Limits {
    head: Duration::from_secs(30),
    drain: Duration::from_secs(20),
    ..Limits::standard()
};

pub(super) const AFTER_HELP: &str = "\
Example:
  {program} serve --directory /var/lib/ct-log --key /etc/ct-log/key.pem \\
    --origin log.example/2027 --accept roots.pem

The first start makes the key and the log together, if neither the key's file nor anything in
the directory is there. One without the other is refused: see restore --help.

The log is served under the path of its origin (/2027 above), and /health says whether it takes
entries: 200 or 503. Put a proxy that terminates TLS in front of it. SIGHUP has the roots read
again; SIGTERM and SIGINT end the server when the requests in flight are answered.

Exit codes:
  0  stopped by a signal
  1  it did not start
  2  the command line is wrong
  3  a write failed, so the log stopped; the next start recovers";

/// What `serve` was given.
#[derive(Args, Debug)]
pub struct ServeArguments {
    /// Where the log lives; it has the directory for itself
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,

    /// The log's private key: PKCS#8, ECDSA P-256, PEM, mode 0600
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The log's name for ever: the URL of its prefix without https:// and trailing slash
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Origin::new(text))]
    origin: Origin,

    /// What submissions must chain to, PEM; what is not self-signed is an intermediate
    #[arg(long, value_name = "FILE")]
    accept: PathBuf,

    /// Where to listen, plain HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6962")]
    listen: SocketAddr,

    /// Take only certificates that expire then or later, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "not_after_until", value_parser = time)]
    not_after_from: Option<SystemTime>,

    /// Take only certificates that expire before; a week later the log becomes read-only
    #[arg(long, value_name = "TIME", requires = "not_after_from", value_parser = time)]
    not_after_until: Option<SystemTime>,

    /// Submissions that are taken in a second; beyond that the answer is 429
    #[arg(long, value_name = "N", default_value = "100")]
    rate: NonZeroU32,

    /// Proxies, such as 10.0.0.0/8; other clients have shares [default: loopback]
    #[arg(long, value_name = "NETWORK", default_values = ["127.0.0.0/8", "::1/128"], hide_default_value = true, value_parser = network)]
    trusted_proxies: Vec<IpNet>,

    /// Free space below which no entries are taken, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    min_free: u64,
}

fn network(text: &str) -> Result<IpNet, String> {
    parse_network(text).ok_or_else(|| "give an address or a network, such as 10.0.0.0/8".to_owned())
}

fn time(text: &str) -> Result<SystemTime, String> {
    let time: Result<DateTime, _> = text.parse();
    time.map(|time| time.to_system_time())
        .map_err(|_| "give a time as in 2027-01-01T00:00:00Z".to_owned())
}

/// The log failed while it was served.
#[derive(Debug, thiserror::Error)]
#[error("the log could not be written, so it stopped; the next start recovers")]
struct LogFailed(#[source] WriteFailure);

pub(super) async fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    raise_descriptor_limit();
    let submissions = Submissions::limited(
        read_policy(&arguments.accept)?,
        arguments.rate,
        Duration::from_secs(1),
    );
    let settings = arguments.settings()?;
    let (listener, address) = listen(arguments.listen).await?;
    let log = birth::open_or_create(settings, &arguments.key)?;
    tracing::info!(%address, origin = %log.origin(), id = %log.public_key().log_id(), entries = log.size(), "serving");
    let router = router(&log, submissions.clone());
    let (close, closing) = watch::channel(false);
    let acceptor = Acceptor::new(
        Arc::new(Answering(router)),
        Clear,
        LIMITS,
        arguments.trusted_proxies,
    );
    let serving = tokio::spawn(acceptor.serve(listener, closing));
    end(&log, signals, (&submissions, &arguments.accept)).await;
    close.send_replace(true);
    if let Err(error) = serving.await {
        tracing::error!(%error, "the listener ended badly");
    }
    log.shutdown().await;
    match futures_util::FutureExt::now_or_never(log.failed()) {
        Some(failure) => Err(Failure::log(LogFailed(failure))),
        None => Ok(()),
    }
}

impl ServeArguments {
    fn settings(&self) -> Result<LogSettings, Failure> {
        let settings = LogSettings::new(&self.directory, self.origin.clone());
        let settings = settings.min_free_bytes(self.min_free.saturating_mul(MIB));
        match (self.not_after_from, self.not_after_until) {
            (Some(from), Some(until)) => {
                let window = Window::new(from, until).map_err(Failure::usage)?;
                Ok(settings.window(window))
            }
            _ => Ok(settings),
        }
    }
}

fn router(log: &Log, submissions: Submissions) -> Router {
    let health = Router::new()
        .route("/health", get(health))
        .with_state(log.clone());
    let routes = crate::http::router(log.clone(), submissions);
    let origin = log.origin().as_str();
    let routes = match origin.find('/').and_then(|at| origin.get(at..)) {
        Some(path) => health.nest(path, routes),
        None => health.merge(routes),
    };
    // Status 500 instead of a closed connection.
    routes.layer(CatchPanicLayer::new())
}

async fn health(State(log): State<Log>) -> impl IntoResponse {
    let (status, text) = match log.health() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    (status, [(CACHE_CONTROL, "no-store")], text)
}

fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let pem = fs::read(path).map_err(|error| failed(&error))?;
    let certificates = Certificate::load_pem_chain(&pem).map_err(|error| failed(&error))?;
    let mut ders = Vec::new();
    for certificate in certificates {
        ders.push(certificate.to_der().map_err(|error| failed(&error))?);
    }
    let policy = Policy::new(ders.iter().map(Vec::as_slice));
    Ok(policy.map_err(|error| failed(&error))?)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on they do not kill the process.
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Resolves when the server is to end. Until then it reads the roots again whenever it is asked to.
async fn end(log: &Log, mut signals: Signals, (submissions, accept): (&Submissions, &Path)) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = log.failed() => return,
            _ = signals.hangup.recv() => match read_policy(accept) {
                Ok(policy) => {
                    submissions.replace(policy);
                    tracing::info!("the accepted roots were read again");
                }
                Err(failure) => tracing::error!(%failure, "the accepted roots cannot be read; those before stay in force"),
            }
        }
    }
}
