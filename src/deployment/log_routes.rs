//! Serves the embedded log's shards, and keeps what they accept in step with a file.

use std::{fs, io, path::PathBuf, time::Duration};

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

use crate::{
    issue::Authority,
    log::{
        Shards,
        embedded::{SubmissionRate, SubmissionSettings},
        path_of,
    },
};

/// How often the file of accepted roots is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The routes of every shard of the embedded log, each under the path that its origin names. They take submissions from
/// this CA's hierarchy, and from what else the settings accept. None if there is no such log.
///
/// # Errors
/// If the accepted certificates cannot be used.
pub fn log_routes(
    authority: &Authority,
    settings: &SubmissionSettings,
) -> Result<(Router, AcceptedRoots), AcceptedRootsError> {
    let mut accepted = AcceptedRoots {
        own: authority.trust_bundle().der().to_vec(),
        file: settings.accept.clone(),
        seen: Vec::new(),
        doors: Vec::new(),
    };
    accepted.seen = accepted.read()?;
    let policy = accepted.policy(&accepted.seen)?;
    let mut routes = Router::new();
    for log in authority.log().embedded().into_iter().flat_map(Shards::iter) {
        let door = door(policy.clone(), settings.rate);
        let shard = ct_log::http::router(log.clone(), door.clone());
        routes = routes.nest(path_of(log.origin().as_str()), shard);
        accepted.doors.push(door);
    }
    Ok((routes, accepted))
}

fn door(policy: Policy, rate: SubmissionRate) -> Submissions {
    match rate {
        SubmissionRate::Default => Submissions::new(policy),
        SubmissionRate::Limited(rate) => {
            let (submissions, period) = rate.parts();
            Submissions::limited(policy, submissions, period)
        }
        SubmissionRate::Off => Submissions::off(policy),
    }
}

/// Whose certificates the shards accept: the CA's own chain always, and what a file names.
pub struct AcceptedRoots {
    own: Vec<Vec<u8>>,
    file: Option<PathBuf>,
    /// What the file held when it was read last, whether it was taken or refused.
    seen: Vec<u8>,
    doors: Vec<Submissions>,
}

impl AcceptedRoots {
    /// Reads the file again whenever it has changed, and whenever `asked` changes; ends only by being dropped. A file that
    /// cannot be used is refused whole, and what was accepted stays so.
    pub async fn follow(mut self, mut asked: watch::Receiver<()>) {
        if self.file.is_none() {
            return std::future::pending().await;
        }
        let mut look = time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                Ok(()) = asked.changed() => true,
                _ = look.tick() => false,
            };
            match self.read() {
                Ok(pem) if pem == self.seen && !is_asked => {}
                Ok(pem) => {
                    self.apply(&pem);
                    self.seen = pem;
                }
                Err(error) if is_asked => report(&error),
                // It may be between two names; the next look tells.
                Err(_) => {}
            }
        }
    }

    fn apply(&self, pem: &[u8]) {
        match self.policy(pem) {
            Ok(policy) => {
                let roots = policy.roots().count();
                for door in &self.doors {
                    door.replace(policy.clone());
                }
                tracing::info!(roots, "the log accepts the roots of its file");
            }
            Err(error) => report(&error),
        }
    }

    fn read(&self) -> Result<Vec<u8>, AcceptedRootsError> {
        let Some(path) = &self.file else {
            return Ok(Vec::new());
        };
        fs::read(path).map_err(|source| AcceptedRootsError::Read {
            path: path.clone(),
            source,
        })
    }

    /// Of the CA's chain and the certificates of the file.
    fn policy(&self, pem: &[u8]) -> Result<Policy, AcceptedRootsError> {
        let wrong = || AcceptedRootsError::Pem(self.file.clone().unwrap_or_default());
        let mut accepted = self.own.clone();
        if self.file.is_some() {
            let further = Certificate::load_pem_chain(pem).map_err(|_| wrong())?;
            for certificate in further {
                accepted.push(certificate.to_der().map_err(|_| wrong())?);
            }
        }
        Ok(Policy::new(accepted.iter().map(Vec::as_slice))?)
    }
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
