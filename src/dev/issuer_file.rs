//! The issuer file that trusts the development identity provider, in Fulcio's format.

use super::{CLIENT_ID, mint::Issuers};

/// The GitHub templates are those of Fulcio's public instance, so that a certificate looks as it
/// would there; GitHub's URL is no default, which a claim could replace.
const GITHUB_TEMPLATES: &str = r#"ci-issuer-metadata:
  github-workflow:
    default-template-values:
      environment: ""
    extension-templates:
      github-workflow-trigger: "event_name"
      github-workflow-sha: "sha"
      github-workflow-name: "workflow"
      github-workflow-repository: "repository"
      github-workflow-ref: "ref"
      build-signer-uri: "https://github.com/{{ .job_workflow_ref }}"
      build-signer-digest: "job_workflow_sha"
      runner-environment: "runner_environment"
      source-repository-uri: "https://github.com/{{ .repository }}"
      source-repository-digest: "sha"
      source-repository-ref: "ref"
      source-repository-identifier: "repository_id"
      source-repository-owner-uri: "https://github.com/{{ .repository_owner }}"
      source-repository-owner-identifier: "repository_owner_id"
      build-config-uri: "https://github.com/{{ .workflow_ref }}"
      build-config-digest: "workflow_sha"
      build-trigger: "event_name"
      run-invocation-uri: "https://github.com/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}"
      source-repository-visibility-at-signing: "repository_visibility"
      deployment-environment: "environment"
    subject-alternative-name-template: "https://github.com/{{ .job_workflow_ref }}"
"#;

/// The file's text: the email issuer and the GitHub-shaped one, at their present URLs.
#[must_use]
pub fn issuer_file(issuers: &Issuers) -> String {
    let (email, github) = (issuers.email(), issuers.github());
    format!(
        "# Written by `mayfly dev` at every start: changes are lost. Own issuers belong to `mayfly serve`.\n\
         oidc-issuers:\n\
         \x20 {email}:\n\
         \x20   issuer-url: {email}\n\
         \x20   client-id: {CLIENT_ID}\n\
         \x20   type: email\n\
         \x20   description: development login page\n\
         \x20 {github}:\n\
         \x20   issuer-url: {github}\n\
         \x20   client-id: {CLIENT_ID}\n\
         \x20   type: ci-provider\n\
         \x20   ci-provider: github-workflow\n\
         \x20   description: development tokens shaped as those of GitHub Actions\n\
         {GITHUB_TEMPLATES}"
    )
}
