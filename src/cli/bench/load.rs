//! The load: so many connections, each of which waits for its answer before it asks again (closed loop).

use std::{
    cell::RefCell,
    collections::BTreeMap,
    num::NonZeroUsize,
    rc::Rc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::LocalSet, time};

use super::{account, applicants::Applicant, target::Target};
use crate::cli::failure::Failure;

const PATH: &str = "/api/v2/signingCert";

/// Every so manieth answer is kept, to be checked after the run.
const SAMPLE_EVERY: u64 = 100;

/// How much, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: NonZeroUsize,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// What happened in the measured time.
#[derive(Debug)]
pub(super) struct Run {
    /// Certificates.
    pub(super) issued: u64,
    /// From the request's first byte to the answer's last, in microseconds.
    pub(super) latency: hdrhistogram::Histogram<u64>,
    /// By reason; also those of the warm-up.
    pub(super) failures: BTreeMap<String, u64>,
    /// The time measured.
    pub(super) took: Duration,
    /// The server's, in that time.
    pub(super) cpu: Option<Duration>,
    /// Some of the answers.
    pub(super) samples: Vec<Sample>,
}

/// An answer, and the place in the list of the applicant that it is for.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) applicant: usize,
    pub(super) body: Bytes,
}

impl Load {
    pub(super) async fn run(self, target: &Target, applicants: &[Applicant]) -> Result<Run, Failure> {
        let shared = Rc::new(RefCell::new(Shared::new(target, applicants)?));
        let local = LocalSet::new();
        for _ in 0..self.connections.get() {
            local.spawn_local(ask_again_and_again(Rc::clone(&shared)));
        }
        local.run_until(self.observe(&shared, target)).await
    }

    async fn observe(self, shared: &RefCell<Shared>, target: &Target) -> Result<Run, Failure> {
        let cpu_time = || target.process().map(account::cpu_time).transpose();
        time::sleep(self.warm_up).await;
        shared.borrow_mut().forget_successes();
        let (started, cpu_before) = (Instant::now(), cpu_time()?);
        time::sleep(self.duration).await;
        let (took, cpu_after) = (started.elapsed(), cpu_time()?);
        let mut shared = shared.borrow_mut();
        Ok(Run {
            issued: shared.issued,
            latency: shared.latency.clone(),
            failures: std::mem::take(&mut shared.failures),
            took,
            cpu: cpu_before
                .zip(cpu_after)
                .map(|(before, after)| after.saturating_sub(before)),
            samples: std::mem::take(&mut shared.samples),
        })
    }
}

/// What all connections share; there is one thread.
struct Shared {
    authority: String,
    requests: Vec<Request<Full<Bytes>>>,
    next: usize,
    issued: u64,
    latency: hdrhistogram::Histogram<u64>,
    failures: BTreeMap<String, u64>,
    samples: Vec<Sample>,
}

impl Shared {
    fn new(target: &Target, applicants: &[Applicant]) -> Result<Self, Failure> {
        let authority = authority(target)?;
        let requests = applicants.iter().map(|applicant| request(authority, applicant));
        Ok(Self {
            authority: authority.to_owned(),
            requests: requests.collect::<Result<_, _>>()?,
            next: 0,
            issued: 0,
            latency: hdrhistogram::Histogram::new(3)?,
            failures: BTreeMap::new(),
            samples: Vec::new(),
        })
    }

    fn take(&mut self) -> Option<(usize, Request<Full<Bytes>>)> {
        let at = self.next;
        self.next = (at + 1) % self.requests.len();
        self.requests.get(at).map(|request| (at, request.clone()))
    }

    fn forget_successes(&mut self) {
        self.issued = 0;
        self.latency.reset();
        self.samples.clear();
    }

    fn record(&mut self, applicant: usize, answer: Result<Bytes, String>, took: Duration) {
        match answer {
            Ok(body) => {
                if self.issued.is_multiple_of(SAMPLE_EVERY) {
                    self.samples.push(Sample { applicant, body });
                }
                self.issued += 1;
                // The histogram grows by itself, so it takes every value.
                let _taken = self
                    .latency
                    .record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
            Err(reason) => *self.failures.entry(reason).or_default() += 1,
        }
    }
}

/// Host and port.
pub(super) fn authority(target: &Target) -> Result<&str, Failure> {
    let authority = target.api().strip_prefix("http://");
    Ok(authority.ok_or("only http:// URLs can be measured")?)
}

fn request(authority: &str, applicant: &Applicant) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let pem = mayfly::pem_block::encode("PUBLIC KEY", &applicant.public_key);
    let key = json!({
        "publicKey": {"algorithm": "ECDSA", "content": pem},
        "proofOfPossession": STANDARD.encode(&applicant.proof),
    });
    post(authority, &applicant.token, &key)
}

/// A request whose token is refused before its key is looked at.
pub(super) fn request_with_token(
    authority: &str,
    token: &str,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    post(
        authority,
        token,
        &json!({"publicKey": {"content": "none"}, "proofOfPossession": "bm9uZQ=="}),
    )
}

fn post(authority: &str, token: &str, key: &Value) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let body = json!({"credentials": {"oidcIdentityToken": token}, "publicKeyRequest": key});
    Request::post(PATH)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
}

/// One certificate over a connection of its own.
pub(super) async fn ask_once(target: &Target, applicant: &Applicant) -> Result<(), Failure> {
    let authority = authority(target)?;
    let request = request(authority, applicant)?;
    let ask = async move { ask(authority, &mut None, request).await };
    LocalSet::new().run_until(ask).await?;
    Ok(())
}

/// One connection's life. It ends with the run, or when no connection can be had any more.
async fn ask_again_and_again(shared: Rc<RefCell<Shared>>) {
    let authority = shared.borrow().authority.clone();
    let mut connection = None;
    loop {
        let Some((applicant, request)) = shared.borrow_mut().take() else {
            return;
        };
        let started = Instant::now();
        let answer = ask(&authority, &mut connection, request).await;
        let lost = connection.is_none();
        shared.borrow_mut().record(applicant, answer, started.elapsed());
        if lost {
            return;
        }
    }
}

pub(super) type Connection = SendRequest<Full<Bytes>>;

/// The body of a 200, or the reason why there is none; without a connection afterwards, it was lost.
pub(super) async fn ask(
    authority: &str,
    connection: &mut Option<Connection>,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, String> {
    let mut open = match connection.take() {
        Some(open) if !open.is_closed() => open,
        _ => connect(authority)
            .await
            .map_err(|error| format!("connect: {error}"))?,
    };
    let lost = |error: hyper::Error| format!("connection: {error}");
    open.ready().await.map_err(lost)?;
    let response = open.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(lost)?.to_bytes();
    *connection = Some(open);
    if status == StatusCode::OK {
        Ok(body)
    } else {
        Err(refusal(status, &body))
    }
}

async fn connect(authority: &str) -> Result<Connection, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(driver);
    Ok(connection)
}

/// The machine-readable reason of an error, beside its status.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let reason = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|error| error.pointer("/details/0/reason")?.as_str().map(str::to_owned));
    format!(
        "{} {}",
        status.as_u16(),
        reason.as_deref().unwrap_or("without a reason")
    )
}
