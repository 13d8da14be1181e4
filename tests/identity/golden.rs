//! Golden identities: for a realistic set of claims, the exact name and extension values of the certificate.
//! A certificate's identity never changes between releases: if a test here fails, the code is wrong, not the test.

use mayfly::{extension::FulcioExtension as E, identity::SubjectName, trusted_issuer::ChallengeClaim};
use serde_json::json;

use crate::{
    GITHUB, apply, email_issuer, github, github_claims, issuer_file, names_by, parse, reason, values, with,
    without,
};

#[test]
fn github_actions() {
    let names = github(&github_claims()).unwrap();
    assert_eq!(
        names.subject(),
        &SubjectName::Uri(
            "https://github.com/octo-org/octo-automation/.github/workflows/build.yml@refs/heads/main".into()
        )
    );
    assert_eq!(
        values(&names),
        [
            (E::LegacyIssuer, GITHUB),
            (E::GithubWorkflowTrigger, "push"),
            (E::GithubWorkflowSha, "4e79b1a09c5c2d5a6f3e2f9d8a7b6c5d4e3f2a1b"),
            (E::GithubWorkflowName, "Release \u{1f680}"),
            (E::GithubWorkflowRepository, "octo-org/octo-repo"),
            (E::GithubWorkflowRef, "refs/tags/v1.2.3"),
            (E::Issuer, GITHUB),
            (
                E::BuildSignerUri,
                "https://github.com/octo-org/octo-automation/.github/workflows/build.yml@refs/heads/main"
            ),
            (E::BuildSignerDigest, "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432"),
            (E::RunnerEnvironment, "github-hosted"),
            (E::SourceRepositoryUri, "https://github.com/octo-org/octo-repo"),
            (
                E::SourceRepositoryDigest,
                "4e79b1a09c5c2d5a6f3e2f9d8a7b6c5d4e3f2a1b"
            ),
            (E::SourceRepositoryRef, "refs/tags/v1.2.3"),
            (E::SourceRepositoryIdentifier, "74"),
            (E::SourceRepositoryOwnerUri, "https://github.com/octo-org"),
            (E::SourceRepositoryOwnerIdentifier, "65"),
            (
                E::BuildConfigUri,
                "https://github.com/octo-org/octo-repo/.github/workflows/release.yml@refs/tags/v1.2.3"
            ),
            (E::BuildConfigDigest, "4e79b1a09c5c2d5a6f3e2f9d8a7b6c5d4e3f2a1b"),
            (E::BuildTrigger, "push"),
            (
                E::RunInvocationUri,
                "https://github.com/octo-org/octo-repo/actions/runs/1234567890/attempts/2"
            ),
            (E::SourceRepositoryVisibility, "private"),
            (E::DeploymentEnvironment, "production"),
            (E::TokenSubject, "repo:octo-org/octo-repo:environment:production"),
        ]
    );
}

#[test]
fn github_actions_without_an_environment_leaves_it_out() {
    let names = github(&without(github_claims(), "environment")).unwrap();
    assert_eq!(values(&names).len(), 22);
    assert!(
        values(&names)
            .iter()
            .all(|(extension, _)| *extension != E::DeploymentEnvironment)
    );
}

#[test]
fn email() {
    let claims = json!({"sub": "1145", "email": "alice@example.com", "email_verified": true});
    let names = names_by(&email_issuer(), &claims).unwrap();
    assert_eq!(names.subject(), &SubjectName::Email("alice@example.com".into()));
    assert_eq!(
        values(&names),
        [
            (E::LegacyIssuer, "https://accounts.example.com"),
            (E::Issuer, "https://accounts.example.com"),
            (E::TokenSubject, "1145"),
        ]
    );
}

#[test]
fn email_of_a_federated_issuer() {
    let claims = json!({
        "sub": "CgkxMTQ1",
        "email": "alice@example.com",
        "email_verified": true,
        "federated_claims": {"connector_id": "https://github.com/login/oauth", "user_id": "1145"}
    });
    let issuers = issuer_file();
    let dex = &issuers.find("https://dex.corp.example").unwrap()[0];
    let names = apply(dex, &claims).unwrap();
    assert_eq!(names.subject(), &SubjectName::Email("alice@example.com".into()));
    assert_eq!(
        values(&names),
        [
            (E::LegacyIssuer, "https://github.com/login/oauth"),
            (E::Issuer, "https://github.com/login/oauth"),
            (E::TokenSubject, "CgkxMTQ1"),
        ]
    );
    assert_eq!(
        reason(apply(dex, &without(claims, "federated_claims"))),
        "claim_missing"
    );
}

