//! A server, and everything through which bad input could leave a trace.

use std::{
    cell::Cell,
    io,
    net::{Ipv4Addr, TcpListener},
};

use axum::Router;
use mayfly::server::{
    ServerSettings,
    proto::{SigningCertificate, signing_certificate::Certificate::SignedCertificateEmbeddedSct},
};
use prost::Message;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    ask::{Ask, BODY_CANARY, CLAIM_CANARY, Interface, Key, Sent},
    frame,
    instance::Instance,
    leaf::assert_is_plain_leaf,
    log_output::{LOG_OUTPUT, LogOutput},
    running::{self, Reply, Running},
};

/// Discovery and JWKS.
pub(crate) const ONE_FETCH: usize = 2;

/// How a request is to be refused: over HTTP, over gRPC, and over both the stable reason.
#[derive(Clone, Copy)]
pub(crate) struct Refusal(pub(crate) u16, pub(crate) Code, pub(crate) &'static str);

/// What is wrong, the request, the reason: 400 or INVALID_ARGUMENT.
pub(crate) struct Row(pub(crate) &'static str, pub(crate) Ask, pub(crate) &'static str);

pub(crate) struct Fixture {
    pub(crate) server: Running,
    /// Whoever connects to it did what a stranger asked for.
    tripwire: TcpListener,
    log_output: &'static LogOutput,
    http: reqwest::Client,
    http2: reqwest::Client,
    asked: Cell<usize>,
    granted: Cell<usize>,
}

/// What came back.
enum Answer {
    Refused { refusal: Refused, everything: String },
    Granted(Vec<String>),
}

#[derive(Debug, PartialEq, Eq)]
struct Refused {
    http: u16,
    code: i32,
    reason: String,
    retry_seconds: Option<u64>,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_trusting(Vec::new()).await
    }

    /// With further issuers, and the first one's keys fetched.
    pub(crate) async fn start_trusting(others: Vec<String>) -> Self {
        let instance = Instance::start_with(|wishes| wishes.others = others).await;
        let log_output = &*LOG_OUTPUT;
        let tripwire = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        tripwire.set_nonblocking(true).unwrap();
        let fixture = Self {
            server: running::start_before(instance, ServerSettings::default(), Router::new()).await,
            tripwire,
            log_output,
            http: running::client(),
            http2: running::builder().http2_prior_knowledge().build().unwrap(),
            asked: Cell::new(0),
            granted: Cell::new(0),
        };
        fixture.grant_good(Interface::JsonV2).await;
        assert_eq!(fixture.instance().issuer.requests(), ONE_FETCH);
        fixture
    }

    pub(crate) fn instance(&self) -> &Instance {
        &self.server.instance
    }

    /// A URL at which nothing may ever be asked.
    pub(crate) fn tripwire_url(&self) -> String {
        format!("http://{}", self.tripwire.local_addr().unwrap())
    }

    /// Good claims, and a canary.
    pub(crate) fn claims(&self) -> Value {
        let mut claims = self.instance().claims();
        claims["canary"] = CLAIM_CANARY.into();
        claims
    }

    pub(crate) fn claims_with(&self, claim: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.claims();
        claims[claim] = value.into();
        claims
    }

    pub(crate) fn token(&self) -> String {
        self.instance().issuer_key.token(&self.claims())
    }

    pub(crate) fn header_with(&self, parameter: &str, value: impl Into<Value>) -> Value {
        let mut header = self.instance().issuer_key.header();
        header[parameter] = value.into();
        header
    }

    /// Every row, over every interface.
    pub(crate) async fn refuse_all(&self, rows: Vec<Row>) {
        self.refuse_rows(rows, &[], 0).await;
    }

    /// The same, for rows whose token may be a reason to ask the issuer for newer keys: while it is not asked because it
    /// was asked a moment ago, nothing can be said of the token.
    pub(crate) async fn refuse_all_by_unknown_keys(&self, rows: Vec<Row>, most_requests: usize) {
        let not_yet = Refusal(503, Code::Unavailable, "key_not_yet_known");
        self.refuse_rows(rows, &[not_yet], most_requests).await;
    }

    async fn refuse_rows(&self, rows: Vec<Row>, or_else: &[Refusal], most_requests: usize) {
        for Row(name, ask, reason) in rows {
            let mut refusals = vec![Refusal(400, Code::InvalidArgument, reason)];
            refusals.extend(or_else);
            for interface in Interface::ALL {
                let Some(sent) = ask.over(interface) else { continue };
                let before = self.instance().issuer.requests();
                self.refuse_by_one_of(name, sent, &refusals, &ask.secrets()).await;
                let requests = self.instance().issuer.requests() - before;
                assert!(requests <= most_requests, "{name}: {requests} requests");
            }
        }
    }

    /// One bad request, every trace that it must not leave, and a good one after it.
    pub(crate) async fn refuse(&self, name: &str, sent: Sent, expected: Refusal, secrets: &[String]) {
        self.refuse_by_one_of(name, sent, &[expected], secrets).await;
    }

    async fn refuse_by_one_of(&self, name: &str, sent: Sent, expected: &[Refusal], secrets: &[String]) {
        let interface = sent.interface;
        let name = format!("{name} over {interface:?}");
        let logged = self.log_output.len();
        let (id, answer) = self.send(sent).await;
        let Answer::Refused { refusal, everything } = answer else {
            panic!("{name}: granted");
        };
        let is_refusal = |expected: &&Refusal| refusal.is(&expected.seen_over(interface));
        let Some(expected) = expected.iter().find(is_refusal) else {
            panic!("{name}: {everything}");
        };
        let output = self.log_output.since(logged);
        let is_its_line = |line: &str| {
            line.contains(&format!("request_id=\"{id}\""))
                && line.contains(&format!("reason=\"{}\"", expected.2))
        };
        assert!(output.lines().any(is_its_line), "{name}: no log line for {id}");
        assert!(!everything.contains("-----BEGIN"), "{name}: {everything}");
        self.assert_left_nothing(&name);
        assert_no_secret(&format!("{name}: answer"), &everything, secrets);
        self.assert_told_nothing(&name, logged, secrets).await;
        self.grant_good(interface).await;
    }

    pub(crate) async fn grant_good(&self, interface: Interface) {
        self.grant("good", &Ask::new(self.token(), Key::good()), interface)
            .await;
    }

    /// A certificate that is a plain leaf, in the log and on record, and no secret of the request anywhere.
    pub(crate) async fn grant(&self, name: &str, ask: &Ask, interface: Interface) {
        let logged = self.log_output.len();
        let (_, answer) = self.send(ask.over(interface).unwrap()).await;
        let chain = match answer {
            Answer::Granted(chain) => chain,
            Answer::Refused { everything, .. } => panic!("{name} over {interface:?}: {everything}"),
        };
        assert_eq!(chain.len(), 3, "leaf, intermediate, root");
        assert_is_plain_leaf(&chain[0], &ask.key.spki());
        self.granted.set(self.granted.get() + 1);
        self.assert_left_nothing(name);
        self.assert_told_nothing(name, logged, &ask.secrets()).await;
    }

    /// The log has one entry and the audit record two lines for each certificate granted, and nobody was connected to.
    fn assert_left_nothing(&self, name: &str) {
        let granted = self.granted.get();
        assert_eq!(
            self.instance().log.size(),
            u64::try_from(granted).unwrap(),
            "{name}: log"
        );
        assert_eq!(
            self.instance().audit_records().len(),
            2 * granted,
            "{name}: audit record"
        );
        let connected = self.tripwire.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(
            connected,
            Err(io::ErrorKind::WouldBlock),
            "{name}: connected to a stranger's host"
        );
    }

    /// No secret in the log since it had `logged` bytes, nor in the metrics, which have counted no panic.
    pub(crate) async fn assert_told_nothing(&self, name: &str, logged: usize, secrets: &[String]) {
        assert_no_secret(&format!("{name}: log"), &self.log_output.since(logged), secrets);
        let metrics = self.server.scrape().await;
        assert_no_secret(&format!("{name}: metrics"), &metrics, secrets);
        assert!(metrics.contains("\nmayfly_panics_total 0\n"), "{name}: {metrics}");
    }

    /// The request's id, and the answer.
    async fn send(&self, sent: Sent) -> (String, Answer) {
        self.asked.set(self.asked.get() + 1);
        let id = format!("{}-{}", self.server.api.port(), self.asked.get());
        let client = match sent.interface {
            Interface::Grpc => &self.http2,
            Interface::JsonV2 | Interface::JsonV1 => &self.http,
        };
        let request = client.post(self.server.url(sent.interface.path()));
        let request = request
            .headers(sent.headers)
            .header("x-request-id", &id)
            .body(sent.body);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-request-id"], id);
        let answer = match sent.interface {
            Interface::Grpc => Answer::of_grpc(response, &id).await,
            Interface::JsonV2 => Answer::of_v2(&Reply::of(response).await),
            Interface::JsonV1 => Answer::of_v1(&Reply::of(response).await),
        };
        (id, answer)
    }
}

