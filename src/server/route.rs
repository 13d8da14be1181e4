//! Every path, once: for the routers, the OpenAPI document and the labels of metrics and log lines.

pub(super) const INDEX: &str = "/";
pub(super) const HEALTHZ: &str = "/healthz";
pub(super) const READYZ: &str = "/readyz";
/// For a load balancer: one of [`READYZ_PARTS`].
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

/// Paths over HTTP.
pub(super) const HTTP: [&str; 14] = [
    SIGNING_CERT,
    TRUST_BUNDLE,
    CONFIGURATION,
    LEGACY_SIGNING_CERT,
    LEGACY_ROOT_CERT,
    TRUSTED_ROOT,
    SIGNING_CONFIG,
    TRUST_CONFIG,
    TIMESTAMP,
    TIMESTAMP_CHAIN,
    HEALTHZ,
    READYZ,
    OPENAPI,
    INDEX,
];

/// What of [`READYZ_PART`] exists.
pub(super) const READYZ_PARTS: [&str; 5] = [
    "/readyz/issuing",
    "/readyz/log",
    "/readyz/submissions",
    "/readyz/trust",
    "/readyz/timestamps",
];

/// gRPC methods, service and name.
const GRPC: [(&str, &str); 7] = [
    ("dev.sigstore.fulcio.v2.CA", "CreateSigningCertificate"),
    ("dev.sigstore.fulcio.v2.CA", "GetTrustBundle"),
    ("dev.sigstore.fulcio.v2.CA", "GetConfiguration"),
    ("grpc.health.v1.Health", "Check"),
    ("grpc.health.v1.Health", "Watch"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
];

/// Label of everything else (the log's paths among it), so that callers cannot make labels.
const OTHER: &str = "other";

/// The path as a label of bounded choice.
pub(super) fn http_label(path: &str) -> &'static str {
    let mut known = HTTP.iter().chain(&READYZ_PARTS).copied();
    known.find(|known| *known == path).unwrap_or(OTHER)
}

/// Service and method as labels of bounded choice.
pub(super) fn grpc_label(path: &str) -> (&'static str, &'static str) {
    let asked = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    GRPC.iter()
        .copied()
        .find(|known| Some(*known) == asked)
        .unwrap_or((OTHER, OTHER))
}
