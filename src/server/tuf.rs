//! The files of a TUF repository, as clients and caches want them.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    handler::HandlerWithoutStateExt,
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    middleware::{self, Next},
    response::Response,
};
use tokio::sync::Semaphore;
use tower_http::services::ServeDir;

use super::{error::ApiError, notes, route};

/// What has its version or its hash in its name never changes (RFC 8246).
const NAMED: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The timestamp, which says what is current.
const CURRENT: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// The largest file that is served.
const LARGEST_FILE: usize = 4 * 1024 * 1024;

/// Files that are read at the same time: descriptors are few.
const READ_AT_ONCE: usize = 16;

/// Serves the folder of what is public in a TUF repository at `/tuf/`.
pub fn tuf_routes(public: &Path) -> Router {
    let unknown = (|| std::future::ready(ApiError::not_found())).into_service();
    let files = ServeDir::new(public)
        .append_index_html_on_directories(false)
        .fallback(unknown);
    let reading = Arc::new(Semaphore::new(READ_AT_ONCE));
    Router::new()
        .nest_service(route::TUF, files)
        .layer(middleware::from_fn_with_state(reading, in_memory))
        .layer(middleware::from_fn(cached))
}

async fn cached(request: Request, next: Next) -> Response {
    // A service that is nested is at no route.
    notes::route(route::TUF_FILE);
    let current = request.uri().path().ends_with("/timestamp.json");
    let mut response = next.run(request).await;
    // An absent root says that there is no newer one yet, and what fails now may be there soon.
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        let caching = if current { CURRENT } else { NAMED };
        response.headers_mut().insert(CACHE_CONTROL, caching);
    }
    response
}

/// Reads the file to its end, which closes it. No client is waited for meanwhile.
async fn in_memory(
    State(reading): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _place = reading.acquire().await.map_err(ApiError::internal)?;
    let (parts, body) = next.run(request).await.into_parts();
    let bytes = to_bytes(body, LARGEST_FILE).await.map_err(ApiError::internal)?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}
