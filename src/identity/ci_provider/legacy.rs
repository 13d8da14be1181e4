//! The issuer types that Fulcio had for single providers before `ci-provider`, as data for the same engine.
//!
//! They differ from the entries of today's public issuer file: claims must be strings and some must not be empty, base
//! URLs are fixed, and URIs are put together by path elements.

use std::sync::{Arc, LazyLock};

use super::{CiProvider, Form, Need, Presence, Rendering, Template};
use crate::extension::FulcioExtension::{self, *};

/// The names of these types.
pub const LEGACY_TYPES: [&str; 4] = [
    GITHUB.issuer_type,
    GITLAB.issuer_type,
    BUILDKITE.issuer_type,
    CODEFRESH.issuer_type,
];

struct Legacy {
    issuer_type: &'static str,
    /// Claims that must be strings and not empty.
    required: &'static [&'static str],
    /// Claims that are empty if the token lacks them.
    optional: &'static [&'static str],
    /// Claims with a rule of their own.
    special: &'static [(&'static str, Need)],
    subject: (Form, &'static str),
    extensions: &'static [(FulcioExtension, Form, &'static str)],
}

static COMPILED: LazyLock<Vec<Arc<CiProvider>>> = LazyLock::new(|| {
    [GITHUB, GITLAB, BUILDKITE, CODEFRESH]
        .iter()
        .filter_map(Legacy::compile)
        .collect()
});

impl CiProvider {
    /// The rule of a legacy type.
    #[must_use]
    pub fn legacy(issuer_type: &str) -> Option<Arc<Self>> {
        COMPILED
            .iter()
            .find(|provider| provider.issuer_type == issuer_type)
            .map(Arc::clone)
    }
}

const fn required(problem: fn(&str) -> Option<&'static str>) -> Need {
    Need::Text {
        presence: Presence::Required,
        problem,
    }
}

const fn optional(problem: fn(&str) -> Option<&'static str>) -> Need {
    Need::Text {
        presence: Presence::Optional,
        problem,
    }
}

fn ref_type(value: &str) -> Option<&'static str> {
    (!["branch", "tag"].contains(&value)).then_some("is neither `branch` nor `tag`")
}

/// Fulcio takes a host with a port for a scheme, and certifies what nobody would look for.
fn no_port(value: &str) -> Option<&'static str> {
    let host = value.split('/').next().unwrap_or_default();
    host.contains(':')
        .then_some("has a scheme or a port, with which this type of issuer cannot do: use `ci-provider`")
}

/// What follows is put behind it.
fn no_query(value: &str) -> Option<&'static str> {
    value.contains(['?', '#']).then_some("has a query or fragment")
}

impl Legacy {
    fn compile(&self) -> Option<Arc<CiProvider>> {
        let rendering = |form, source| {
            Template::compile(source)
                .ok()
                .map(|template| Rendering { template, form })
        };
        let extensions = self
            .extensions
            .iter()
            .map(|(extension, form, source)| Some((*extension, rendering(*form, source)?)))
            .collect::<Option<_>>()?;
        let required = self.required.iter().map(|name| (*name, required(|_| None)));
        let optional = self.optional.iter().map(|name| (*name, optional(|_| None)));
        let special = self.special.iter().cloned();
        Some(Arc::new(CiProvider {
            issuer_type: self.issuer_type,
            subject: rendering(self.subject.0, self.subject.1)?,
            extensions,
            claims: required
                .chain(optional)
                .chain(special)
                .map(|(name, need)| (name.into(), need))
                .collect(),
        }))
    }
}

const GITHUB: Legacy = Legacy {
    issuer_type: "github-workflow",
    required: &[
        "event_name",
        "job_workflow_ref",
        "job_workflow_sha",
        "ref",
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "repository_visibility",
        "run_attempt",
        "run_id",
        "runner_environment",
        "sha",
        "workflow",
        "workflow_ref",
        "workflow_sha",
    ],
    optional: &[],
    special: &[],
    subject: (Form::JoinedUri, "https://github.com/{{ .job_workflow_ref }}"),
    extensions: &[
        (GithubWorkflowTrigger, Form::Text, "event_name"),
        (GithubWorkflowSha, Form::Text, "sha"),
        (GithubWorkflowName, Form::Text, "workflow"),
        (GithubWorkflowRepository, Form::Text, "repository"),
        (GithubWorkflowRef, Form::Text, "ref"),
        (
            BuildSignerUri,
            Form::JoinedUri,
            "https://github.com/{{ .job_workflow_ref }}",
        ),
        (BuildSignerDigest, Form::Text, "job_workflow_sha"),
        (RunnerEnvironment, Form::Text, "runner_environment"),
        (
            SourceRepositoryUri,
            Form::JoinedUri,
            "https://github.com/{{ .repository }}",
        ),
        (SourceRepositoryDigest, Form::Text, "sha"),
        (SourceRepositoryRef, Form::Text, "ref"),
        (SourceRepositoryIdentifier, Form::Text, "repository_id"),
        (
            SourceRepositoryOwnerUri,
            Form::JoinedUri,
            "https://github.com/{{ .repository_owner }}",
        ),
        (SourceRepositoryOwnerIdentifier, Form::Text, "repository_owner_id"),
        (
            BuildConfigUri,
            Form::JoinedUri,
            "https://github.com/{{ .workflow_ref }}",
        ),
        (BuildConfigDigest, Form::Text, "workflow_sha"),
        (BuildTrigger, Form::Text, "event_name"),
        (
            RunInvocationUri,
            Form::JoinedUri,
            "https://github.com/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
        ),
        (SourceRepositoryVisibility, Form::Text, "repository_visibility"),
    ],
};

