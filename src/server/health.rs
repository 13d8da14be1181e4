//! Is it alive, what can it do, what is it.
//!
//! A balancer asks for the part that it sends requests for: what keeps one part from working must not take the others away.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;
use tokio::time;
use tonic::Status;
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, HealthCheckResponse, health_server::Health},
    server::{HealthReporter, HealthService},
};
use utoipa::ToSchema;

use super::{answer::ErrorBody, error::ApiError, gate::Gate, route};
use crate::{issue::Readiness, trust::TrustMaterial};

/// How old the answer of the gRPC health service may be.
const HEALTH_PERIOD: Duration = Duration::from_secs(2);
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
    GET  /readyz                      can it issue? /readyz/issuing, log, submissions, trust, timestamps: for balancers\n\
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
    /// What each path below `/readyz/` answers.
    parts: Parts,
}

/// What requests can be for; absent is what this instance does not have.
#[derive(Serialize, ToSchema)]
struct Parts {
    /// Certificates: this process has its key, its log and its audit record. Issuers do not count: without them, no other
    /// process could issue either, and each refuses by itself.
    issuing: Part,
    /// Reading the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Part>,
    /// Submitting to the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    submissions: Option<Part>,
    /// What clients are to trust.
    trust: Part,
    /// Timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamps: Option<Part>,
}

/// Whether one thing works.
#[derive(Serialize, ToSchema)]
pub(super) struct Part {
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
        .route(route::READYZ_PART, get(readyz_part))
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

/// Whether a certificate can be issued, with an issuer's token; and what stands in the way of that and of the rest.
///
/// A load balancer asks below this path.
#[utoipa::path(
    get,
    path = route::READYZ,
    responses((status = 200, body = Ready), (status = 503, description = "Not now", body = Ready))
)]
pub(super) async fn readyz(State(gate): State<Arc<Gate>>) -> impl IntoResponse {
    let readiness = gate.authority().readiness();
    let parts = Parts::of(&gate, &readiness);
    report_of(readiness, parts)
}

/// Whether a load balancer should send requests for this part to this process.
#[utoipa::path(
    get,
    path = route::READYZ_PART,
    params(("part" = String, Path, description = "`issuing`, `log`, `submissions`, `trust` or `timestamps`")),
    responses(
        (status = 200, body = Part),
        (status = 404, description = "There is no such part, or not in this instance", body = ErrorBody),
        (status = 503, description = "Not now", body = Part),
    )
)]
pub(super) async fn readyz_part(
    State(gate): State<Arc<Gate>>,
    Path(part): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let parts = Parts::of(&gate, &gate.authority().readiness());
    let part = parts.named(&part).ok_or_else(ApiError::not_found)?;
    Ok((status(part.usable), Json(part)))
}

fn report_of(readiness: Readiness, parts: Parts) -> (StatusCode, Json<Ready>) {
    let ready = Ready {
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
        parts,
    };
    (status(ready.ready), Json(ready))
}

const fn status(is_ready: bool) -> StatusCode {
    match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Keeps the gRPC health service, which says of issuing what its path says, up to date; ends only by being dropped.
pub(super) async fn report(gate: Arc<Gate>, reporter: HealthReporter) {
    let mut tick = time::interval(HEALTH_PERIOD);
    loop {
        tick.tick().await;
        let status = match gate.authority().readiness().own() {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        set(&reporter, status).await;
    }
}

/// What the gRPC health service says from now on.
pub(super) async fn set(reporter: &HealthReporter, status: ServingStatus) {
    reporter.set_service_status(route::GRPC_CA, status).await;
    reporter.set_service_status("", status).await;
}

/// The gRPC health service.
pub(super) struct GrpcHealth(HealthService);

impl GrpcHealth {
    pub(super) fn new(reporter: HealthReporter) -> Self {
        Self(HealthService::from_health_reporter(reporter))
    }
}

#[tonic::async_trait]
impl Health for GrpcHealth {
    type WatchStream = <HealthService as Health>::WatchStream;

    /// Of every service alike, as Fulcio's: a probe may name any.
    async fn check(
        &self,
        mut request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        request.get_mut().service.clear();
        self.0.check(request).await
    }

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        self.0.watch(request).await
    }
}

impl Parts {
    fn of(gate: &Gate, readiness: &Readiness) -> Self {
        let log = gate.authority().log();
        let trusted_root = TrustMaterial::of(gate.authority()).trusted_root().map(drop);
        let timestamps = gate.timestamps().map(|timestamps| timestamps.authority.health());
        Self {
            issuing: Part::from(readiness.own()),
            log: log.reading().map(Part::from),
            submissions: log.submissions().map(Part::from),
            trust: Part::from(trusted_root.map_err(|error| error.to_string())),
            timestamps: timestamps.map(|state| Part::from(state.map_err(|error| error.to_string()))),
        }
    }

    /// By the last part of its path.
    fn named(self, name: &str) -> Option<Part> {
        match name {
            "issuing" => Some(self.issuing),
            "log" => self.log,
            "submissions" => self.submissions,
            "trust" => Some(self.trust),
            "timestamps" => self.timestamps,
            _ => None,
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

    fn parts(readiness: &Readiness) -> Parts {
        let usable = || Part::from(Ok(()));
        Parts {
            issuing: Part::from(readiness.own()),
            log: Some(usable()),
            submissions: None,
            trust: usable(),
            timestamps: None,
        }
    }

    fn report(readiness: Readiness) -> (StatusCode, Json<Ready>) {
        let parts = parts(&readiness);
        report_of(readiness, parts)
    }

    #[test]
    fn a_part_is_asked_for_by_its_name() {
        let down = || Err("down".to_owned());
        for (readiness, issuing) in [
            (readiness(Ok(()), &[Ok(())]), true),
            (readiness(Ok(()), &[down()]), true),
            (readiness(down(), &[Ok(())]), false),
        ] {
            assert_eq!(parts(&readiness).named("issuing").unwrap().usable, issuing);
            assert!(parts(&readiness).named("log").unwrap().usable);
        }
        for name in ["timestamps", "submissions", "", "Log", "log/", "readyz"] {
            assert!(parts(&readiness(Ok(()), &[])).named(name).is_none(), "{name}");
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
            assert_eq!(report(readiness).0, status);
        }
    }

    #[test]
    fn what_is_not_usable_is_named() {
        let (_, Json(report)) = report(readiness(Err("locked".to_owned()), &[Ok(())]));
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
        assert_eq!(
            json["parts"]["issuing"],
            serde_json::json!({"usable": false, "problem": "key: locked"})
        );
    }
}
