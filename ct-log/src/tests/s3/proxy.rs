//! A proxy in front of a store, that does what networks do.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{IF_MATCH, IF_NONE_MATCH};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;

use super::faults::{Answer, Conditions, Effect, Fault, Plan, late};

/// A proxy, on a runtime of its own: the threads of a test may block.
pub(super) struct Proxy {
    pub(super) url: String,
    runtime: Option<Runtime>,
}

impl Proxy {
    pub(super) fn start(moto: SocketAddr, plan: &Arc<Plan>, conditions: Conditions) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(serve(listener, moto, Arc::clone(plan), conditions));
        let runtime = Some(runtime);
        Proxy { url, runtime }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve(listener: TcpListener, moto: SocketAddr, plan: Arc<Plan>, conditions: Conditions) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        let plan = Arc::clone(&plan);
        let service = service_fn(move |request| pass((moto, conditions), Arc::clone(&plan), request));
        let served = hyper::server::conn::http1::Builder::new();
        tokio::spawn(served.serve_connection(TokioIo::new(connection), service));
    }
}

type Passed = Result<Response<Full<Bytes>>, &'static str>;

/// An error breaks the connection.
async fn pass(
    (moto, conditions): (SocketAddr, Conditions),
    plan: Arc<Plan>,
    request: Request<Incoming>,
) -> Passed {
    let (mut head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|_| "the client went away")?
        .to_bytes();
    if plan.down.load(Ordering::SeqCst) {
        return Err("away");
    }
    if head.method == Method::GET && plan.fails(head.uri.path()) {
        return Err("broken");
    }
    match conditions {
        Conditions::Honoured => {}
        Conditions::NoneMatchIgnored => drop(head.headers.remove(IF_NONE_MATCH)),
        Conditions::MatchIgnored => drop(head.headers.remove(IF_MATCH)),
    }
    let fault = (head.method == Method::PUT)
        .then(|| plan.next(head.uri.path()))
        .flatten();
    let request = Request::from_parts(head, Full::new(body));
    match fault {
        Some(fault) => suffer(moto, fault, request).await,
        None => forward(moto, request).await,
    }
}

async fn suffer(moto: SocketAddr, fault: Fault, request: Request<Full<Bytes>>) -> Passed {
    let (effect, answer) = fault.parts();
    match effect {
        Effect::Now => drop(forward(moto, request).await),
        Effect::Never => {}
        Effect::AfterAWhile => drop(tokio::spawn(async move {
            late().await;
            forward(moto, request).await
        })),
    }
    match answer {
        Answer::Broken => Err("broken"),
        Answer::Status(status) => Ok(Response::builder().status(status).body(Full::default()).unwrap()),
        Answer::Nothing => std::future::pending().await,
    }
}

async fn forward(moto: SocketAddr, request: Request<Full<Bytes>>) -> Passed {
    let connection = tokio::net::TcpStream::connect(moto)
        .await
        .map_err(|_| "moto is away")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
        .await
        .map_err(|_| "moto does not speak HTTP")?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|_| "moto broke off")?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| "moto broke off")?.to_bytes();
    Ok(Response::from_parts(head, Full::new(body)))
}
