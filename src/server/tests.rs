//! Requests as they come from the listener, without one.

use std::{net::Ipv4Addr, str::FromStr};

use axum::{
    body::{self, Body},
    extract::Path,
    http::{
        Version,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    response::Json,
    routing::get,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ct_log::{Log, LogKey, Origin, acceptor::ClientAddress};
use serde_json::json;
use x509_cert::name::Name;

use super::*;
use crate::{
    audit::AuditLog,
    clock::{Clock, SystemClock},
    identity::Rule,
    issue::Signing,
    issuer::{
        CertificateChain, Issuer,
        ceremony::{self, AuthorityNames, KeyKind},
    },
    key::SoftwareKey,
    log::CertificateLog,
    token::{FetchPolicy, LoopbackHttp, TokenVerifier},
    trusted_issuer::{ChallengeClaim, IssuerName, TrustedIssuer, TrustedIssuers},
};

/// RFC 7515 appendix A.3.1.
const ISSUERS_KEY: (&str, &str) = (
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
);

/// Every path of one part is an issuer; gives its URL.
async fn identity_provider() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (x, y) = ISSUERS_KEY;
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": x, "y": y}]});
    let origin = url.clone();
    let discovery = move |Path(tenant): Path<String>| {
        let document = json!({"issuer": format!("{origin}/{tenant}"), "jwks_uri": format!("{origin}/jwks")});
        std::future::ready(Json(document))
    };
    let routes = Router::new()
        .route("/{tenant}/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(move || std::future::ready(Json(keys.clone()))));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// Trusts every issuer of the provider.
async fn authority(provider: &str) -> Authority {
    let name = IssuerName::pattern(&format!("{provider}/*")).unwrap();
    let (audience, challenge) = ("sigstore".to_owned(), ChallengeClaim::Email);
    let entry = TrustedIssuer::new(name, audience, challenge, Rule::email());
    let policy = FetchPolicy::new(LoopbackHttp::Allowed);
    let tokens = TokenVerifier::new(TrustedIssuers::new(vec![entry]), policy).unwrap();
    let names = AuthorityNames {
        root: Name::from_str("CN=Root,O=Test").unwrap(),
        intermediate: Name::from_str("CN=Intermediate,O=Test").unwrap(),
    };
    let now = SystemClock.now();
    let ca = ceremony::generate(names, KeyKind::EcdsaP256, now).await.unwrap();
    let key = Arc::new(SoftwareKey::from_pkcs8_der(&ca.key).unwrap());
    let chain = CertificateChain::from_der(ca.chain, now).unwrap();
    let issuer = Issuer::new(key, chain).await.unwrap();
    let origin = Origin::new("log.example/test").unwrap();
    let log = Log::in_memory(origin, LogKey::generate().unwrap()).unwrap();
    let log = CertificateLog::new(log, issuer.chain()).unwrap();
    let signing = Signing::new(issuer, log, AuditLog::forgetful()).unwrap();
    Authority::new(tokens, signing, Arc::new(SystemClock))
}

async fn app(provider: &str) -> App {
    let metrics = Arc::new(Metrics::new(Sources::default()).unwrap());
    let authority = Arc::new(authority(provider).await);
    let gate = Gate::new((authority, None), Limits::standard(), metrics);
    App::new(Arc::new(gate), HealthReporter::new(), Router::new()).unwrap()
}

/// By nobody, and good but for that.
fn unsigned_token(iss: &str) -> String {
    let encode = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let now = SystemClock.now().unix_seconds();
    let header = encode(json!({"alg": "ES256", "kid": "1"}));
    let claims = encode(json!({"iss": iss, "aud": "sigstore", "sub": "x", "iat": now, "exp": now + 300}));
    format!("{header}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode([7; 64]))
}

/// How a request can be made.
#[derive(Clone, Copy, Debug)]
enum Interface {
    Json(&'static str),
    Grpc,
}

const INTERFACES: [Interface; 3] = [
    Interface::Json(route::SIGNING_CERT),
    Interface::Json(route::LEGACY_SIGNING_CERT),
    Interface::Grpc,
];

impl Interface {
    fn request(self, token: &str) -> Request<Body> {
        let request = Request::post(match self {
            Self::Json(path) => path,
            Self::Grpc => "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate",
        });
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        let body = match self {
            Self::Json(_) => json!({"certificateSigningRequest": "eA=="}).to_string().into(),
            Self::Grpc => {
                use proto::create_signing_certificate_request::Key;
                let message = proto::CreateSigningCertificateRequest {
                    credentials: None,
                    key: Some(Key::CertificateSigningRequest(b"x".to_vec())),
                };
                let message = prost::Message::encode_to_vec(&message);
                let length = u32::try_from(message.len()).unwrap().to_be_bytes();
                [&[0_u8][..], &length[..], &message[..]].concat()
            }
        };
        let kind = match self {
            Self::Json(_) => "application/json",
            Self::Grpc => "application/grpc",
        };
        let request = request.header(CONTENT_TYPE, kind).version(Version::HTTP_2);
        request.body(Body::from(body)).unwrap()
    }
}

/// Whether the issuer that the token names was asked.
async fn is_asked(app: &App, interface: Interface, client: Option<&str>, iss: &str) -> bool {
    let mut request = interface.request(&unsigned_token(iss));
    if let Some(client) = client {
        let client = ClientAddress::new(client.parse().unwrap());
        request.extensions_mut().insert(client);
    }
    let response = app.answer(request).await;
    let (parts, body) = response.into_parts();
    let body = body::to_bytes(body, usize::MAX).await.unwrap();
    let said = format!("{:?} {}", parts.headers, String::from_utf8_lossy(&body));
    // gRPC's message is percent-encoded.
    match said.replace("%20", " ") {
        said if said.contains("signature is invalid") => true,
        said if said.contains("cannot be fetched at the moment") => false,
        other => panic!("{interface:?}: {} {other}", parts.status),
    }
}

/// Every interface says whose request it is.
#[tokio::test]
async fn strangers_names_count_against_the_client_that_sends_them() {
    let provider = identity_provider().await;
    for interface in INTERFACES {
        let app = app(&provider).await;
        let mut asked = 0;
        for number in 0..50 {
            let iss = format!("{provider}/made-up-{number}");
            asked += u32::from(is_asked(&app, interface, Some("192.0.2.1"), &iss).await);
        }
        assert!(asked < 10, "{interface:?}: {asked}");
        for other in [Some("192.0.2.2"), None] {
            let iss = format!(
                "{provider}/new-{}",
                other.unwrap_or("behind-a-proxy").replace('.', "-")
            );
            assert!(
                is_asked(&app, interface, other, &iss).await,
                "{interface:?} {other:?}"
            );
        }
    }
}
