//! The one way from every interface to the authorities: admission first, then issue, then count.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, request::Parts},
};
use ct_log::acceptor::Budget;
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use utoipa::ToSchema;

use super::{
    error::ApiError,
    limits::{BodyLimit, Buffered, Capacity, Limits},
    notes,
    timestamp::Timestamps,
    wire,
};
use crate::{
    issue::{Authority, IssueRequest},
    telemetry::Metrics,
    trusted_issuer::{IssuerName, TrustedIssuer},
};

/// What handlers share.
pub(super) struct Gate {
    authority: Arc<Authority>,
    timestamps: Option<Timestamps>,
    capacity: Capacity,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// One trusted issuer, as clients see it. Empty fields are sent, as Fulcio's gateway does.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssuerInfo {
    /// Tokens with exactly this `iss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer_url: Option<String>,
    /// Tokens whose `iss` matches this, `*` standing for one part of a host name or path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wildcard_issuer_url: Option<String>,
    /// The `aud` that its tokens must carry.
    pub(super) audience: String,
    /// The claim whose value the caller signs as proof of possession.
    #[schema(example = "email")]
    pub(super) challenge_claim: &'static str,
    /// The trust domain of SPIFFE identities.
    pub(super) spiffe_trust_domain: String,
    /// How an identity is made from its tokens.
    #[schema(example = "ci-provider")]
    pub(super) issuer_type: String,
    /// The domain of URI and username identities.
    pub(super) subject_domain: String,
    /// Whether email addresses count without `email_verified`.
    pub(super) skip_email_verification: bool,
}

impl Gate {
    pub(super) fn new(
        (authority, timestamps): (Arc<Authority>, Option<Timestamps>),
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            authority,
            timestamps,
            capacity: Capacity::new(&limits),
            limits,
            metrics,
        }
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn timestamps(&self) -> Option<&Timestamps> {
        self.timestamps.as_ref()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A place among the timestamps that are being signed, or a refusal at once.
    pub(super) fn admit_timestamp(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.capacity.timestamp()
    }

    /// One certificate with its chain, one PEM block each, leaf first.
    pub(super) async fn issue(&self, request: IssueRequest) -> Result<Vec<String>, ApiError> {
        let _place = self.capacity.issuance()?;
        let issued = self
            .authority
            .issue_noting(request, |token| notes::issuer(token.iss()))
            .await?;
        notes::serial(issued.logged().precertificate().draft().serial().as_bytes());
        self.metrics.issued();
        Ok(issued.to_pem())
    }

    pub(super) async fn read_json(&self, request: Request) -> Result<(HeaderMap, Buffered), ApiError> {
        let (parts, body) = self.read(request, self.limits.json_body).await?;
        Ok((parts.headers, body))
    }

    pub(super) async fn read_timestamp_query(
        &self,
        request: Request,
        largest: usize,
    ) -> Result<Buffered, ApiError> {
        Ok(self.read(request, largest).await?.1)
    }

    /// A gRPC message in its five bytes of framing.
    pub(super) async fn read_grpc(&self, request: Request) -> Result<(Parts, Buffered), ApiError> {
        let framed = self.limits.grpc_message.saturating_add(5);
        self.read(request, framed).await
    }

    /// Reads the whole body. Of the header, only what is read later is kept while the client is waited for.
    async fn read(&self, request: Request, largest: usize) -> Result<(Parts, Buffered), ApiError> {
        let (mut parts, body) = request.into_parts();
        parts.headers = wire::needed(&parts.headers);
        let budget = parts.extensions.get::<Budget>().cloned();
        let budget = budget.ok_or_else(|| ApiError::internal("a request came without its budget"))?;
        let limit = BodyLimit {
            bytes: largest,
            deadline: self.limits.body,
        };
        let read = Buffered::read(body, &budget, limit).await?;
        Ok((parts, read))
    }

    pub(super) fn issuers(&self) -> Vec<IssuerInfo> {
        self.authority
            .tokens()
            .issuers()
            .iter()
            .map(|issuer| describe(issuer))
            .collect()
    }
}

fn describe(issuer: &TrustedIssuer) -> IssuerInfo {
    let (issuer_url, wildcard_issuer_url) = match issuer.name() {
        IssuerName::Exact(url) => (Some(url.clone()), None),
        IssuerName::Pattern(pattern) => (None, Some(pattern.as_str().to_owned())),
    };
    IssuerInfo {
        issuer_url,
        wildcard_issuer_url,
        audience: issuer.audience().to_owned(),
        challenge_claim: issuer.challenge().name(),
        spiffe_trust_domain: issuer.rule().spiffe_trust_domain().unwrap_or_default().to_owned(),
        issuer_type: issuer.issuer_type().to_owned(),
        subject_domain: issuer.subject_domain().unwrap_or_default().to_owned(),
        skip_email_verification: issuer.rule().skips_email_verification(),
    }
}
