//! A log on a port of this machine, any answer of which a test can replace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use ct_log::Log;
use ct_log::chain::Policy;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::Pki;

/// Ends with the test.
pub(crate) struct Web {
    pub(crate) url: String,
    faults: Arc<Faults>,
    serving: AbortHandle,
}

#[derive(Default)]
struct Faults {
    answers: Mutex<HashMap<String, Fault>>,
    asked: Mutex<Vec<String>>,
}

/// What is answered instead of the truth.
#[derive(Clone)]
pub(crate) enum Fault {
    Status(u16),
    /// Status 503, this many times, then the truth.
    Unwell(u32),
    Body(Vec<u8>),
    Headers(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Nothing, ever.
    Hang,
}

impl Web {
    pub(crate) async fn serve(log: &Log, pki: &Pki) -> Web {
        let policy = Policy::new([pki.root.der().as_slice()]).unwrap();
        Web::serve_router(ct_log::http::router(log.clone(), policy)).await
    }

    pub(crate) async fn serve_router(router: Router) -> Web {
        let faults = Arc::new(Faults::default());
        let router = router.layer(from_fn_with_state(Arc::clone(&faults), answer));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Web {
            url,
            faults,
            serving: serving.abort_handle(),
        }
    }

    pub(crate) fn fault(&self, path: &str, fault: Fault) {
        let mut answers = self.faults.answers.lock().unwrap();
        answers.insert(format!("/{path}"), fault);
    }

    pub(crate) fn mend(&self) {
        self.faults.answers.lock().unwrap().clear();
    }

    /// The paths that were asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.faults.asked.lock().unwrap())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    faults.asked.lock().unwrap().push(path.clone());
    let fault = {
        let mut answers = faults.answers.lock().unwrap();
        match answers.get_mut(&path) {
            Some(Fault::Unwell(0)) => None,
            Some(Fault::Unwell(times)) => {
                *times -= 1;
                Some(Fault::Status(503))
            }
            fault => fault.cloned(),
        }
    };
    match fault {
        None | Some(Fault::Unwell(_)) => next.run(request).await,
        Some(Fault::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::Body(body)) => Bytes::from(body).into_response(),
        Some(Fault::Headers(status, headers, body)) => {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name = HeaderName::from_static(name);
                map.insert(name, HeaderValue::from_str(&value).unwrap());
            }
            (StatusCode::from_u16(status).unwrap(), map, Bytes::from(body)).into_response()
        }
        Some(Fault::Hang) => std::future::pending().await,
    }
}
