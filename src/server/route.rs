//! Every path, once: for the routers, the OpenAPI document and the labels of metrics and log lines.

use axum::http::Method;
use ct_log::http::READ_PATHS;

use crate::telemetry::{GrpcKind, GrpcMethod};

pub(super) const INDEX: &str = "/";
pub(super) const HEALTHZ: &str = "/healthz";
pub(super) const READYZ: &str = "/readyz";
/// For a load balancer.
pub(super) const READYZ_PART: &str = "/readyz/{part}";
pub(super) const OPENAPI: &str = "/api/v2/openapi.json";
pub(super) const SIGNING_CERT: &str = "/api/v2/signingCert";
pub(super) const TRUST_BUNDLE: &str = "/api/v2/trustBundle";
pub(super) const CONFIGURATION: &str = "/api/v2/configuration";
pub(super) const LEGACY_SIGNING_CERT: &str = "/api/v1/signingCert";
pub(super) const LEGACY_ROOT_CERT: &str = "/api/v1/rootCert";
pub(super) const TRUSTED_ROOT: &str = "/trust/trusted_root.json";
pub(super) const SIGNING_CONFIG: &str = "/trust/signing_config.json";
pub(super) const TRUST_CONFIG: &str = "/trust/trust_config.json";
/// Where the files of a TUF repository are.
pub(super) const TUF: &str = "/tuf";
/// Where timestamps are asked for, as of sigstore's timestamp authority.
pub const TIMESTAMP: &str = "/api/v1/timestamp";
pub(super) const TIMESTAMP_CHAIN: &str = "/api/v1/timestamp/certchain";

/// The service by which probes ask over gRPC.
pub(super) const GRPC_HEALTH: &str = "grpc.health.v1.Health";

/// The service of certificates.
pub(super) const GRPC_CA: &str = "dev.sigstore.fulcio.v2.CA";
/// Fulcio's service behind its v1 paths. It is not served over gRPC here, but counted as there.
const GRPC_LEGACY_CA: &str = "dev.sigstore.fulcio.v1beta.CA";

const CREATE: GrpcMethod = unary(GRPC_CA, "CreateSigningCertificate");
const GET_TRUST_BUNDLE: GrpcMethod = unary(GRPC_CA, "GetTrustBundle");
const GET_CONFIGURATION: GrpcMethod = unary(GRPC_CA, "GetConfiguration");
const LEGACY_CREATE: GrpcMethod = unary(GRPC_LEGACY_CA, "CreateSigningCertificate");
const LEGACY_GET_ROOT: GrpcMethod = unary(GRPC_LEGACY_CA, "GetRootCertificate");
const CHECK: GrpcMethod = unary(GRPC_HEALTH, "Check");

/// Every gRPC method.
pub(super) const GRPC: [GrpcMethod; 9] = [
    CREATE,
    GET_TRUST_BUNDLE,
    GET_CONFIGURATION,
    LEGACY_CREATE,
    LEGACY_GET_ROOT,
    CHECK,
    GrpcMethod {
        service: GRPC_HEALTH,
        name: "Watch",
        kind: GrpcKind::ServerStream,
    },
    reflection("grpc.reflection.v1.ServerReflection"),
    reflection("grpc.reflection.v1alpha.ServerReflection"),
];

/// Label of every other gRPC method, so that callers cannot make labels.
const OTHER: GrpcMethod = unary("other", "other");

/// What log lines call a path at which there is nothing.
pub(super) const UNKNOWN: &str = "unknown";

/// The files of a TUF repository, as a route.
pub(super) const TUF_FILE: &str = "/tuf/{*path}";

/// Whether programs ask for this route again and again: probes, and auditors of a log, which is
/// nested under a path of its own.
pub(super) fn is_polled(route: &str) -> bool {
    matches!(route, HEALTHZ | READYZ | READYZ_PART) || READ_PATHS.iter().any(|path| route.ends_with(path))
}

/// The method at a path of gRPC, as labels of bounded choice.
pub(super) fn grpc_method(path: &str) -> GrpcMethod {
    let asked = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    GRPC.into_iter()
        .find(|known| Some((known.service, known.name)) == asked)
        .unwrap_or(OTHER)
}

/// The gRPC method that Fulcio's HTTP gateway calls for a request, which counts as a call of it.
pub(super) fn gateway_method(method: &Method, path: &str) -> Option<GrpcMethod> {
    match (method, path) {
        (&Method::POST, SIGNING_CERT) => Some(CREATE),
        (&Method::GET, TRUST_BUNDLE) => Some(GET_TRUST_BUNDLE),
        (&Method::GET, CONFIGURATION) => Some(GET_CONFIGURATION),
        (&Method::POST, LEGACY_SIGNING_CERT) => Some(LEGACY_CREATE),
        (&Method::GET, LEGACY_ROOT_CERT) => Some(LEGACY_GET_ROOT),
        (&Method::GET, HEALTHZ) => Some(CHECK),
        _ => None,
    }
}

const fn unary(service: &'static str, name: &'static str) -> GrpcMethod {
    GrpcMethod {
        service,
        name,
        kind: GrpcKind::Unary,
    }
}

const fn reflection(service: &'static str) -> GrpcMethod {
    GrpcMethod {
        service,
        name: "ServerReflectionInfo",
        kind: GrpcKind::BidiStream,
    }
}
