//! Every path, once: for the routers, the OpenAPI document and the labels of metrics and log lines.

use ct_log::http::READ_PATHS;

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

/// gRPC methods, service and name.
const GRPC: [(&str, &str); 7] = [
    ("dev.sigstore.fulcio.v2.CA", "CreateSigningCertificate"),
    ("dev.sigstore.fulcio.v2.CA", "GetTrustBundle"),
    ("dev.sigstore.fulcio.v2.CA", "GetConfiguration"),
    (GRPC_HEALTH, "Check"),
    (GRPC_HEALTH, "Watch"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
];

/// Label of every other gRPC method, so that callers cannot make labels.
const OTHER: &str = "other";

/// What log lines call a path at which there is nothing.
pub(super) const UNKNOWN: &str = "unknown";

/// The files of a TUF repository, as a route.
pub(super) const TUF_FILE: &str = "/tuf/{*path}";

/// Whether programs ask for this route again and again: probes, and auditors of a log, which is
/// nested under a path of its own.
pub(super) fn is_polled(route: &str) -> bool {
    matches!(route, HEALTHZ | READYZ | READYZ_PART) || READ_PATHS.iter().any(|path| route.ends_with(path))
}

/// Service and method as labels of bounded choice.
pub(super) fn grpc_label(path: &str) -> (&'static str, &'static str) {
    let asked = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    GRPC.iter()
        .copied()
        .find(|known| Some(*known) == asked)
        .unwrap_or((OTHER, OTHER))
}