#[test]
fn uri() {
    let issuers = parse("    type: uri\n    subject-domain: https://users.example.com\n");
    let subject = "https://users.example.com/alice?team=a%20b";
    let names = names_by(&issuers, &json!({"sub": subject})).unwrap();
    assert_eq!(names.subject(), &SubjectName::Uri(subject.into()));
    assert_eq!(
        values(&names),
        [
            (E::LegacyIssuer, "https://accounts.example.com"),
            (E::Issuer, "https://accounts.example.com"),
            (E::TokenSubject, subject),
        ]
    );
}

#[test]
fn username() {
    let issuers = parse("    type: username\n    subject-domain: example.com\n");
    let names = names_by(&issuers, &json!({"sub": "al\u{ed}ce"})).unwrap();
    assert_eq!(
        names.subject(),
        &SubjectName::Username("al\u{ed}ce!example.com".into())
    );
    assert_eq!(
        values(&names),
        [
            (E::LegacyIssuer, "https://accounts.example.com"),
            (E::Issuer, "https://accounts.example.com"),
            (E::TokenSubject, "al\u{ed}ce"),
        ]
    );
    for subject in [
        "alice!evil.example",
        "alice@example.com",
        "\"a b\"@example.com",
        "",
        "a\u{0}b",
        "a\u{202e}b",
    ] {
        assert_eq!(
            reason(names_by(&issuers, &json!({"sub": subject}))),
            "subject_invalid",
            "{subject:?}"
        );
    }
}

#[test]
fn numbers_and_booleans_are_spelt_as_go_does() {
    let claims = with(github_claims(), "repository_id", json!(1_234_567_890_u64));
    let claims = with(claims, "run_attempt", json!(2.0));
    let claims = with(claims, "workflow", json!(true));
    let names = github(&claims).unwrap();
    let value = |wanted| {
        values(&names)
            .into_iter()
            .find(|(extension, _)| *extension == wanted)
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(value(E::SourceRepositoryIdentifier), "1234567890");
    assert!(value(E::RunInvocationUri).ends_with("/attempts/2"));
    assert_eq!(value(E::GithubWorkflowName), "true");
}

#[test]
fn values_are_never_evaluated() {
    for text in ["{{ .sha }}", "{{define \"value\"}}", "${sha}", "%s%n"] {
        let names = github(&with(github_claims(), "workflow", json!(text))).unwrap();
        assert!(values(&names).contains(&(E::GithubWorkflowName, text)), "{text}");
    }
}

#[test]
fn the_trigger_and_ref_of_a_pull_request_are_what_the_token_says() {
    let claims = with(github_claims(), "event_name", json!("pull_request_target"));
    let claims = with(claims, "ref", json!("refs/pull/7/merge"));
    let names = github(&claims).unwrap();
    for expected in [
        (E::GithubWorkflowTrigger, "pull_request_target"),
        (E::BuildTrigger, "pull_request_target"),
        (E::GithubWorkflowRef, "refs/pull/7/merge"),
        (E::SourceRepositoryRef, "refs/pull/7/merge"),
    ] {
        assert!(values(&names).contains(&expected), "{expected:?}");
    }
}

#[test]
fn the_challenge_follows_the_type_unless_configured() {
    for (entry, challenge) in [
        ("    type: email\n", ChallengeClaim::Email),
        (
            "    type: username\n    subject-domain: example.com\n",
            ChallengeClaim::Subject,
        ),
        (
            "    type: email\n    challenge-claim: sub\n",
            ChallengeClaim::Subject,
        ),
        (
            "    type: uri\n    subject-domain: https://example.com\n    challenge-claim: email\n",
            ChallengeClaim::Email,
        ),
    ] {
        assert_eq!(
            parse(entry).iter().next().unwrap().challenge(),
            challenge,
            "{entry}"
        );
    }
}

#[test]
fn issuers_describe_themselves() {
    let issuers = issuer_file();
    let described: Vec<_> = issuers
        .iter()
        .map(|issuer| {
            (
                issuer.issuer_type(),
                issuer.subject_domain(),
                issuer.challenge().name(),
            )
        })
        .collect();
    assert_eq!(
        described,
        [
            ("ci-provider", None, "sub"),
            ("email", None, "email"),
            ("email", None, "email"),
            ("email", None, "email"),
            ("uri", Some("https://services.corp.example"), "sub"),
        ]
    );
}
