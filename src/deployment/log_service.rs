//! Serves the embedded log's shards, and keeps what they accept in step with the CA's chains and with a file.

use std::{fs, io, path::PathBuf, sync::Arc};

use axum::Router;
use ct_log::{
    chain::{Policy, PolicyError},
    http::Submissions,
};
use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};
use x509_cert::{Certificate, der::Encode};

use super::LOOK_EVERY;
use crate::{
    issue::Authority,
    log::{
        Shards,
        embedded::{SubmissionRate, SubmissionSettings},
        path_of,
    },
    server::ExtraRoutes,
};

/// The shards of the embedded log as others reach them. They take submissions from this CA's hierarchies, and from what else
/// the settings accept. There are none without such a log.
pub struct LogService {
    authority: Arc<Authority>,
    /// Served beside the shards.
    beside: Router,
    settings: SubmissionSettings,
    /// What the file held when it was read last, whether it was taken or refused.
    seen: Vec<u8>,
    /// What was taken last.
    policy: Policy,
    /// One for each shard, by its origin.
    doors: Vec<(String, Submissions)>,
}

impl LogService {
    /// For the log of an authority; `beside` is served with it.
    ///
    /// # Errors
    /// If the accepted certificates cannot be used.
    pub fn new(
        authority: Arc<Authority>,
        settings: SubmissionSettings,
        beside: Router,
    ) -> Result<Self, AcceptedRootsError> {
        let seen = read(&settings)?;
        let policy = policy(&authority, &settings, &seen)?;
        Ok(Self {
            authority,
            beside,
            settings,
            seen,
            policy,
            doors: Vec::new(),
        })
    }

    /// Every shard under the path that its origin names.
    pub fn routes(&mut self) -> Router {
        let mut routes = self.beside.clone();
        let shards = self.authority.log().embedded();
        for log in shards.iter().flat_map(Shards::iter) {
            let door = self.door(log.origin().as_str());
            let shard = ct_log::http::router(log.clone(), door);
            routes = routes.nest(path_of(log.origin().as_str()), shard);
        }
        routes
    }

    /// The one that is there, so that what its rate has counted stays.
    fn door(&mut self, origin: &str) -> Submissions {
        if let Some((_, door)) = self.doors.iter().find(|(name, _)| name == origin) {
            return door.clone();
        }
        let policy = self.policy.clone();
        let door = match self.settings.rate {
            SubmissionRate::Default => Submissions::new(policy),
            SubmissionRate::Limited(rate) => {
                let (submissions, period) = rate.parts();
                Submissions::limited(policy, submissions, period)
            }
            SubmissionRate::Off => Submissions::off(policy),
        };
        self.doors.push((origin.to_owned(), door.clone()));
        door
    }

    /// Serves new shards as they come, accepts new chains of the CA, and reads the file again whenever it has changed, and
    /// whenever `asked` changes; ends only by being dropped. A file that cannot be used is refused whole, and what was accepted
    /// stays so.
    pub async fn follow(mut self, serve: ExtraRoutes, mut asked: watch::Receiver<()>) {
        let mut successions = self.authority.successions();
        let mut look = time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Ok(()) = successions.changed() => {
                    self.accept();
                    serve.replace(self.routes());
                }
                Ok(()) = asked.changed() => self.look(Asked::Yes),
                _ = look.tick() => self.look(Asked::No),
            }
        }
    }

    fn look(&mut self, asked: Asked) {
        if self.settings.accept.is_none() {
            return;
        }
        match read(&self.settings) {
            Ok(pem) if pem == self.seen && asked == Asked::No => {}
            Ok(pem) => {
                self.seen = pem;
                self.accept();
            }
            Err(error) if asked == Asked::Yes => report(&error),
            // It may be between two names; the next look tells.
            Err(_) => {}
        }
    }

    fn accept(&mut self) {
        match policy(&self.authority, &self.settings, &self.seen) {
            Ok(policy) => {
                for (_, door) in &self.doors {
                    door.replace(policy.clone());
                }
                tracing::info!(roots = policy.roots().count(), "the log accepts these roots");
                self.policy = policy;
            }
            Err(error) => report(&error),
        }
    }
}

/// Whether an operator asked for the file to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

fn read(settings: &SubmissionSettings) -> Result<Vec<u8>, AcceptedRootsError> {
    let Some(path) = &settings.accept else {
        return Ok(Vec::new());
    };
    fs::read(path).map_err(|source| AcceptedRootsError::Read {
        path: path.clone(),
        source,
    })
}

/// Of the CA's chains and the certificates of the file.
fn policy(
    authority: &Authority,
    settings: &SubmissionSettings,
    pem: &[u8],
) -> Result<Policy, AcceptedRootsError> {
    let chains = authority.trust_bundle();
    let mut accepted: Vec<Vec<u8>> = chains.iter().flat_map(|chain| chain.der()).cloned().collect();
    if let Some(path) = &settings.accept {
        let wrong = || AcceptedRootsError::Pem(path.clone());
        for certificate in Certificate::load_pem_chain(pem).map_err(|_| wrong())? {
            accepted.push(certificate.to_der().map_err(|_| wrong())?);
        }
    }
    Ok(Policy::new(accepted.iter().map(Vec::as_slice))?)
}

fn report(error: &AcceptedRootsError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "the log's accepted roots stay what they were");
}

/// Why the accepted certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptedRootsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} does not hold certificates in PEM", .0.display())]
    Pem(PathBuf),
    /// One of the certificates is not a CA's, or none is a root.
    #[error("the accepted certificates cannot be used")]
    Policy(#[from] PolicyError),
}
