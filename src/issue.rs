//! The spine: how a token and a proof of key possession become a logged certificate.
//!
//! Every way in (gRPC v2, JSON v2, legacy v1, CSR, challenge) crosses [`Authority::issue`]. The states of
//! a request are types that only the step before can make, so a step cannot be skipped or repeated.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ct_log::{StorageError, acceptor::ClientAddress};
use tokio::sync::watch;

use crate::{
    admission::{Admission, AdmissionError, Admitted},
    audit::{AuditError, AuditLog},
    clock::{Clock, Timestamp},
    identity::{self, Identity, IdentityError},
    issuer::{CertificateChain, IssuedCertificate, Issuer, IssuerError},
    log::{CertificateLog, LogError, Shards},
    profile::{Draft, Profile, ProfileError},
    proof::{self, KeyProof, PermittedAlgorithms, ProofError},
    token::{RawToken, TokenError, TokenVerifier, TokenVerifierError, VerifiedToken},
    trust::TrustStatement,
    trusted_issuer::{Changes, TrustedIssuers},
};

/// What every way in is parsed into; nothing of it is verified.
#[derive(Debug)]
pub struct IssueRequest {
    /// Who the caller says it is.
    pub token: RawToken,
    /// That the caller holds the key.
    pub proof: KeyProof,
}

impl IssueRequest {
    /// Sent by this client, if that is known.
    #[must_use]
    pub fn sent_by(self, client: Option<ClientAddress>) -> Self {
        Self {
            token: self.token.sent_by(client),
            ..self
        }
    }
}

/// The certificate authority.
pub struct Authority {
    /// Whom to trust: replaced whole, so that a request sees one issuer file or the other.
    tokens: ArcSwap<TokenVerifier>,
    admission: Admission,
    algorithms: PermittedAlgorithms,
    /// What signs: replaced whole too, so that one CA drafts, signs and logs a certificate.
    signing: ArcSwap<Signing>,
    succession: watch::Sender<()>,
    clock: Arc<dyn Clock>,
}

/// The part of the path that leaves traces; it outlives a caller that hangs up.
pub struct Signing {
    profile: Profile,
    issuer: Arc<Issuer>,
    log: CertificateLog,
    audit: AuditLog,
    trust: TrustStatement,
}

impl Authority {
    /// Puts the steps together.
    #[must_use]
    pub fn new(tokens: TokenVerifier, signing: Signing, clock: Arc<dyn Clock>) -> Self {
        Self {
            tokens: ArcSwap::from_pointee(tokens),
            admission: Admission::default(),
            algorithms: PermittedAlgorithms::default(),
            signing: ArcSwap::from_pointee(signing),
            succession: watch::Sender::new(()),
            clock,
        }
    }

    /// The same authority, for keys that are proved with these algorithms alone.
    #[must_use]
    pub fn permitting(self, algorithms: PermittedAlgorithms) -> Self {
        Self { algorithms, ..self }
    }

    /// Issues one certificate, logged and recorded before it is returned.
    ///
    /// # Errors
    /// What the first step that refused said. Before `draft` nothing was signed; after it, a precertificate
    /// may have been, and then the audit record has its line unless the process dies at once.
    pub async fn issue(&self, request: IssueRequest) -> Result<IssuedCertificate, IssueError> {
        self.issue_noting(request, |_| {}).await
    }

    /// The same. `note` sees the token once it is verified, whatever becomes of the request.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub async fn issue_noting(
        &self,
        request: IssueRequest,
        note: impl FnOnce(&VerifiedToken),
    ) -> Result<IssuedCertificate, IssueError> {
        let now = self.clock.now();
        let token = self.tokens.load_full().verify(request.token, now).await?;
        note(&token);
        let identity = identity::identify(token)?;
        let admitted = self.admit(identity, now).await?;
        let applicant = proof::prove_with(admitted, request.proof, &self.algorithms)?;
        let signing = self.signing.load_full();
        let draft = signing.profile.draft(applicant, now)?;
        tokio::spawn(async move { signing.sign(draft, now).await })
            .await
            .map_err(|_| IssueError::Interrupted)?
    }

    /// A valid token that the operator's rules refuse is on record.
    async fn admit(&self, identity: Identity, now: Timestamp) -> Result<Admitted, IssueError> {
        match self.admission.admit(identity, now) {
            Ok(admitted) => Ok(admitted),
            Err(refused) => {
                self.signing.load_full().audit.refused(&refused, now).await?;
                Err(refused.error.into())
            }
        }
    }

    /// Trusts these issuers from now on instead of the present ones. Requests under way end by the rules that they
    /// began with; what is the same in both keeps its keys and what its limits have counted.
    ///
    /// # Errors
    /// An issuer that can never be used. Nothing changes then.
    pub fn trust(&self, issuers: TrustedIssuers) -> Result<Changes, TokenVerifierError> {
        let present = self.tokens.load_full();
        let (issuers, changes) = issuers.succeed(present.issuers());
        let tokens = present.with_issuers(issuers)?;
        tokens.warm_up();
        self.tokens.store(Arc::new(tokens));
        Ok(changes)
    }

    /// Whom this authority trusts at this moment.
    #[must_use]
    pub fn tokens(&self) -> Arc<TokenVerifier> {
        self.tokens.load_full()
    }

    /// What signs at this moment.
    #[must_use]
    pub fn signing(&self) -> Arc<Signing> {
        self.signing.load_full()
    }

    /// Signs with these from now on. Requests under way end with what they began with.
    pub fn sign_with(&self, signing: Signing) {
        self.signing.store(Arc::new(signing));
        self.succession.send_replace(());
    }

    /// Changes whenever something else signs from then on: another CA, or another shard of the log beside the present ones.
    #[must_use]
    pub fn successions(&self) -> watch::Receiver<()> {
        self.succession.subscribe()
    }

    /// The CA chains under which certificates of this authority verify: that of the CA that signs, then the others that are
    /// trusted, still, and have not expired.
    #[must_use]
    pub fn trust_bundle(&self) -> Vec<Arc<CertificateChain>> {
        let (signing, now) = (self.signing.load(), self.clock.now());
        let others = signing.trust.also_trusted.iter();
        let believed = others
            .filter(|other| other.is_believed(now))
            .map(|other| &other.chain);
        let lasting = believed.filter(|chain| *chain.validity().end() >= now.since_epoch());
        std::iter::once(signing.issuer.chain())
            .chain(lasting)
            .cloned()
            .collect()
    }

    /// The certificates' logs.
    #[must_use]
    pub fn log(&self) -> CertificateLog {
        self.signing.load().log.clone()
    }

    /// What works and what does not, each part by name.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let (now, signing) = (self.clock.now(), self.signing.load());
        let key = signing.profile.check_issuer(now);
        Readiness {
            key: key.map_err(|error| error.to_string()),
            log: signing.log.health(now),
            audit: signing.audit.health().map_err(|error| error.to_string()),
            issuers: self
                .tokens
                .load()
                .status()
                .map(|issuer| (issuer.name, issuer.keys.usable()))
                .collect(),
        }
    }
}

