//! Issuers whose TLS certificate is of a private CA; and the one of the Kubernetes cluster that we run in.

use std::{
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex},
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, header::AUTHORIZATION, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mayfly::token::ServiceAccount;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};

use super::{fake_issuer::SigningKey, *};

/// An issuer on HTTPS with a certificate that signs itself.
struct TlsIssuer {
    url: String,
    ca: String,
    key: SigningKey,
    /// Path and `Authorization` of each request.
    seen: Arc<Mutex<Vec<(String, String)>>>,
    server: tokio::task::JoinHandle<()>,
}

impl TlsIssuer {
    /// `jwks_uri` is on the issuer's own host unless given.
    async fn start(jwks_uri: Option<String>) -> Self {
        Self::start_as(&certificate_for("127.0.0.1"), jwks_uri).await
    }

    async fn start_as(certificate: &CertificateParams, jwks_uri: Option<String>) -> Self {
        let signing_key = KeyPair::generate().unwrap();
        let made = certificate.self_signed(&signing_key).unwrap();
        let key_der = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(
            tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], key_der)
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let key = SigningKey::generate("ES256", "key-1");
        let jwks_uri = jwks_uri.unwrap_or_else(|| format!("{url}/jwks"));
        let discovery = json!({"issuer": url, "jwks_uri": jwks_uri}).to_string();
        let jwks = json!({"keys": [key.jwk()]}).to_string();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let server = tokio::spawn(serve(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            Arc::clone(&seen),
            [discovery, jwks],
        ));
        Self {
            url,
            ca: made.pem(),
            key,
            seen,
            server,
        }
    }

    fn token(&self) -> String {
        self.key
            .token(&json!({"iss": self.url, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 300}))
    }

    fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for TlsIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    seen: Arc<Mutex<Vec<(String, String)>>>,
    [discovery, jwks]: [String; 2],
) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = acceptor.accept(stream).await else {
            continue;
        };
        let (seen, discovery, jwks) = (Arc::clone(&seen), discovery.clone(), jwks.clone());
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let path = request.uri().path().to_owned();
            let authorization = request
                .headers()
                .get(AUTHORIZATION)
                .map(|value| value.to_str().unwrap());
            seen.lock()
                .unwrap()
                .push((path.clone(), authorization.unwrap_or_default().to_owned()));
            let body = if path.ends_with("/jwks") {
                jwks.clone()
            } else {
                discovery.clone()
            };
            async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))) }
        });
        tokio::spawn(async move {
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ended = builder.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn certificate_for(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

fn entry(url: &str, rule: Rule, ca: Option<&str>) -> TrustedIssuer {
    let name = IssuerName::exact(url).unwrap();
    TrustedIssuer::new(name, "sigstore".to_owned(), ChallengeClaim::Subject, rule)
        .with_ca_certificates(ca.map(Into::into))
}

fn verifier_of(entries: Vec<TrustedIssuer>, policy: FetchPolicy) -> TokenVerifier {
    TokenVerifier::new(TrustedIssuers::new(entries), policy).unwrap()
}

fn strict() -> FetchPolicy {
    FetchPolicy::new(LoopbackHttp::Refused)
}

#[tokio::test]
async fn a_private_ca_counts_for_the_issuer_that_it_was_configured_for_alone() {
    let (issuer, other) = (TlsIssuer::start(None).await, TlsIssuer::start(None).await);
    let entries = vec![
        entry(&issuer.url, Rule::email(), Some(&issuer.ca)),
        entry(&other.url, Rule::email(), Some(&issuer.ca)),
    ];
    let verifier = verifier_of(entries, strict());
    assert_eq!(reason(&verifier, &issuer.token()).await, "accepted");
    assert_unavailable(&verifier, &other.token()).await;
    let without = verifier_of(vec![entry(&issuer.url, Rule::email(), None)], strict());
    assert_unavailable(&without, &issuer.token()).await;
    assert!(
        issuer
            .seen()
            .iter()
            .all(|(_, authorization)| authorization.is_empty())
    );
}

/// What `openssl req -x509` makes is a certificate of an authority, which Go takes for a server's too.
#[tokio::test]
async fn the_certificate_of_the_server_itself_may_be_given() {
    let mut authority = certificate_for("127.0.0.1");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = TlsIssuer::start_as(&authority, None).await;
    let given = verifier_of(
        vec![entry(&issuer.url, Rule::email(), Some(&issuer.ca))],
        strict(),
    );
    assert_eq!(reason(&given, &issuer.token()).await, "accepted");
    let without = verifier_of(vec![entry(&issuer.url, Rule::email(), None)], strict());
    let cause = assert_unavailable(&without, &issuer.token()).await;
    assert!(
        cause.contains("give this very certificate as `ca-cert`"),
        "{cause}"
    );

    let mut authority = certificate_for("localhost");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = TlsIssuer::start_as(&authority, None).await;
    let given = verifier_of(
        vec![entry(&issuer.url, Rule::email(), Some(&issuer.ca))],
        strict(),
    );
    let cause = assert_unavailable(&given, &issuer.token()).await;
    assert!(cause.contains("is not for 127.0.0.1"), "{cause}");
}

#[tokio::test]
async fn a_new_ca_certificate_is_used_after_a_reload() {
    let issuer = TlsIssuer::start(None).await;
    let before = verifier_of(vec![entry(&issuer.url, Rule::email(), None)], strict());
    assert_unavailable(&before, &issuer.token()).await;
    let entries = vec![entry(&issuer.url, Rule::email(), Some(&issuer.ca))];
    let after = before.with_issuers(TrustedIssuers::new(entries)).unwrap();
    assert_eq!(reason(&after, &issuer.token()).await, "accepted");
}

/// A pod's service account for the API server at 127.0.0.1.
fn service_account(folder: &Path, ca: &str) -> ServiceAccount {
    std::fs::write(folder.join("ca.crt"), ca).unwrap();
    std::fs::write(folder.join("token"), "pod-token\n").unwrap();
    ServiceAccount::at(folder.to_owned(), vec!["127.0.0.1".to_owned()])
}

#[tokio::test]
async fn the_cluster_gets_the_pods_token_and_nobody_else_does() {
    let elsewhere = TlsIssuer::start(None).await;
    let cluster = TlsIssuer::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let policy = || strict().with_service_account(service_account(folder.path(), &cluster.ca));
    let verifier = verifier_of(vec![entry(&cluster.url, Rule::Kubernetes, None)], policy());
    assert_eq!(reason(&verifier, &cluster.token()).await, "accepted");
    let expected = [
        (
            "/.well-known/openid-configuration".to_owned(),
            "Bearer pod-token".to_owned(),
        ),
        ("/openid/v1/jwks".to_owned(), "Bearer pod-token".to_owned()),
    ];
    assert_eq!(cluster.seen(), expected);

    // Another type of issuer on the same host, and a Kubernetes issuer with a CA of its own, get no token.
    for entry in [
        entry(&elsewhere.url, Rule::email(), Some(&elsewhere.ca)),
        entry(&elsewhere.url, Rule::Kubernetes, Some(&elsewhere.ca)),
    ] {
        let verifier = verifier_of(vec![entry], policy());
        assert_eq!(reason(&verifier, &elsewhere.token()).await, "accepted");
    }
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|(_, authorization)| authorization.is_empty())
    );
}

/// API servers name the address at which they are known outside the cluster.
#[tokio::test]
async fn the_pods_token_stays_on_the_issuers_own_host() {
    let outside = TlsIssuer::start(None).await;
    let cluster = TlsIssuer::start(Some(format!("{}/openid/v1/jwks", outside.url))).await;
    let folder = tempfile::tempdir().unwrap();
    let policy = strict().with_service_account(service_account(folder.path(), &cluster.ca));
    let verifier = verifier_of(vec![entry(&cluster.url, Rule::Kubernetes, None)], policy);
    assert_eq!(reason(&verifier, &cluster.token()).await, "accepted");
    assert_eq!(outside.seen(), []);
    assert!(
        cluster
            .seen()
            .iter()
            .all(|(_, authorization)| authorization == "Bearer pod-token")
    );
}

#[tokio::test]
async fn an_entry_that_becomes_the_clusters_gets_its_access_by_a_reload() {
    let cluster = TlsIssuer::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let policy = strict().with_service_account(service_account(folder.path(), &cluster.ca));
    let before = verifier_of(vec![entry(&cluster.url, Rule::email(), None)], policy);
    assert_unavailable(&before, &cluster.token()).await;
    let entries = TrustedIssuers::new(vec![entry(&cluster.url, Rule::Kubernetes, None)]);
    let after = before.with_issuers(entries).unwrap();
    assert_eq!(reason(&after, &cluster.token()).await, "accepted");
}

/// CVE-2026-49478: through a pattern, anybody could have had it.
#[tokio::test]
async fn a_pattern_never_gets_the_pods_token() {
    let issuer = FakeIssuer::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let account = service_account(folder.path(), "");
    let policy = FetchPolicy::new(LoopbackHttp::Allowed).with_service_account(account);
    let name = IssuerName::pattern(&format!("{}/*", issuer.url())).unwrap();
    let entry = TrustedIssuer::new(
        name,
        "sigstore".to_owned(),
        ChallengeClaim::Subject,
        Rule::Kubernetes,
    );
    let verifier = verifier_of(vec![entry], policy);
    let key = SigningKey::generate("ES256", "key-1");
    let iss = format!("{}/cluster", issuer.url());
    let token =
        key.token(&json!({"iss": iss, "aud": "sigstore", "sub": "alice", "iat": NOW, "exp": NOW + 300}));
    assert_eq!(reason(&verifier, &token).await, "unknown_key");
    assert_eq!(issuer.authorizations(), 0);
}
