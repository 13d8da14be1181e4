//! Claims that give no identity, each with its reason.

use serde_json::{Map, Value, json};

use crate::{
    email_issuer, github, github_claims, issuer_file, names_by, parse, reason, values, with, without,
};

#[test]
fn email_verified_is_taken_strictly() {
    let strict = email_issuer();
    let trusting = parse("    type: email\n    skip-email-verification: true\n");
    for (verified, with_check, without_check) in [
        (json!(true), "accepted", "accepted"),
        (json!("true"), "accepted", "accepted"),
        (json!("True"), "accepted", "accepted"),
        (json!(false), "email_not_verified", "accepted"),
        (json!("false"), "email_not_verified", "accepted"),
        (json!("False"), "email_not_verified", "accepted"),
        (json!("TRUE"), "claim_invalid", "claim_invalid"),
        (json!("yes"), "claim_invalid", "claim_invalid"),
        (json!(""), "claim_invalid", "claim_invalid"),
        (json!(1), "claim_invalid", "claim_invalid"),
        (json!(0), "claim_invalid", "claim_invalid"),
        (json!(null), "claim_invalid", "claim_invalid"),
        (json!([true]), "claim_invalid", "claim_invalid"),
    ] {
        let claims = json!({"sub": "1", "email": "a@example.com", "email_verified": verified});
        assert_eq!(reason(names_by(&strict, &claims)), with_check, "{verified}");
        assert_eq!(reason(names_by(&trusting, &claims)), without_check, "{verified}");
    }
    let claims = json!({"sub": "1", "email": "a@example.com"});
    assert_eq!(reason(names_by(&strict, &claims)), "email_not_verified");
    assert_eq!(reason(names_by(&trusting, &claims)), "accepted");
}

#[test]
fn email_addresses_that_a_certificate_cannot_carry() {
    let issuers = email_issuer();
    for (email, expected) in [
        (json!(null), "email_invalid"),
        (json!(["a@example.com"]), "email_invalid"),
        (json!(""), "email_missing"),
        (json!("a@b@example.com"), "email_invalid"),
        (json!("\"a b\"@example.com"), "email_invalid"),
        (json!("a@b"), "email_invalid"),
        (json!("a@[127.0.0.1]"), "email_invalid"),
        (json!("\u{430}lice@example.com"), "email_invalid"),
        (json!("alice@example.com\u{0}.evil.example"), "email_invalid"),
        (json!("alice@example.com\r\n"), "email_invalid"),
        (
            json!(format!("alice@{}.example", "a.".repeat(200))),
            "email_invalid",
        ),
    ] {
        let claims = json!({"sub": "1", "email": email, "email_verified": true});
        assert_eq!(reason(names_by(&issuers, &claims)), expected, "{email}");
    }
    assert_eq!(
        reason(names_by(&issuers, &json!({"sub": "1", "email_verified": true}))),
        "email_missing"
    );
}

#[test]
fn uris_of_others_are_refused() {
    let issuers = parse("    type: uri\n    subject-domain: https://example.com\n");
    for subject in [
        "https://example.com",
        "https://example.com/a",
        "https://example.com:8443/a",
        "https://example.com?a",
    ] {
        assert_eq!(
            reason(names_by(&issuers, &json!({"sub": subject}))),
            "accepted",
            "{subject:?}"
        );
    }
    for subject in [
        "",
        "alice@example.com",
        "example.com/a",
        "/a",
        "http://example.com/a",
        "HTTPS://example.com/a",
        "https://EXAMPLE.com/a",
        "https://example.com.evil.example/a",
        "https://evil.example/https://example.com",
        "https://example.com@evil.example/",
        "https://example.com:pw@evil.example/",
        "https://user@example.com/a",
        "https://example.com\\@evil.example/",
        "https://users.example.com/a",
        "https:example.com/a",
        "https:///example.com/a",
        "https://exa mple.com/a",
        "https://example.com/../a",
        "https://example.com/%2e%2e/a b",
        "https://ex\u{e4}mple.com/",
        "https://example.com/?\u{e9}",
        "https://example.com/100%",
        "javascript:alert(1)",
        "https://example.com/a\u{0}",
    ] {
        assert_eq!(
            reason(names_by(&issuers, &json!({"sub": subject}))),
            "subject_invalid",
            "{subject:?}"
        );
    }
}

