//! A server on a free port of the loopback interface, before a whole authority, for as long as the value lives.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use base64::{Engine, prelude::BASE64_STANDARD};
use mayfly::server::{Listeners, Server, ServerSettings, proto::ca_client::CaClient};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tonic::transport::Channel;

use crate::instance::{Holder, Instance};

/// Nothing in these tests takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) api: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) instance: Instance,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Any port that is free.
pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(crate) async fn start() -> Running {
    start_with(ServerSettings::default(), Router::new()).await
}

pub(crate) async fn start_with(settings: ServerSettings, extra: Router) -> Running {
    start_before(Instance::start().await, settings, extra).await
}

pub(crate) async fn start_before(instance: Instance, settings: ServerSettings, extra: Router) -> Running {
    let listeners = Listeners::bind(LOOPBACK, Some(LOOPBACK)).await.unwrap();
    let (api, metrics) = (listeners.api_address(), listeners.metrics_address().unwrap());
    let server = Server::new(listeners, settings, Arc::clone(&instance.authority), extra).unwrap();
    let (stop, stopped) = oneshot::channel();
    Running {
        api,
        metrics,
        instance,
        stop: Some(stop),
        task: tokio::spawn(server.run_until(async { drop(stopped.await) })),
    }
}

/// A certificate signing request of a new key, PEM.
pub(crate) fn csr() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::default();
    parameters.serialize_request(&key).unwrap().pem().unwrap()
}

/// A certificate signing request as JSON carries it.
pub(crate) fn csr_base64() -> String {
    BASE64_STANDARD.encode(csr())
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.api).await.unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(self.url(""))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn ca(&self) -> CaClient<Channel> {
        CaClient::new(self.channel().await)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::of(client().get(self.url(path)).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        let request = client()
            .post(self.url(path))
            .header("content-type", "application/json");
        Reply::of(request.bearer_auth("a.b.c").body(body).send().await.unwrap()).await
    }

    /// With a token that is good.
    pub(crate) async fn post_as_alice(&self, path: &str, body: &Value) -> Reply {
        let request = client()
            .post(self.url(path))
            .header("content-type", "application/json");
        let request = request.bearer_auth(self.instance.token());
        Reply::of(request.body(body.to_string()).send().await.unwrap()).await
    }

    /// `publicKeyRequest` of a new key, with the proof that goes with the good token.
    pub(crate) fn challenge(&self) -> Value {
        let holder = Holder::new();
        let proof = BASE64_STANDARD.encode(holder.sign("alice@example.com"));
        json!({"publicKey": {"content": holder.public_key_pem()}, "proofOfPossession": proof})
    }

    /// One metric's line, `name{labels}`, as scraped now.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.scrape().await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    pub(crate) async fn scrape(&self) -> String {
        let url = format!("http://{}/metrics", self.metrics);
        client().get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The server took no harm: it still answers.
    pub(crate) async fn assert_alive(&self) {
        assert_eq!(self.get("/api/v2/trustBundle").await.status, 200);
    }

    /// Tells the server to end; the handle resolves when it has.
    pub(crate) fn shut_down(mut self) -> JoinHandle<()> {
        self.stop.take().unwrap().send(()).unwrap();
        self.task
    }
}

/// Trusts nobody: reading the system's certificates takes longer than the tests.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().timeout(HANG).tls_certs_only([])
}

pub(crate) fn client() -> reqwest::Client {
    builder().build().unwrap()
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The stable reason, after checking that the error is a whole `google.rpc.Status`.
    pub(crate) fn reason(&self) -> String {
        let body = self.json();
        assert_eq!(self.header("content-type"), "application/json");
        assert!(body["code"].is_i64() && !body["message"].as_str().unwrap().is_empty());
        let info = &body["details"][0];
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(info["domain"], "mayfly");
        assert_eq!(info["metadata"]["requestId"], self.header("x-request-id"));
        info["reason"].as_str().unwrap().to_owned()
    }
}

/// Everything that the peer sends until it closes.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good an end as any.
    drop(
        tokio::time::timeout(HANG, stream.read_to_end(&mut bytes))
            .await
            .unwrap(),
    );
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) async fn send(stream: &mut (impl AsyncWriteExt + Unpin), bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.unwrap();
}
