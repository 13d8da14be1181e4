//! The parts of an authority whose one issuer is the development identity provider, on loopback.

use std::{net::Ipv4Addr, path::Path, str::FromStr, sync::Arc};

use ct_log::{Log, LogKey, LogSettings, Origin};
use mayfly::{
    clock::{Clock, SystemClock, Timestamp},
    config::issuers,
    dev::{IdentityProvider, Issuers, Minter, ProviderKey, issuer_file},
    issue::IssueRequest,
    issuer::{
        CertificateChain, Issuer,
        ceremony::{self, AuthorityNames, KeyKind},
    },
    key::SoftwareKey,
    log::CertificateLog,
    proof::KeyProof,
    token::{FetchPolicy, LoopbackHttp, RawToken, TokenVerifier},
    trusted_issuer::TrustedIssuers,
};
use tokio::{net::TcpListener, runtime::Runtime};
use x509_cert::name::Name;

use super::applicants::{self, Applicant};

/// Applicants to take turns: more than any cache of ours could hold by accident.
const APPLICANTS: usize = 4096;

/// The identity provider, serving, with applicants who have tokens of it.
pub(crate) struct Provider {
    issuer_file: String,
    /// When the tokens were made: they are valid for ten minutes, and a run takes longer.
    pub(crate) now: Timestamp,
    applicants: Vec<Applicant>,
}

impl Provider {
    pub(crate) fn start(runtime: &Runtime) -> Self {
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let urls = Issuers::at(&format!("http://{}", listener.local_addr().unwrap()));
        let text = issuer_file(&urls);
        let (key, clock) = (ProviderKey::generate().unwrap(), SystemClock);
        let minter = Minter::new(key, urls);
        let now = clock.now();
        let applicants = applicants::prepare(&minter, APPLICANTS, now).unwrap();
        let routes = IdentityProvider::new(minter, Arc::new(clock)).router();
        runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            issuer_file: text,
            now,
            applicants,
        }
    }

    pub(crate) fn trusted(&self) -> TrustedIssuers {
        let policy = FetchPolicy::new(LoopbackHttp::Allowed);
        let file = issuers::parse(Path::new("issuers.yaml"), &self.issuer_file, &policy);
        file.unwrap().issuers
    }

    /// A verifier that has fetched the provider's keys.
    pub(crate) fn verifier(&self, runtime: &Runtime) -> TokenVerifier {
        let policy = FetchPolicy::new(LoopbackHttp::Allowed);
        let verifier = TokenVerifier::new(self.trusted(), policy).unwrap();
        let first = self.requests().next().unwrap();
        runtime.block_on(verifier.verify(first.token, self.now)).unwrap();
        verifier
    }

    /// Without end; each token comes again after all the others.
    pub(crate) fn requests(&self) -> impl Iterator<Item = IssueRequest> {
        self.applicants.iter().cycle().map(|applicant| IssueRequest {
            token: RawToken::new(applicant.token.clone()),
            proof: KeyProof::Challenge {
                public_key: applicant.public_key.clone(),
                signature: applicant.proof.clone(),
            },
        })
    }
}

/// Valid from `now`.
pub(crate) async fn issuer(kind: KeyKind, now: Timestamp) -> Issuer {
    let names = AuthorityNames {
        root: Name::from_str("O=bench,CN=root").unwrap(),
        intermediate: Name::from_str("O=bench,CN=intermediate").unwrap(),
    };
    let made = ceremony::generate(names, kind, now).await.unwrap();
    let key = SoftwareKey::from_pkcs8_der(&made.key).unwrap();
    let chain = CertificateChain::from_der(made.chain, now).unwrap();
    Issuer::new(std::sync::Arc::new(key), chain).await.unwrap()
}

/// On disk in `directory`, or else in memory.
pub(crate) fn log(issuer: &Issuer, directory: Option<&Path>) -> CertificateLog {
    let (origin, key) = (
        Origin::new("bench.example/log").unwrap(),
        LogKey::generate().unwrap(),
    );
    let log = match directory {
        None => Log::in_memory(origin, key),
        Some(directory) => Log::create(LogSettings::new(directory.join("log"), origin), key),
    };
    CertificateLog::new(log.unwrap(), issuer.chain()).unwrap()
}
