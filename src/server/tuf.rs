//! The files of a TUF repository, as clients and caches want them.

use std::path::Path;

use axum::{
    Router,
    extract::Request,
    handler::HandlerWithoutStateExt,
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    middleware::{self, Next},
    response::Response,
};
use tower_http::services::ServeDir;

use super::{error::ApiError, route};

/// What has its version or its hash in its name never changes (RFC 8246).
const NAMED: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The timestamp, which says what is current.
const CURRENT: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// Serves the folder of what is public in a TUF repository at `/tuf/`.
pub fn tuf_routes(public: &Path) -> Router {
    let unknown = (|| std::future::ready(ApiError::not_found())).into_service();
    let files = ServeDir::new(public)
        .append_index_html_on_directories(false)
        .fallback(unknown);
    Router::new()
        .nest_service(route::TUF, files)
        .layer(middleware::from_fn(cached))
}

async fn cached(request: Request, next: Next) -> Response {
    let current = request.uri().path().ends_with("/timestamp.json");
    let mut response = next.run(request).await;
    // An absent root says that there is no newer one yet, and what fails now may be there soon.
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        let caching = if current { CURRENT } else { NAMED };
        response.headers_mut().insert(CACHE_CONTROL, caching);
    }
    response
}