const GITLAB: Legacy = Legacy {
    issuer_type: "gitlab-pipeline",
    required: &[
        "job_id",
        "namespace_id",
        "namespace_path",
        "pipeline_id",
        "pipeline_source",
        "project_id",
        "project_path",
        "ref",
        "runner_environment",
        "sha",
    ],
    optional: &["ci_config_sha", "project_visibility"],
    special: &[
        ("ci_config_ref_uri", required(no_port)),
        ("ref_type", required(ref_type)),
        ("runner_id", Need::Number),
    ],
    subject: (Form::Uri, "https://{{ .ci_config_ref_uri }}"),
    extensions: &[
        (BuildSignerUri, Form::Uri, "https://{{ .ci_config_ref_uri }}"),
        (BuildSignerDigest, Form::Text, "ci_config_sha"),
        (RunnerEnvironment, Form::Text, "runner_environment"),
        (
            SourceRepositoryUri,
            Form::JoinedUri,
            "https://gitlab.com/{{ .project_path }}",
        ),
        (SourceRepositoryDigest, Form::Text, "sha"),
        (
            SourceRepositoryRef,
            Form::Text,
            r#"refs/{{ if eq .ref_type "branch" }}heads{{ else }}tags{{ end }}/{{ .ref }}"#,
        ),
        (SourceRepositoryIdentifier, Form::Text, "project_id"),
        (
            SourceRepositoryOwnerUri,
            Form::JoinedUri,
            "https://gitlab.com/{{ .namespace_path }}",
        ),
        (SourceRepositoryOwnerIdentifier, Form::Text, "namespace_id"),
        (BuildConfigUri, Form::Uri, "https://{{ .ci_config_ref_uri }}"),
        (BuildConfigDigest, Form::Text, "ci_config_sha"),
        (BuildTrigger, Form::Text, "pipeline_source"),
        (
            RunInvocationUri,
            Form::JoinedUri,
            "https://gitlab.com/{{ .project_path }}/-/jobs/{{ .job_id }}",
        ),
        (SourceRepositoryVisibility, Form::Text, "project_visibility"),
    ],
};

const BUILDKITE: Legacy = Legacy {
    issuer_type: "buildkite-job",
    required: &["organization_slug", "pipeline_slug"],
    optional: &[],
    special: &[],
    subject: (
        Form::Uri,
        "https://buildkite.com/{{ .organization_slug }}/{{ .pipeline_slug }}",
    ),
    extensions: &[],
};

/// A path below the platform's URL, which the token may name.
macro_rules! codefresh {
    ($path:literal) => {
        concat!(
            "{{ if .platform_url }}{{ .platform_url }}{{ else }}https://g.codefresh.io{{ end }}",
            $path
        )
    };
}

const CODEFRESH: Legacy = Legacy {
    issuer_type: "codefresh-workflow",
    required: &["account_id", "pipeline_id", "workflow_id"],
    optional: &[
        "account_name",
        "pipeline_name",
        "runner_environment",
        "scm_ref",
        "scm_repo_url",
    ],
    special: &[("platform_url", optional(no_query))],
    subject: (
        Form::JoinedUri,
        codefresh!("/{{ .account_name }}/{{ .pipeline_name }}:{{ .account_id }}/{{ .pipeline_id }}"),
    ),
    extensions: &[
        (
            BuildSignerUri,
            Form::JoinedUri,
            codefresh!("/build/{{ .workflow_id }}"),
        ),
        (RunnerEnvironment, Form::Text, "runner_environment"),
        (SourceRepositoryUri, Form::Text, "scm_repo_url"),
        (SourceRepositoryRef, Form::Text, "scm_ref"),
        (
            BuildConfigUri,
            Form::JoinedUri,
            codefresh!("/api/pipelines/{{ .pipeline_id }}"),
        ),
        (
            RunInvocationUri,
            Form::JoinedUri,
            codefresh!("/build/{{ .workflow_id }}"),
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_legacy_type_compiles() {
        for issuer_type in LEGACY_TYPES {
            assert!(CiProvider::legacy(issuer_type).is_some(), "{issuer_type}");
        }
        assert!(CiProvider::legacy("ci-provider").is_none());
    }
}