impl Signing {
    /// A CA that signs, its logs, which know its chain, and its audit record.
    ///
    /// # Errors
    /// If the profile cannot be made for the CA's chain.
    pub fn new(
        issuer: impl Into<Arc<Issuer>>,
        log: CertificateLog,
        audit: AuditLog,
    ) -> Result<Self, ProfileError> {
        let issuer = issuer.into();
        Ok(Self {
            profile: Profile::new(issuer.chain())?,
            issuer,
            log,
            audit,
            trust: TrustStatement::default(),
        })
    }

    /// The CA that signs.
    #[must_use]
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Its logs.
    #[must_use]
    pub fn log(&self) -> &CertificateLog {
        &self.log
    }

    /// Its audit record.
    #[must_use]
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// What clients are told besides.
    #[must_use]
    pub fn trust(&self) -> &TrustStatement {
        &self.trust
    }

    /// The same, with this to tell clients: other CAs among it, those that are yet to sign, and those that did.
    #[must_use]
    pub fn stating(self, trust: TrustStatement) -> Self {
        Self { trust, ..self }
    }

    /// What signs next: this CA, with these shards of the embedded log if there is one, on the same record. Nothing else changes.
    /// The chain is in the log, durably, when this returns.
    ///
    /// # Errors
    /// If the log cannot store the chain, or no profile can be made for it.
    pub fn succeeded_by(
        &self,
        issuer: Arc<Issuer>,
        shards: Option<&Shards>,
    ) -> Result<Self, SuccessionError> {
        let log = self.log.with(shards, issuer.chain())?;
        Ok(Self::new(issuer, log, self.audit.clone())?)
    }

    async fn sign(&self, draft: Draft, now: Timestamp) -> Result<IssuedCertificate, IssueError> {
        self.audit.intent(&draft, now).await?;
        let precertificate = self.issuer.sign_precert(draft).await?;
        let logged = self.log.submit(precertificate).await?;
        let issued = self.issuer.sign_final(logged).await?;
        self.audit.issued(&issued, now).await?;
        issued
            .logged()
            .precertificate()
            .draft()
            .applicant()
            .admitted()
            .complete();
        Ok(issued)
    }
}

/// Whether each part that issuing needs is usable, with the reason where it is not.
#[derive(Debug)]
pub struct Readiness {
    /// The CA key and the validity of its certificate.
    pub key: Result<(), String>,
    /// The CT logs.
    pub log: Result<(), String>,
    /// The audit record.
    pub audit: Result<(), String>,
    /// Each trusted issuer's verification keys; one usable issuer is enough to serve.
    pub issuers: Vec<(String, Result<(), String>)>,
}

impl Readiness {
    /// Whether a certificate could be issued now: key, log and record, and at least one issuer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.own().is_ok() && self.issuers.iter().any(|(_, state)| state.is_ok())
    }

    /// Whether this process has all that is its own: key, log and record. Issuers are the same for every replica, so that
    /// another one would not do better without them.
    ///
    /// # Errors
    /// What it lacks.
    pub fn own(&self) -> Result<(), String> {
        let parts = [("key", &self.key), ("log", &self.log), ("audit", &self.audit)];
        let problem = |(part, state): (&str, &Result<(), String>)| {
            let problem = state.as_ref().err()?;
            Some(format!("{part}: {problem}"))
        };
        let problems: Vec<_> = parts.into_iter().filter_map(problem).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }
}

/// Why another CA or log cannot take over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// The log could not store the CA's chain.
    #[error("the CA's certificates could not be stored in the log")]
    Storage(#[from] StorageError),
    /// No certificates can be made under the chain.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The token does not verify.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token verifies but gives no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The token gives an identity that the operator's rules do not admit.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// Possession of the key is not proved, or the key is not acceptable.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// No certificate can be drafted.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The CA did not sign.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The log did not take the precertificate.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The audit record could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The process is stopping, or a step panicked.
    #[error("issuing was interrupted")]
    Interrupted,
}
