//! A provider on a free port, a clock that tests move, and a client that follows nothing by itself.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use mayfly::{
    clock::{Clock, SystemClock, Timestamp},
    dev::{EMAIL_PATH, GITHUB_PATH, IdentityProvider, Issuers, Minter, ProviderKey},
};
use reqwest::{Client, Response, StatusCode, header, redirect::Policy};
use serde_json::Value;
use url::{Url, form_urlencoded};

/// RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const CALLBACK: &str = "http://localhost:43210/auth/callback";

pub(crate) struct MovedClock(Mutex<Timestamp>);

impl MovedClock {
    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(by);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub(crate) struct Provider {
    pub(crate) issuers: Issuers,
    pub(crate) origin: String,
    pub(crate) http: Client,
    pub(crate) clock: Arc<MovedClock>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let issuers = Issuers::at(&origin);
        let clock = Arc::new(MovedClock(Mutex::new(SystemClock.now())));
        let minter = Minter::new(ProviderKey::generate().unwrap(), issuers.clone());
        let router = IdentityProvider::new(minter, clock.clone()).router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            issuers,
            origin,
            http,
            clock,
            server,
        }
    }

    pub(crate) fn email_url(&self, path: &str) -> String {
        format!("{}{EMAIL_PATH}{path}", self.origin)
    }

    pub(crate) async fn get(&self, url: &str) -> Response {
        self.http.get(url).send().await.unwrap()
    }

    pub(crate) async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Response {
        self.form(url, fields).send().await.unwrap()
    }

    pub(crate) fn form(&self, url: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http
            .post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(fields))
    }

    /// Gets the login page, fills in the email address, and sends the form with its hidden fields.
    pub(crate) async fn log_in(&self, parameters: &[(&str, &str)], email: &str) -> Response {
        let url = format!("{}?{}", self.email_url("/authorize"), encode(parameters));
        let page = self.get(&url).await;
        assert_eq!(page.status(), StatusCode::OK);
        let mut fields = hidden_fields(&page.text().await.unwrap());
        fields.push(("email".to_owned(), email.to_owned()));
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post(&url, &fields).await
    }

    /// The code of a complete login.
    pub(crate) async fn code(&self, parameters: &[(&str, &str)]) -> String {
        let response = self.log_in(parameters, "you@example.com").await;
        redirect_parameter(&response, "code").unwrap()
    }

    pub(crate) async fn token(&self, fields: &[(&str, &str)]) -> Response {
        self.post(&self.email_url("/token"), fields).await
    }

    /// Verifies a token with the keys that discovery leads to, and returns its claims.
    pub(crate) async fn verify(&self, token: &str) -> Value {
        let issuer = unverified_issuer(token);
        assert!(
            [EMAIL_PATH, GITHUB_PATH]
                .iter()
                .any(|path| issuer == format!("{}{path}", self.origin))
        );
        let discovery = json(
            self.get(&format!("{issuer}/.well-known/openid-configuration"))
                .await,
        )
        .await;
        assert_eq!(discovery["issuer"], issuer);
        let keys = self.get(discovery["jwks_uri"].as_str().unwrap()).await;
        let keys: JwkSet = keys.json().await.unwrap();
        let key = keys.find(&decode_header(token).unwrap().kid.unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = 0;
        validation.set_audience(&["sigstore"]);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation)
            .unwrap()
            .claims
    }
}

fn unverified_issuer(token: &str) -> String {
    let claims: Value = jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims;
    claims["iss"].as_str().unwrap().to_owned()
}

/// A complete and correct authorization request.
pub(crate) fn request() -> Vec<(&'static str, &'static str)> {
    vec![
        ("client_id", "sigstore"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "the state"),
        ("nonce", "the nonce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

/// The request with one parameter changed, or left out.
pub(crate) fn request_but(name: &str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let mut request = request();
    let at = request.iter().position(|(key, _)| *key == name).unwrap();
    match value {
        Some(value) => request[at].1 = value,
        None => {
            request.remove(at);
        }
    }
    request
}

pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

pub(crate) fn hidden_fields(html: &str) -> Vec<(String, String)> {
    html.split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|field| {
            let (name, rest) = field.split_once("\" value=\"").unwrap();
            let (value, _) = rest.split_once('"').unwrap();
            (name.to_owned(), unescape(value))
        })
        .collect()
}

fn unescape(html: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(html.to_owned(), |text, (entity, character)| {
        text.replace(entity, character)
    })
}

pub(crate) fn redirect_parameter(response: &Response, name: &str) -> Option<String> {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = Url::parse(response.headers()[header::LOCATION].to_str().unwrap()).unwrap();
    let mut pairs = location.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

pub(crate) async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

/// The `error` of an OAuth error answer, after checking that it is one.
pub(crate) async fn oauth_error(response: Response) -> String {
    assert!(response.status().is_client_error(), "{}", response.status());
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let body = json(response).await;
    assert!(!body["error_description"].as_str().unwrap().is_empty());
    body["error"].as_str().unwrap().to_owned()
}
