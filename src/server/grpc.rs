//! The gRPC interface: Fulcio's `CA`, health and reflection.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::HeaderValue,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tonic::{Status, codec::CompressionEncoding, service::Routes};
use tonic_health::{pb::health_server::HealthServer, server::HealthReporter};
use tonic_reflection::server::Builder as Reflection;

use super::{
    error::ApiError,
    gate::{Gate, IssuerInfo},
    health::GrpcHealth,
    proto::{self, ca_server},
    wire,
};
use crate::issuer::CertificateChain;

/// Fulcio's `CA` over [`Gate`].
struct Ca(Arc<Gate>);

/// The gRPC routes; `reporter` feeds the health service.
///
/// # Errors
/// The descriptors that the build embedded are not readable.
pub(super) fn routes(
    gate: &Arc<Gate>,
    reporter: HealthReporter,
) -> Result<Router, tonic_reflection::server::Error> {
    // The size is that of the message before and after it is decompressed.
    let ca = ca_server::CaServer::new(Ca(Arc::clone(gate)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(gate.limits().grpc_message);
    let ca = Routes::new(ca)
        .into_axum_router()
        .layer(middleware::from_fn_with_state(Arc::clone(gate), read_whole));
    let health = HealthServer::new(GrpcHealth::new(reporter));
    let reflection = || {
        Reflection::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let library = Routes::new(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .into_axum_router();
    Ok(ca.reset_fallback().merge(library.reset_fallback()))
}

/// Reads a unary request whole, under the same limits and deadline as JSON, before the library decodes it.
async fn read_whole(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    if request
        .headers()
        .get("grpc-encoding")
        .is_some_and(|coding| coding != "identity" && coding != "gzip")
    {
        let mut refusal = ApiError::message_encoding().into_response();
        let accepted = HeaderValue::from_static("gzip,identity");
        refusal.headers_mut().insert("grpc-accept-encoding", accepted);
        return refusal;
    }
    match gate.read_grpc(request).await {
        Ok((parts, read)) => {
            next.run(Request::from_parts(parts, Body::from(read.into_bytes())))
                .await
        }
        Err(error) => error.into_response(),
    }
}

#[tonic::async_trait]
impl ca_server::Ca for Ca {
    async fn create_signing_certificate(
        &self,
        request: tonic::Request<proto::CreateSigningCertificateRequest>,
    ) -> Result<tonic::Response<proto::SigningCertificate>, Status> {
        use proto::signing_certificate::Certificate::SignedCertificateEmbeddedSct;
        let (metadata, extensions, message) = request.into_parts();
        let request = wire::parse_grpc(&metadata.into_headers(), message)?;
        let request = request.sent_by(extensions.get().copied());
        let certificates = self.0.issue(request).await?;
        let chain = Some(proto::CertificateChain { certificates });
        Ok(tonic::Response::new(proto::SigningCertificate {
            certificate: Some(SignedCertificateEmbeddedSct(
                proto::SigningCertificateEmbeddedSct { chain },
            )),
        }))
    }

    async fn get_trust_bundle(
        &self,
        _: tonic::Request<proto::GetTrustBundleRequest>,
    ) -> Result<tonic::Response<proto::TrustBundle>, Status> {
        let chains = self.0.authority().trust_bundle();
        let chain = |chain: Arc<CertificateChain>| proto::CertificateChain {
            certificates: chain.pem().to_vec(),
        };
        Ok(tonic::Response::new(proto::TrustBundle {
            chains: chains.into_iter().map(chain).collect(),
        }))
    }

    async fn get_configuration(
        &self,
        _: tonic::Request<proto::GetConfigurationRequest>,
    ) -> Result<tonic::Response<proto::Configuration>, Status> {
        let issuers = self.0.issuers().into_iter().map(to_proto).collect();
        Ok(tonic::Response::new(proto::Configuration { issuers }))
    }
}

fn to_proto(info: IssuerInfo) -> proto::OidcIssuer {
    use proto::oidc_issuer::Issuer;
    proto::OidcIssuer {
        issuer: info
            .issuer_url
            .map(Issuer::IssuerUrl)
            .or(info.wildcard_issuer_url.map(Issuer::WildcardIssuerUrl)),
        audience: info.audience,
        challenge_claim: info.challenge_claim.to_owned(),
        spiffe_trust_domain: info.spiffe_trust_domain,
        issuer_type: info.issuer_type,
        subject_domain: info.subject_domain,
        skip_email_verification: info.skip_email_verification,
    }
}
