//! What `mayfly dev` and `mayfly serve` have in common: the authority, and serving it.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use axum::Router;
use ct_log::{
    Log, LogKey, Origin, WriteFailure,
    acceptor::{self, IpNet},
    remote::OwnScheme,
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use mayfly::{
    audit::{AuditError, AuditLog},
    clock::{Clock, SystemClock},
    config::{
        ConfigErrors, Settings, TimestampFiles,
        issuers::{self, IssuerFile},
    },
    deployment::{
        self, ConfigurationFollower, Files, InForce, IssuerFileFollower, LogService, Parts, SelfAudits,
        TufService,
    },
    dev::data_dir::{DataDir, write_public},
    issue::Authority,
    issuer::{
        CertificateChain,
        ceremony::{self, AuthorityNames, KeyKind, NewAuthority},
    },
    key::{KeySettings, SoftwareKey, file as key_file},
    log::{
        Shards,
        embedded::{EmbeddedLogSettings, SubmissionSettings},
        self_audit::{OwnListener, SelfAudit},
    },
    server::{Listeners, Server, ServerSettings, Timestamps, TlsFiles},
    telemetry::KeyMetrics,
    timestamp::TimestampAuthority,
    token::{FetchPolicy, LoopbackHttp},
    trust::{PublicUrl, TrustStatement},
};
use tokio::{sync::watch, task::JoinSet};
use x509_cert::name::Name;

use super::{
    dev_timestamps,
    failure::Failure,
    place::Place,
    signal::{self, StopSignals},
};

/// The name of the development log. It stays when the port changes, as a log's name must.
const DEV_LOG_ORIGIN: &str = "localhost/log";

/// Subjects of the development CA's certificates (RFC 4514).
const DEV_ROOT: &str = "CN=Mayfly development root,O=Mayfly development";
const DEV_INTERMEDIATE: &str = "CN=Mayfly development intermediate,O=Mayfly development";

/// The first start: CA and log, with their keys, in a directory that has none of them yet.
pub(crate) async fn create(data_dir: &DataDir, kind: KeyKind) -> Result<(), Failure> {
    let new = generate(kind).await?;
    let chain = CertificateChain::from_der(new.chain, SystemClock.now())?;
    write_public(&data_dir.ca_chain(), &chain.pem().concat())?;
    write_public(&data_dir.ca_root(), chain.pem().last().map_or("", String::as_str))?;
    key_file::write_new(&data_dir.ca_key(), &new.key, None)?;
    dev_timestamps::create(data_dir, kind).await?;
    let settings = log_settings(data_dir);
    for shard in settings.shards {
        shard
            .open(&settings.promise, &KeyMetrics::new()?)
            .await?
            .shutdown()
            .await;
    }
    Ok(())
}

/// Every start: the CA and the log that [`create`] made, or others in memory, for clients that reach them at `url`, trusting the
/// place's issuer file, which is given too.
pub(crate) async fn open(
    place: &Place,
    kind: KeyKind,
    url: PublicUrl,
    timestamps: &TimestampAuthority,
) -> Result<(Authority, ReadFile), Failure> {
    let fetch = FetchPolicy::new(LoopbackHttp::Allowed);
    let issuer_file = ReadFile::open(place.data_dir().issuers())?;
    let trusted = issuers::parse(&issuer_file.path, &issuer_file.text, &fetch)?.issuers;
    let parts = match place {
        Place::Kept { data_dir, .. } => {
            files(data_dir, url)
                .load((trusted, fetch), Some(timestamps), &KeyMetrics::new()?)
                .await?
        }
        Place::Ephemeral { .. } => {
            let new = generate(kind).await?;
            Parts {
                chain: CertificateChain::from_der(new.chain, SystemClock.now())?,
                key: Arc::new(SoftwareKey::from_pkcs8_der(&new.key)?),
                trust: TrustStatement {
                    url: Some(url),
                    timestamps: Some(Arc::clone(timestamps.signer().chain())),
                    ..TrustStatement::default()
                },
                log: Some(Log::in_memory(Origin::new(DEV_LOG_ORIGIN)?, LogKey::generate()?)?.into()),
                external_logs: None,
                audit: AuditLog::forgetful(),
                issuers: trusted,
                verified_issuers: None,
                fetch,
            }
        }
    };
    Ok((parts.assemble(Arc::new(SystemClock)).await?, issuer_file))
}

/// An issuer file and the text that was read from it.
pub(crate) struct ReadFile {
    path: PathBuf,
    text: String,
}

impl ReadFile {
    fn open(path: PathBuf) -> Result<Self, ConfigErrors> {
        let text = issuers::read(&path)?;
        Ok(Self { path, text })
    }
}

async fn generate(kind: KeyKind) -> Result<NewAuthority, Failure> {
    let names = AuthorityNames {
        root: Name::from_str(DEV_ROOT)?,
        intermediate: Name::from_str(DEV_INTERMEDIATE)?,
    };
    Ok(ceremony::generate(names, kind, SystemClock.now()).await?)
}

fn files(data_dir: &DataDir, url: PublicUrl) -> Files {
    Files {
        ca_chain: data_dir.ca_chain(),
        ca_key: KeySettings::plain_file(data_dir.ca_key()),
        url: Some(url),
        also_trusted: Vec::new(),
        timestamps_also_trusted: Vec::new(),
        log: Some(log_settings(data_dir)),
        audit: data_dir.audit(),
        verified_issuers: Some(data_dir.verified_issuers()),
    }
}

fn log_settings(data_dir: &DataDir) -> EmbeddedLogSettings {
    EmbeddedLogSettings::in_directory(data_dir.log(), DEV_LOG_ORIGIN.to_owned(), data_dir.log_key())
}

/// A server that is put together and listens.
pub(crate) struct Running {
    server: Server,
    in_force: InForce,
    log_service: LogService,
    issuer_file: IssuerFileFollower,
    stop: StopSignals,
    reload: watch::Receiver<()>,
    /// What runs beside the server, and ends with it.
    following: JoinSet<()>,
}

/// What is round an authority and its log.
pub(crate) struct Around {
    /// Other paths.
    pub(crate) routes: Router,
    /// What others may submit to the log.
    pub(crate) submissions: SubmissionSettings,
    /// What the keys count.
    pub(crate) keys: KeyMetrics,
    /// Who says the time, if anybody does.
    pub(crate) timestamps: Option<Timestamps>,
    /// Proxies in front of the server.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// The certificate log failed.
#[derive(Debug, thiserror::Error)]
#[error("the certificate log could not be written, so the server stopped; the next start recovers")]
pub(crate) struct LogFailed(#[source] WriteFailure);

/// The audit record failed.
#[derive(Debug, thiserror::Error)]
#[error("a write of the audit record failed, so the server stopped; the next start recovers")]
pub(crate) struct AuditFailed(#[source] AuditError);

impl Running {
    /// Serves the authority, its log, and what is round them; follows the issuer file by which it trusts.
    pub(crate) fn new(
        (authority, issuer_file): (Authority, ReadFile),
        (listeners, tls): (Listeners, Option<TlsFiles>),
        around: Around,
        reload: watch::Receiver<()>,
    ) -> Result<Self, Failure> {
        acceptor::raise_descriptor_limit();
        let authority = Arc::new(authority);
        let in_force = InForce {
            authority: Arc::clone(&authority),
            timestamps: around
                .timestamps
                .as_ref()
                .map(|timestamps| Arc::clone(&timestamps.authority)),
        };
        let mut log_service = LogService::new(Arc::clone(&authority), around.submissions, around.routes)?;
        let settings = ServerSettings {
            tls,
            keys: Some(around.keys),
            timestamps: around.timestamps,
            trusted_proxies: around.trusted_proxies,
            ..ServerSettings::default()
        };
        let server = Server::new(listeners, settings, Arc::clone(&authority), log_service.routes())?;
        let ReadFile { path, text } = issuer_file;
        let metrics = Arc::clone(server.metrics());
        let issuer_file = IssuerFileFollower::new(path, text, Arc::clone(&authority), metrics);
        Ok(Self {
            server,
            in_force,
            log_service,
            issuer_file,
            stop: StopSignals::catch()?,
            reload,
            following: JoinSet::new(),
        })
    }

    /// Looks up in the public logs what SCTs are given out for, from now on and as long as the server runs.
    fn audit_itself(&mut self, audit: &SelfAudit, own: OwnListener) -> Result<(), Failure> {
        let metrics = Arc::clone(self.server.metrics());
        let audits = SelfAudits::start(Arc::clone(&self.in_force.authority), audit.clone(), own, metrics)?;
        self.following.spawn(audits.follow());
        Ok(())
    }

    /// Has time servers confirm the clock of the timestamp authority, if any must, from now on and as long as the server runs.
    fn confirm_clock(&mut self, settings: &Settings) {
        let servers = settings.timestamp().map_or(&[][..], TimestampFiles::ntp);
        if let (Some(authority), false) = (self.in_force.timestamps.clone(), servers.is_empty()) {
            let metrics = Arc::clone(self.server.metrics());
            self.following
                .spawn(deployment::confirm_clock(authority, servers.to_vec(), metrics));
        }
    }

    /// Keeps the TUF repository current, from now on and as long as the server runs.
    fn keep_current(&mut self, tuf: TufService) {
        let metrics = Arc::clone(self.server.metrics());
        let authority = Arc::clone(&self.in_force.authority);
        self.following.spawn(tuf.follow(authority, metrics));
    }

    /// Keeps the CA, the timestamp authority and the shards of the log as the configuration says, from now on and as long as the server runs.
    fn follow_configuration(&mut self, read: (PathBuf, &Settings), keys: KeyMetrics) {
        let metrics = Arc::clone(self.server.metrics());
        let follower = ConfigurationFollower::new(read, self.in_force.clone(), keys, metrics);
        self.following.spawn(follower.follow(self.reload.clone()));
    }

    /// Until the process is told to stop, or the log or the audit record fails; then answers the requests in flight and closes the log.
    pub(crate) async fn until_stopped(self) -> Result<(), Failure> {
        let Self {
            server,
            in_force: InForce { authority, .. },
            log_service,
            issuer_file,
            stop,
            reload,
            mut following,
        } = self;
        following.spawn(log_service.follow(server.extra_routes(), reload.clone()));
        following.spawn(issuer_file.follow(reload.clone()));
        following.spawn(reopen_audit(Arc::clone(&authority), reload));
        following.spawn(deployment::remind_of_shards(Arc::clone(&authority)));
        // Without the keys of today, which must be gone once others have taken over.
        let audit = authority.signing().audit().clone();
        let until = async {
            tokio::select! {
                () = stop.received() => {}
                () = failed(&authority) => {}
                _ = audit.failed() => {}
            }
        };
        server.run_until(until).await;
        drop(following);
        authority.tokens().save_verified_issuers().await;
        let audit_failed = audit.failed().now_or_never();
        let mut result = audit_failed.map_or(Ok(()), |failure| Err(Failure::write(AuditFailed(failure))));
        let shards = authority.log().embedded();
        for log in shards.iter().flat_map(Shards::iter) {
            log.shutdown().await;
            // It may also have failed since the signal.
            if let Some(failure) = log.failed().now_or_never() {
                result = Err(Failure::write(LogFailed(failure)));
            }
        }
        result
    }
}

/// SIGHUP is how whoever rotates files has them opened anew.
async fn reopen_audit(authority: Arc<Authority>, mut asked: watch::Receiver<()>) {
    while asked.changed().await.is_ok() {
        authority.signing().audit().reopen();
    }
}

/// Resolves when a shard of the embedded log failed, which one that is not there never does.
async fn failed(authority: &Authority) {
    let mut successions = authority.successions();
    loop {
        let shards = authority.log().embedded();
        let logs = shards.iter().flat_map(Shards::iter);
        let mut failures: FuturesUnordered<_> = logs.map(Log::failed).collect();
        tokio::select! {
            Some(_) = failures.next() => return,
            Ok(()) = successions.changed() => {}
        }
    }
}

/// `mayfly serve`: the same, as a configuration file says.
pub(crate) async fn serve_configured(config: &Path) -> Result<(), Failure> {
    let reload = signal::reload_requests()?;
    let settings = Settings::load(config).map_err(Failure::configuration)?;
    let fetch = deployment::fetch_policy(&settings);
    let issuer_file = ReadFile::open(settings.issuers().to_owned()).map_err(Failure::configuration)?;
    let IssuerFile { issuers, warnings } =
        issuers::parse(&issuer_file.path, &issuer_file.text, &fetch).map_err(Failure::configuration)?;
    for warning in settings.warnings().iter().chain(&warnings) {
        tracing::warn!("{warning}");
    }
    let listeners = Listeners::bind(settings.listen(), settings.metrics_listen()).await?;
    let keys = KeyMetrics::new()?;
    // First: what is wrong with these must show before a log is made.
    let timestamps = deployment::timestamp_authority(&settings, &keys).await?;
    let tuf = TufService::open(&settings, &keys).await?;
    let files = Files::from(&settings);
    let mut parts = files.load((issuers, fetch), timestamps.as_deref(), &keys).await?;
    parts.external_logs = deployment::external_logs(&settings)?;
    let authority = parts.assemble(Arc::new(SystemClock)).await?;
    let authority = authority.permitting(settings.client_signing_algorithms().clone());
    let tls = settings.tls().cloned();
    let scheme = match &tls {
        Some(_) => OwnScheme::Https,
        None => OwnScheme::Http,
    };
    let (api, metrics) = (listeners.api_address(), listeners.metrics_address());
    let submissions = settings
        .log()
        .map(|log| log.submissions.clone())
        .unwrap_or_default();
    let around = Around {
        routes: tuf.as_ref().map(TufService::routes).unwrap_or_default(),
        submissions,
        keys: keys.clone(),
        timestamps: timestamps.map(|authority| Timestamps {
            authority,
            granted: settings
                .timestamp()
                .map(TimestampFiles::granted)
                .unwrap_or_default(),
        }),
        trusted_proxies: settings.trusted_proxies().to_vec(),
    };
    let mut running = Running::new((authority, issuer_file), (listeners, tls), around, reload)?;
    running.follow_configuration((config.to_owned(), &settings), keys);
    if let Some(audit) = settings.log().and_then(|log| log.self_audit.as_ref()) {
        let address = api;
        running.audit_itself(audit, OwnListener { scheme, address })?;
    }
    running.confirm_clock(&settings);
    if let Some(tuf) = tuf {
        running.keep_current(tuf);
    }
    tracing::info!(%api, metrics = metrics.map(tracing::field::display), "serving");
    running.until_stopped().await
}