impl Refused {
    /// Whoever is told to come back is told so no later than expected: part of the time may have passed.
    fn is(&self, expected: &Self) -> bool {
        (self.http, self.code, &self.reason) == (expected.http, expected.code, &expected.reason)
            && self.retry_seconds.is_some() == expected.retry_seconds.is_some()
            && self.retry_seconds <= expected.retry_seconds
    }
}

impl Refusal {
    fn seen_over(self, interface: Interface) -> Refused {
        let Self(http, code, reason) = self;
        Refused {
            http: if interface == Interface::Grpc { 200 } else { http },
            code: code.into(),
            reason: reason.to_owned(),
            retry_seconds: (code == Code::Unavailable).then_some(10),
        }
    }
}

impl Answer {
    fn of_v2(reply: &Reply) -> Self {
        if reply.status != 200 {
            return Self::refused_over_http(reply);
        }
        let body = reply.json();
        let chain = body["signedCertificateEmbeddedSct"]["chain"]["certificates"]
            .as_array()
            .unwrap();
        Self::Granted(chain.iter().map(|pem| pem.as_str().unwrap().to_owned()).collect())
    }

    fn of_v1(reply: &Reply) -> Self {
        if reply.status != 201 {
            return Self::refused_over_http(reply);
        }
        let blocks = pem::parse_many(&reply.text).unwrap();
        Self::Granted(blocks.iter().map(pem::encode).collect())
    }

