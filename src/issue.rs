//! The spine: how a token and a proof of key possession become a logged certificate.
//!
//! Every way in (gRPC v2, JSON v2, legacy v1, CSR, challenge) crosses [`Authority::issue`]. The states of
//! a request are types that only the step before can make, so a step cannot be skipped or repeated.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    admission::{Admission, AdmissionError, Admitted},
    audit::{AuditError, AuditLog},
    clock::{Clock, Timestamp},
    identity::{self, Identity, IdentityError},
    issuer::{CertificateChain, IssuedCertificate, Issuer, IssuerError},
    log::{CertificateLog, LogError},
    profile::{Draft, Profile, ProfileError},
    proof::{self, KeyProof, ProofError},
    token::{RawToken, TokenError, TokenVerifier, TokenVerifierError},
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

/// The certificate authority.
pub struct Authority {
    /// Whom to trust: replaced whole, so that a request sees one issuer file or the other.
    tokens: ArcSwap<TokenVerifier>,
    admission: Admission,
    profile: Profile,
    signing: Arc<Signing>,
    clock: Arc<dyn Clock>,
}

/// The part of the path that leaves traces; it outlives a caller that hangs up.
pub struct Signing {
    /// The CA key and its chain.
    pub issuer: Issuer,
    /// The public logs.
    pub log: CertificateLog,
    /// The operator's own record.
    pub audit: AuditLog,
}

impl Authority {
    /// Puts the steps together.
    ///
    /// # Errors
    /// If the profile cannot be made for the issuer's chain.
    pub fn new(tokens: TokenVerifier, signing: Signing, clock: Arc<dyn Clock>) -> Result<Self, ProfileError> {
        let profile = Profile::new(signing.issuer.chain())?;
        Ok(Self {
            tokens: ArcSwap::from_pointee(tokens),
            admission: Admission::default(),
            profile,
            signing: Arc::new(signing),
            clock,
        })
    }

    /// Issues one certificate, logged and recorded before it is returned.
    ///
    /// # Errors
    /// What the first step that refused said. Before `draft` nothing was signed; after it, a precertificate
    /// may have been, and then the audit record has its line unless the process dies at once.
    pub async fn issue(&self, request: IssueRequest) -> Result<IssuedCertificate, IssueError> {
        let now = self.clock.now();
        let token = self.tokens.load_full().verify(request.token, now).await?;
        let identity = identity::identify(token)?;
        let admitted = self.admit(identity, now).await?;
        let applicant = proof::prove(admitted, request.proof)?;
        let draft = self.profile.draft(applicant, now)?;
        let signing = Arc::clone(&self.signing);
        tokio::spawn(async move { signing.sign(draft, now).await })
            .await
            .map_err(|_| IssueError::Interrupted)?
    }

    /// A valid token that the operator's rules refuse is on record.
    async fn admit(&self, identity: Identity, now: Timestamp) -> Result<Admitted, IssueError> {
        match self.admission.admit(identity, now) {
            Ok(admitted) => Ok(admitted),
            Err(refused) => {
                self.signing.audit.refused(&refused, now).await?;
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

    /// The CA's certificates.
    #[must_use]
    pub fn trust_bundle(&self) -> &CertificateChain {
        self.signing.issuer.chain()
    }

    /// The certificates' logs.
    #[must_use]
    pub fn log(&self) -> &CertificateLog {
        &self.signing.log
    }

    /// What works and what does not, each part by name.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let now = self.clock.now();
        Readiness {
            key: self.profile.check_issuer(now).map_err(|error| error.to_string()),
            log: self.signing.log.health(now),
            audit: self.signing.audit.health().map_err(|error| error.to_string()),
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
        self.key.is_ok()
            && self.log.is_ok()
            && self.audit.is_ok()
            && self.issuers.iter().any(|(_, state)| state.is_ok())
    }
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
