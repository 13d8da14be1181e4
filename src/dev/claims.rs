//! The claims of both kinds of token.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::subject::{EmailAddress, Repository};
use crate::clock::Timestamp;

/// As long as a certificate lives: enough for one signing, useless the day after.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

const BRANCH: &str = "refs/heads/main";
const WORKFLOW_FILE: &str = ".github/workflows/release.yml";

/// `iat` and `exp` as NumericDate (RFC 7519 section 2).
#[derive(Clone, Copy, Serialize)]
pub(super) struct Lifetime {
    iat: u64,
    exp: u64,
}

impl From<Timestamp> for Lifetime {
    fn from(now: Timestamp) -> Self {
        Self {
            iat: now.unix_seconds(),
            exp: now.plus(TOKEN_LIFETIME).unix_seconds(),
        }
    }
}

/// OpenID Connect Core section 2, and the `email` scope's claims (5.4).
#[derive(Serialize)]
pub(super) struct EmailClaims {
    iss: String,
    sub: String,
    aud: String,
    #[serde(flatten)]
    lifetime: Lifetime,
    email: String,
    email_verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at_hash: Option<String>,
}

impl EmailClaims {
    pub(super) fn new(issuer: &str, audience: &str, email: &EmailAddress, lifetime: Lifetime) -> Self {
        Self {
            iss: issuer.to_owned(),
            sub: URL_SAFE_NO_PAD.encode(digest(&SHA256, email.as_str().as_bytes())),
            aud: audience.to_owned(),
            lifetime,
            email: email.as_str().to_owned(),
            email_verified: true,
            nonce: None,
            at_hash: None,
        }
    }
}

/// What GitHub puts into the token of a workflow run that a push to the main branch triggered. Like there, every
/// value but the times is a string. Numbers and commit hashes are made up from the names, the same at every call.
#[derive(Serialize)]
pub(super) struct GithubClaims {
    iss: String,
    sub: String,
    aud: String,
    #[serde(flatten)]
    lifetime: Lifetime,
    nbf: u64,
    jti: String,
    actor: String,
    actor_id: String,
    base_ref: &'static str,
    event_name: &'static str,
    head_ref: &'static str,
    job_workflow_ref: String,
    job_workflow_sha: String,
    #[serde(rename = "ref")]
    git_ref: &'static str,
    ref_protected: &'static str,
    ref_type: &'static str,
    repository: String,
    repository_id: String,
    repository_owner: String,
    repository_owner_id: String,
    repository_visibility: &'static str,
    run_attempt: &'static str,
    run_id: String,
    run_number: &'static str,
    runner_environment: &'static str,
    sha: String,
    workflow: &'static str,
    workflow_ref: String,
    workflow_sha: String,
}

impl GithubClaims {
    pub(super) fn new(issuer: &str, audience: &str, repository: &Repository, lifetime: Lifetime) -> Self {
        let name = repository.full_name();
        let owner = repository.owner();
        let workflow_ref = format!("{name}/{WORKFLOW_FILE}@{BRANCH}");
        let sha = made_up_commit(&name);
        Self {
            iss: issuer.to_owned(),
            sub: format!("repo:{name}:ref:{BRANCH}"),
            aud: audience.to_owned(),
            lifetime,
            nbf: lifetime.iat,
            jti: made_up_commit(&format!("{name}@{}", lifetime.iat)),
            actor: owner.to_owned(),
            actor_id: made_up_id(owner),
            base_ref: "",
            event_name: "push",
            head_ref: "",
            job_workflow_ref: workflow_ref.clone(),
            job_workflow_sha: sha.clone(),
            git_ref: BRANCH,
            ref_protected: "false",
            ref_type: "branch",
            repository_id: made_up_id(&name),
            repository_owner: owner.to_owned(),
            repository_owner_id: made_up_id(owner),
            repository_visibility: "public",
            run_attempt: "1",
            run_id: made_up_id(&format!("{name}#run")),
            run_number: "1",
            runner_environment: "github-hosted",
            sha: sha.clone(),
            workflow: "release",
            workflow_ref,
            workflow_sha: sha,
            repository: name,
        }
    }
}

/// Forty hexadecimal digits.
fn made_up_commit(name: &str) -> String {
    let mut text = hex::encode(digest(&SHA256, name.as_bytes()));
    text.truncate(40);
    text
}

/// A positive decimal number.
fn made_up_id(name: &str) -> String {
    let hash = digest(&SHA256, name.as_bytes());
    let number = hash
        .as_ref()
        .iter()
        .take(4)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (number + 1).to_string()
}