#[test]
fn control_characters_and_long_values_are_refused_never_altered() {
    for claim in ["repository", "ref", "workflow", "job_workflow_ref"] {
        for text in [
            "a\u{0}b".to_owned(),
            "a\nb".to_owned(),
            "a\u{202e}b".to_owned(),
            "a".repeat(64 * 1024),
        ] {
            let claims = with(github_claims(), claim, json!(text));
            assert_eq!(reason(github(&claims)), "claim_invalid", "{claim}");
        }
    }
    for subject in [
        "a\u{0}b".to_owned(),
        "a\u{2066}b".to_owned(),
        "a".repeat(64 * 1024),
    ] {
        assert_eq!(
            reason(github(&with(github_claims(), "sub", json!(subject)))),
            "subject_invalid"
        );
    }
}

#[test]
fn claims_that_do_not_make_a_uri_are_refused() {
    for text in [
        "a/../../b@refs/heads/main",
        "a/%2e%2e/b c@refs/heads/main",
        "a/%zz",
        "a/b@refs/heads/100% c",
    ] {
        let claims = with(github_claims(), "job_workflow_ref", json!(text));
        assert_eq!(reason(github(&claims)), "san_invalid", "{text}");
    }
}

#[test]
fn claims_of_the_wrong_type_missing_or_empty() {
    assert_eq!(
        reason(github(&with(github_claims(), "job_workflow_ref", json!(null)))),
        "claim_invalid"
    );
    for value in [json!([]), json!({"a": "b"})] {
        for claim in ["job_workflow_ref", "sha", "environment"] {
            let claims = with(github_claims(), claim, value.clone());
            assert_eq!(reason(github(&claims)), "claim_invalid", "{claim} {value}");
        }
    }
    for claim in ["job_workflow_ref", "sha", "run_attempt"] {
        let error = github(&without(github_claims(), claim)).unwrap_err();
        assert_eq!(error.reason(), "claim_missing");
        assert!(error.to_string().contains(&format!("`{claim}`")), "{error}");
    }
    // An empty part of the name would name every workflow; an empty extension is left out.
    assert_eq!(
        reason(github(&with(github_claims(), "job_workflow_ref", json!("")))),
        "claim_invalid"
    );
    assert_eq!(
        values(&github(&with(github_claims(), "sha", json!(""))).unwrap()).len(),
        21
    );
    // Claims that no template reads do not matter.
    assert_eq!(
        reason(github(&with(github_claims(), "actor", json!({"\u{0}": null})))),
        "accepted"
    );
}

