//! A whole certificate authority in this process: a new CA and log, an audit record, and a fake issuer that
//! it trusts for people (`email`), for names (`username`, `uri`) and for GitHub Actions (`ci-provider`).
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses another part of this file"
)]

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use ct_log::{Log, LogKey, LogSettings, Origin};
use mayfly::{
    audit::AuditLog,
    clock::{Clock, SystemClock, Timestamp},
    config::issuers,
    deployment::Parts,
    issue::{Authority, IssueError, IssueRequest},
    issuer::{
        CertificateChain, IssuedCertificate,
        ceremony::{self, AuthorityNames, KeyKind},
    },
    key::{SigningKey as CaKey, SoftwareKey},
    log::ExternalLogs,
    proof::KeyProof,
    token::{FetchPolicy, LoopbackHttp, RawToken},
    trust::TrustStatement,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use x509_cert::name::Name;

use crate::fake_issuer::{FakeIssuer, SigningKey};

pub const AUDIENCE: &str = "sigstore";

/// The authority and everything round it; it ends when dropped.
pub struct Instance {
    pub authority: Arc<Authority>,
    pub log: Log,
    pub clock: Arc<SettableClock>,
    pub issuer: FakeIssuer,
    pub issuer_key: SigningKey,
    pub folder: TempDir,
}

/// The system's time until a test sets another.
#[derive(Default)]
pub struct SettableClock(Mutex<Option<Timestamp>>);

impl SettableClock {
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap() = Some(now);
    }
}

impl Clock for SettableClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().unwrap_or_else(|| SystemClock.now())
    }
}

/// What a test may want otherwise.
pub struct Wishes {
    pub kind: KeyKind,
    pub audit: PathBuf,
    /// `type` and what belongs to it, as lines of an entry in the issuer file.
    pub rule: String,
    /// In place of the one audience and its rule: lines of `audiences`.
    pub audiences: Option<String>,
    /// Further sections of the issuer file.
    pub metadata: String,
    /// URLs of further issuers that are trusted by the same rule.
    pub others: Vec<String>,
    /// Whether the CA uses a log of its own.
    pub embedded: bool,
    /// The logs elsewhere.
    pub external: Option<ExternalLogs>,
    /// What is between the CA and its key.
    pub key: fn(Arc<dyn CaKey>) -> Arc<dyn CaKey>,
}

impl Wishes {
    pub fn plain(folder: &Path) -> Self {
        Self {
            kind: KeyKind::EcdsaP384,
            audit: folder.join("audit.jsonl"),
            rule: "type: email".to_owned(),
            audiences: None,
            metadata: String::new(),
            others: Vec::new(),
            embedded: true,
            external: None,
            key: |key| key,
        }
    }
}

impl Instance {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(wish: impl FnOnce(&mut Wishes)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut wishes = Wishes::plain(folder.path());
        wish(&mut wishes);
        let issuer_key = SigningKey::generate("ES256", "key-1");
        let issuer = FakeIssuer::start(&[&issuer_key]).await;
        let clock = Arc::new(SettableClock::default());
        let (parts, log) = parts(wishes, &issuer, folder.path()).await;
        let authority = Arc::new(parts.assemble(clock.clone()).await.unwrap());
        Self {
            authority,
            log,
            clock,
            issuer,
            issuer_key,
            folder,
        }
    }

    /// Claims that the issuer's rule accepts, for `alice@example.com`.
    pub fn claims(&self) -> Value {
        let now = SystemClock.now().unix_seconds();
        json!({
            "iss": self.issuer.url(), "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600,
            "email": "alice@example.com", "email_verified": true,
        })
    }

    pub fn token(&self) -> String {
        self.issuer_key.token(&self.claims())
    }

    /// A request that is granted.
    pub fn request(&self) -> IssueRequest {
        let holder = Holder::new();
        IssueRequest {
            token: RawToken::new(self.token()),
            proof: holder.proof("alice@example.com"),
        }
    }

    pub async fn issue(&self) -> Result<IssuedCertificate, IssueError> {
        self.authority.issue(self.request()).await
    }

    /// The whole lines of the audit record: a last one may be in the middle of being written.
    pub fn audit_records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Whoever asks for a certificate: a P-256 key.
pub struct Holder(EcdsaKeyPair);

impl Holder {
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub fn public_key_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    pub fn public_key_pem(&self) -> String {
        pem::encode(&pem::Pem::new("PUBLIC KEY", self.public_key_der()))
    }

    pub fn sign(&self, message: &str) -> Vec<u8> {
        self.0
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap()
            .as_ref()
            .to_vec()
    }

    /// RFC 7638, SHA-256.
    pub fn thumbprint(&self) -> String {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let jwk = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            crate::fake_issuer::encode(x),
            crate::fake_issuer::encode(y)
        );
        crate::fake_issuer::encode(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            jwk.as_bytes(),
        ))
    }

    pub fn proof(&self, challenge: &str) -> KeyProof {
        KeyProof::Challenge {
            public_key: self.public_key_pem().into_bytes(),
            signature: self.sign(challenge),
        }
    }
}

async fn parts(wishes: Wishes, issuer: &FakeIssuer, folder: &Path) -> (Parts, Log) {
    let names = AuthorityNames {
        root: Name::from_str("CN=Test root,O=Test").unwrap(),
        intermediate: Name::from_str("CN=Test intermediate,O=Test").unwrap(),
    };
    let now = SystemClock.now();
    let ca = ceremony::generate(names, wishes.kind, now.minus(Duration::from_secs(60)))
        .await
        .unwrap();
    let settings =
        LogSettings::new(folder.join("log"), Origin::new("log.example/test").unwrap()).min_free_bytes(0);
    let fetch = FetchPolicy::new(LoopbackHttp::Allowed);
    let file = issuer_file(issuer.url(), &wishes);
    let log = Log::create(settings, LogKey::generate().unwrap()).unwrap();
    let parts = Parts {
        chain: CertificateChain::from_der(ca.chain, now).unwrap(),
        trust: TrustStatement {
            url: Some("https://ca.example.com".parse().unwrap()),
            ..TrustStatement::default()
        },
        key: (wishes.key)(Arc::new(SoftwareKey::from_pkcs8_der(&ca.key).unwrap())),
        log: wishes.embedded.then(|| log.clone().into()),
        external_logs: wishes.external,
        audit: AuditLog::open(&wishes.audit).unwrap(),
        issuers: issuers::parse(Path::new("issuers.yaml"), &file, &fetch)
            .unwrap()
            .issuers,
        verified_issuers: None,
        fetch,
    };
    (parts, log)
}

fn issuer_file(url: &str, wishes: &Wishes) -> String {
    let rule = match &wishes.audiences {
        None => format!(
            "client-id: {AUDIENCE}\n    {}",
            wishes.rule.replace('\n', "\n    ")
        ),
        Some(audiences) => format!("audiences:\n      {}", audiences.replace('\n', "\n      ")),
    };
    let urls = std::iter::once(url).chain(wishes.others.iter().map(String::as_str));
    let entries = urls.map(|url| format!("  {url}:\n    issuer-url: {url}\n    {rule}\n"));
    format!(
        "oidc-issuers:\n{}{}",
        entries.collect::<String>(),
        wishes.metadata
    )
}
