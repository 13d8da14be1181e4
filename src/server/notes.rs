//! What a request turns out to be about, for its log line. It becomes known deep in the handlers,
//! and must be known also of a request that ends in a panic or at its deadline.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};

tokio::task_local! {
    static NOTES: Arc<Notes>;
}

/// About one request. Whatever is noted first stays.
#[derive(Debug, Default)]
pub(super) struct Notes {
    route: OnceLock<Arc<str>>,
    issuer: OnceLock<String>,
    serial: OnceLock<String>,
}

impl Notes {
    /// Notes what `answering` says of its request.
    pub(super) async fn taken<F: Future>(answering: F) -> (F::Output, Arc<Self>) {
        let notes = Arc::<Self>::default();
        let answer = NOTES.scope(Arc::clone(&notes), answering).await;
        (answer, notes)
    }

    /// The template of the route that the path matched, such as `/log/tile/{*path}`: a bounded set.
    pub(super) fn route(&self) -> Option<&str> {
        self.route.get().map(AsRef::as_ref)
    }

    /// The `iss` of the token, if that is verified.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.get().map(String::as_str)
    }

    /// The serial number of the certificate that was issued, hexadecimal as in the audit record.
    pub(super) fn serial(&self) -> Option<&str> {
        self.serial.get().map(String::as_str)
    }
}

pub(super) fn route(template: &str) {
    note(|notes| &notes.route, || template.into());
}

pub(super) fn issuer(verified: &str) {
    note(|notes| &notes.issuer, || verified.to_owned());
}

pub(super) fn serial(number: &[u8]) {
    note(|notes| &notes.serial, || hex::encode(number));
}

/// Middleware that notes the route, of whatever is nested in this router, too.
pub(super) async fn note_route(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    if let Some(matched) = matched {
        route(matched.as_str());
    }
    next.run(request).await
}

/// Does nothing outside of [`Notes::taken`], as in tests of a single router.
fn note<T>(place: impl FnOnce(&Notes) -> &OnceLock<T>, value: impl FnOnce() -> T) {
    let _ = NOTES.try_with(|notes| {
        place(notes).get_or_init(value);
    });
}
