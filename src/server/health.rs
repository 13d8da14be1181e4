//! Is it alive, can it issue, what is it.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;
use tokio::time;
use tonic_health::{ServingStatus, server::HealthReporter};
use utoipa::ToSchema;

use super::{gate::Gate, route};
use crate::issue::Readiness;

/// How old the answer of the gRPC health service may be.
const HEALTH_PERIOD: Duration = Duration::from_secs(2);
/// The name under which the gRPC health service also answers for the CA.
const CA_SERVICE: &str = "dev.sigstore.fulcio.v2.CA";
/// For whoever opens the address in a browser.
const INDEX_TEXT: &str = concat!(
    "Mayfly ",
    env!("CARGO_PKG_VERSION"),
    ": a keyless code-signing certificate authority, compatible with Fulcio.\n\
    \n\
    POST /api/v2/signingCert          a token and a proof of key possession in, a logged certificate out\n\
    GET  /api/v2/trustBundle          the certificates to verify with\n\
    GET  /api/v2/configuration        the trusted token issuers\n\
    POST /api/v1/timestamp            a timestamp (RFC 3161), if this instance gives them\n\
    GET  /trust/trusted_root.json     all that verifiers need, as a file\n\
    GET  /trust/signing_config.json   all that signers need\n\
    GET  /api/v2/openapi.json         the whole interface; the same over gRPC, with reflection\n\
    GET  /readyz                      can it issue?\n\
    \n",
    env!("CARGO_PKG_REPOSITORY"),
    "\n",
);

/// Answer of `GET /healthz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    #[schema(example = "SERVING")]
    status: &'static str,
}

/// Answer of `GET /readyz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Key, log and audit record are usable, and at least one issuer is.
    ready: bool,
    key: Part,
    log: Part,
    audit: Part,
    issuers: Vec<IssuerPart>,
}

/// One thing that issuance needs.
#[derive(Serialize, ToSchema)]
struct Part {
    usable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// One trusted issuer.
#[derive(Serialize, ToSchema)]
struct IssuerPart {
    issuer: String,
    #[serde(flatten)]
    part: Part,
}

pub(super) fn routes() -> Router<Arc<Gate>> {
    Router::new()
        .route(route::INDEX, get(index))
        .route(route::HEALTHZ, get(healthz))
        .route(route::READYZ, get(readyz))
}

/// What this is.
#[utoipa::path(get, path = route::INDEX, responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn index() -> &'static str {
    INDEX_TEXT
}

/// The process answers.
#[utoipa::path(get, path = route::HEALTHZ, responses((status = 200, body = Alive)))]
pub(super) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "SERVING" })
}

/// Whether a certificate can be issued, and what stands in the way.
#[utoipa::path(
    get,
    path = route::READYZ,
    responses((status = 200, body = Ready), (status = 503, description = "Not now", body = Ready))
)]
pub(super) async fn readyz(State(gate): State<Arc<Gate>>) -> impl IntoResponse {
    report_of(gate.authority().readiness())
}

fn report_of(readiness: Readiness) -> (StatusCode, Json<Ready>) {
    let status = match readiness.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Ready::from(readiness)))
}

/// Keeps the gRPC health service up to date; ends only by being dropped.
pub(super) async fn report(gate: Arc<Gate>, reporter: HealthReporter) {
    let mut tick = time::interval(HEALTH_PERIOD);
    loop {
        tick.tick().await;
        let status = match gate.authority().readiness().is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        set(&reporter, status).await;
    }
}

/// What the gRPC health service says from now on.
pub(super) async fn set(reporter: &HealthReporter, status: ServingStatus) {
    reporter.set_service_status(CA_SERVICE, status).await;
    reporter.set_service_status("", status).await;
}

impl From<Readiness> for Ready {
    fn from(readiness: Readiness) -> Self {
        Self {
            ready: readiness.is_ready(),
            key: Part::from(readiness.key),
            log: Part::from(readiness.log),
            audit: Part::from(readiness.audit),
            issuers: readiness
                .issuers
                .into_iter()
                .map(|(issuer, state)| IssuerPart {
                    issuer,
                    part: Part::from(state),
                })
                .collect(),
        }
    }
}

impl From<Result<(), String>> for Part {
    fn from(state: Result<(), String>) -> Self {
        Self {
            usable: state.is_ok(),
            problem: state.err(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness(key: Result<(), String>, issuers: &[Result<(), String>]) -> Readiness {
        let named =
            |(at, state): (usize, &Result<(), String>)| (format!("https://{at}.example"), state.clone());
        Readiness {
            key,
            log: Ok(()),
            audit: Ok(()),
            issuers: issuers.iter().enumerate().map(named).collect(),
        }
    }

    #[test]
    fn ready_needs_the_key_the_log_and_one_issuer() {
        let down = || Err("down".to_owned());
        for (readiness, status) in [
            (readiness(Ok(()), &[Ok(()), down()]), StatusCode::OK),
            (
                readiness(Ok(()), &[down(), down()]),
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (readiness(Ok(()), &[]), StatusCode::SERVICE_UNAVAILABLE),
            (readiness(down(), &[Ok(())]), StatusCode::SERVICE_UNAVAILABLE),
            (
                Readiness {
                    audit: down(),
                    ..readiness(Ok(()), &[Ok(())])
                },
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (
                Readiness {
                    log: down(),
                    ..readiness(Ok(()), &[Ok(())])
                },
                StatusCode::SERVICE_UNAVAILABLE,
            ),
        ] {
            assert_eq!(report_of(readiness).0, status);
        }
    }

    #[test]
    fn what_is_not_usable_is_named() {
        let (_, Json(report)) = report_of(readiness(Err("locked".to_owned()), &[Ok(())]));
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["ready"], false);
        assert_eq!(
            json["key"],
            serde_json::json!({"usable": false, "problem": "locked"})
        );
        assert_eq!(
            json["issuers"][0],
            serde_json::json!({"issuer": "https://0.example", "usable": true})
        );
    }
}