#[test]
fn errors_name_the_claim_and_never_its_value() {
    let secret = "s3cret-value\u{0}";
    let issuers = email_issuer();
    let email = json!({"sub": "1", "email": secret, "email_verified": true});
    for error in [
        github(&with(github_claims(), "repository", json!(secret))).unwrap_err(),
        github(&with(github_claims(), "sub", json!(secret))).unwrap_err(),
        github(&with(
            github_claims(),
            "job_workflow_ref",
            json!("s3cret-value %zz"),
        ))
        .unwrap_err(),
        names_by(&issuers, &email).unwrap_err(),
    ] {
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

#[test]
fn no_claims_at_all_are_an_error_for_every_type() {
    for issuer in issuer_file().iter() {
        assert!(
            issuer
                .rule()
                .apply(issuer.name().as_str(), "", &Map::new())
                .is_err(),
            "{}",
            issuer.name().as_str()
        );
    }
}

#[test]
fn spiffe_ids_of_others_and_in_other_spellings_are_refused() {
    let issuers = parse("    type: spiffe\n    spiffe-trust-domain: example.com\n");
    let good = "spiffe://example.com/ns/ci/sa/signer";
    assert_eq!(reason(names_by(&issuers, &json!({"sub": good}))), "accepted");
    for subject in [
        "spiffe://example.org/ns/ci",
        "spiffe://sub.example.com/ns/ci",
        "spiffe://example.com.evil.example/ns/ci",
        "spiffe://evil.example/spiffe://example.com/a",
        "spiffe://example.com:8443/ns/ci",
        "spiffe://user@example.com/ns/ci",
        "spiffe://Example.com/ns/ci",
        "SPIFFE://example.com/ns/ci",
        "spiffe://example.com/",
        "spiffe://example.com/a/",
        "spiffe://example.com//a",
        "spiffe://example.com/a/../b",
        "spiffe://example.com/a/./b",
        "spiffe://example.com/%61",
        "spiffe://example.com/a?b",
        "spiffe://example.com/a#b",
        "spiffe://example.com/a b",
        "spiffe://example.com/\u{e4}",
        "https://example.com/ns/ci",
        "example.com/ns/ci",
        "spiffe:///ns/ci",
    ] {
        assert_eq!(
            reason(names_by(&issuers, &json!({"sub": subject}))),
            "subject_invalid",
            "{subject:?}"
        );
    }
}

#[test]
fn service_accounts_without_a_name_or_with_a_misleading_one_are_refused() {
    let issuers = parse("    type: kubernetes\n");
    let claims = |namespace: Value, account: Value| json!({"sub": "1", "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account}}});
    assert_eq!(
        reason(names_by(&issuers, &claims(json!("ci"), json!("signer.v1-a")))),
        "accepted"
    );
    for name in [
        "", "a/b", "..", ".", "a/../b", "-a", "a-", "A", "a b", "a%2fb", "\u{e4}", "a\n",
    ] {
        for claims in [
            claims(json!(name), json!("signer")),
            claims(json!("ci"), json!(name)),
        ] {
            assert_eq!(reason(names_by(&issuers, &claims)), "claim_invalid", "{claims}");
        }
    }
    for claims in [
        claims(json!(["ci"]), json!("signer")),
        claims(json!("ci"), json!({})),
        claims(json!("a".repeat(254)), json!("b")),
    ] {
        assert_eq!(reason(names_by(&issuers, &claims)), "claim_invalid", "{claims}");
    }
    for claims in [
        json!({"sub": "1"}),
        json!({"sub": "1", "kubernetes.io": "ci"}),
        json!({"sub": "1", "kubernetes.io": {"namespace": "ci"}}),
    ] {
        assert_eq!(reason(names_by(&issuers, &claims)), "claim_missing", "{claims}");
    }
}

/// What could name somebody else's project once paths are put together.
#[test]
fn parts_of_a_legacy_types_name_that_reach_beyond_their_place_are_refused() {
    let codefresh = parse("    type: codefresh-workflow\n");
    let claims = json!({
        "sub": "1", "account_id": "1", "pipeline_id": "2", "workflow_id": "3", "account_name": "acme", "pipeline_name": "build",
    });
    assert_eq!(reason(names_by(&codefresh, &claims)), "accepted");
    for (claim, value) in [
        ("pipeline_name", "../other/build"),
        ("account_name", ".."),
        ("pipeline_id", "a/%2E%2E/b"),
        ("platform_url", "https://g.codefresh.io/?x="),
        ("platform_url", "https://g.codefresh.io/#"),
        ("platform_url", "//g.codefresh.io"),
        ("workflow_id", "100%"),
    ] {
        let outcome = reason(names_by(&codefresh, &with(claims.clone(), claim, json!(value))));
        assert!(
            ["san_invalid", "extension_invalid", "claim_invalid"].contains(&outcome),
            "{claim} {value}: {outcome}"
        );
    }
}
