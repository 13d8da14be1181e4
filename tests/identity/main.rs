//! What rules make of claims.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod golden;
mod refusals;
mod vectors;

use std::path::Path;

use mayfly::{
    config::issuers,
    extension::FulcioExtension as E,
    identity::{IdentityError, Names},
    token::{FetchPolicy, LoopbackHttp},
    trusted_issuer::{TrustedIssuer, TrustedIssuers},
};
use serde_json::{Value, json};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn policy() -> FetchPolicy {
    FetchPolicy::new(LoopbackHttp::Allowed)
}

fn issuer_file() -> TrustedIssuers {
    let file = issuers::load(Path::new("config/issuers.yaml"), &policy());
    file.unwrap_or_else(|errors| panic!("{errors}")).issuers
}

/// What the first issuer of a file makes of claims.
fn names_by(issuers: &TrustedIssuers, claims: &Value) -> Result<Names, IdentityError> {
    apply(issuers.iter().next().unwrap(), claims)
}

fn apply(issuer: &TrustedIssuer, claims: &Value) -> Result<Names, IdentityError> {
    let subject = claims["sub"].as_str().unwrap_or_default();
    issuer
        .rule()
        .apply(issuer.name().as_str(), subject, claims.as_object().unwrap())
}

fn github(claims: &Value) -> Result<Names, IdentityError> {
    apply(&issuer_file().find(GITHUB).unwrap()[0], claims)
}

fn parse(entry: &str) -> TrustedIssuers {
    let text = format!("oidc-issuers:\n  https://accounts.example.com:\n    client-id: sigstore\n{entry}");
    let file = issuers::parse(Path::new("issuers.yaml"), &text, &policy());
    file.unwrap_or_else(|errors| panic!("{errors}")).issuers
}

fn email_issuer() -> TrustedIssuers {
    parse("    type: email\n")
}

fn reason(result: Result<Names, IdentityError>) -> &'static str {
    result.map_err(|error| error.reason()).err().unwrap_or("accepted")
}

fn with(mut claims: Value, claim: &str, value: Value) -> Value {
    claims[claim] = value;
    claims
}

fn without(mut claims: Value, claim: &str) -> Value {
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

fn values(names: &Names) -> Vec<(E, &str)> {
    names.extensions().iter().collect()
}

/// A token of a reusable workflow on a tag, as GitHub documents its claims.
fn github_claims() -> Value {
    json!({
        "jti": "0b8ff1f2-9c5d-4d0e-8d0a-0f9a1f0d9d2e",
        "sub": "repo:octo-org/octo-repo:environment:production",
        "environment": "production",
        "aud": "sigstore",
        "ref": "refs/tags/v1.2.3",
        "sha": "4e79b1a09c5c2d5a6f3e2f9d8a7b6c5d4e3f2a1b",
        "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org",
        "actor_id": "12",
        "repository_visibility": "private",
        "repository_id": "74",
        "repository_owner_id": "65",
        "run_id": "1234567890",
        "run_number": "10",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
        "actor": "octocat",
        "workflow": "Release \u{1f680}",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "ref_protected": "false",
        "ref_type": "tag",
        "workflow_ref": "octo-org/octo-repo/.github/workflows/release.yml@refs/tags/v1.2.3",
        "workflow_sha": "4e79b1a09c5c2d5a6f3e2f9d8a7b6c5d4e3f2a1b",
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/build.yml@refs/heads/main",
        "job_workflow_sha": "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432",
        "iss": GITHUB,
        "nbf": 1_700_000_000,
        "exp": 1_700_000_900,
        "iat": 1_700_000_600
    })
}