    fn refused_over_http(reply: &Reply) -> Self {
        let retry_after = reply.headers.get("retry-after");
        Self::Refused {
            refusal: Refused {
                http: reply.status,
                code: i32::try_from(reply.json()["code"].as_i64().unwrap()).unwrap(),
                reason: reply.reason(),
                retry_seconds: retry_after.map(|value| value.to_str().unwrap().parse().unwrap()),
            },
            everything: format!("{reply:?}"),
        }
    }

    async fn of_grpc(response: reqwest::Response, id: &str) -> Self {
        let (http, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let Some(status) = Status::from_header_map(&headers) else {
            let answer = SigningCertificate::decode(frame::message(&body)).unwrap();
            let Some(SignedCertificateEmbeddedSct(embedded)) = answer.certificate else {
                panic!("detached: {answer:?}")
            };
            return Self::Granted(embedded.chain.unwrap().certificates);
        };
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.domain.as_str(), info.metadata["requestId"].as_str()),
            ("mayfly", id)
        );
        let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
        Self::Refused {
            refusal: Refused {
                http,
                code: status.code().into(),
                reason: info.reason,
                retry_seconds: retry.map(|delay| delay.as_secs()),
            },
            everything: format!(
                "{headers:?} {status:?} {} {}",
                String::from_utf8_lossy(status.details()),
                String::from_utf8_lossy(&body)
            ),
        }
    }
}

fn assert_no_secret(place: &str, text: &str, secrets: &[String]) {
    let canaries = [CLAIM_CANARY, BODY_CANARY];
    for secret in canaries.into_iter().chain(secrets.iter().map(String::as_str)) {
        if let Some(at) = text.find(secret) {
            panic!(
                "{place} tells {secret}: {}",
                &text[text.floor_char_boundary(at.saturating_sub(200))..at + secret.len()]
            );
        }
    }
}
