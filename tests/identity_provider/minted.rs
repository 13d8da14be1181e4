//! Tokens made without a login, and the key that signs them.

use std::{fs, os::unix::fs::PermissionsExt};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use mayfly::{
    clock::{Clock, SystemClock},
    dev::{Issuers, KeyError, Minter, ProviderKey, issuer_file},
};
use serde_json::Value;

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims
}

#[test]
fn the_kept_key_signs_for_the_running_provider() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("oidc-key.pem");
    let created = ProviderKey::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        matches!(ProviderKey::create(&path), Err(KeyError::File { .. })),
        "never overwritten"
    );
    let opened = ProviderKey::open(&path).unwrap();
    assert_eq!(created.jwks(), opened.jwks());
    assert!(!format!("{opened:?}").contains("PRIVATE"));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(ProviderKey::open(&path), Err(KeyError::File { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let no_rsa = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let no_rsa = pem::Pem::new("PRIVATE KEY", no_rsa.unwrap().as_ref());
    let no_rsa = pem::encode_config(
        &no_rsa,
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    );
    fs::write(&path, no_rsa).unwrap();
    assert!(matches!(ProviderKey::open(&path), Err(KeyError::Malformed(_))));
}

#[test]
fn the_jwk_is_public() {
    let jwks = serde_json::to_value(ProviderKey::generate().unwrap().jwks()).unwrap();
    let key = jwks["keys"][0].as_object().unwrap();
    let mut names: Vec<_> = key.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!(
        (&key["kty"], &key["alg"], &key["use"]),
        (&"RSA".into(), &"RS256".into(), &"sig".into())
    );
}

#[test]
fn a_token_for_a_person() {
    let minter = Minter::new(
        ProviderKey::generate().unwrap(),
        Issuers::at("http://127.0.0.1:5555"),
    );
    let token = minter
        .email(
            &"you@example.com".parse().unwrap(),
            "elsewhere",
            SystemClock.now(),
        )
        .unwrap();
    let claims = claims(&token);
    assert_eq!(claims["iss"], "http://127.0.0.1:5555/dev/oidc");
    assert_eq!(claims["aud"], "elsewhere");
    assert_eq!(
        (&claims["email"], &claims["email_verified"]),
        (&"you@example.com".into(), &true.into())
    );
}

#[test]
fn a_token_for_a_workflow() {
    let minter = Minter::new(
        ProviderKey::generate().unwrap(),
        Issuers::at("http://127.0.0.1:5555"),
    );
    let now = SystemClock.now();
    let token = minter
        .github(&"octo-org/octo-repo".parse().unwrap(), "sigstore", now)
        .unwrap();
    let claims = claims(&token);
    let workflow = "octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main";
    for (name, value) in [
        ("iss", "http://127.0.0.1:5555/dev/github"),
        ("aud", "sigstore"),
        ("sub", "repo:octo-org/octo-repo:ref:refs/heads/main"),
        ("repository", "octo-org/octo-repo"),
        ("repository_owner", "octo-org"),
        ("ref", "refs/heads/main"),
        ("workflow_ref", workflow),
        ("job_workflow_ref", workflow),
        ("event_name", "push"),
        ("runner_environment", "github-hosted"),
        ("repository_visibility", "public"),
        ("run_attempt", "1"),
        ("workflow", "release"),
        ("actor", "octo-org"),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    for name in [
        "repository_id",
        "repository_owner_id",
        "actor_id",
        "run_id",
        "run_number",
    ] {
        assert!(
            claims[name].as_str().unwrap().parse::<u64>().unwrap() > 0,
            "{name}"
        );
    }
    for name in ["sha", "workflow_sha", "job_workflow_sha"] {
        assert_eq!(
            hex::decode(claims[name].as_str().unwrap()).unwrap().len(),
            20,
            "{name}"
        );
    }
    assert!(claims.get("email").is_none());
    assert_eq!(claims["exp"].as_u64().unwrap(), now.unix_seconds() + 600);
}

/// A template that names a missing claim is an error at issuance, so every name must be in the token or a default.
#[test]
fn the_issuer_file_asks_for_nothing_that_a_token_lacks() {
    let issuers = Issuers::at("http://127.0.0.1:5555");
    let file: Value = serde_saphyr::from_str(&issuer_file(&issuers)).unwrap();
    for (url, kind) in [(issuers.email(), "email"), (issuers.github(), "ci-provider")] {
        let issuer = &file["oidc-issuers"][url];
        assert_eq!(
            (&issuer["issuer-url"], &issuer["type"]),
            (&url.into(), &kind.into())
        );
        assert_eq!(issuer["client-id"], "sigstore");
    }
    let provider = &file["ci-issuer-metadata"][file["oidc-issuers"][issuers.github()]["ci-provider"]
        .as_str()
        .unwrap()];
    let minter = Minter::new(ProviderKey::generate().unwrap(), issuers);
    let token = minter
        .github(
            &"octo-org/octo-repo".parse().unwrap(),
            "sigstore",
            SystemClock.now(),
        )
        .unwrap();
    let claims = claims(&token);
    let known =
        |name: &str| claims.get(name).is_some() || provider["default-template-values"].get(name).is_some();
    let templates = provider["extension-templates"].as_object().unwrap().values();
    for template in templates.chain([&provider["subject-alternative-name-template"]]) {
        let template = template.as_str().unwrap();
        let names: Vec<&str> = match template.contains("{{") {
            true => template
                .split("{{ .")
                .skip(1)
                .map(|rest| rest.split_once(" }}").unwrap().0)
                .collect(),
            false => vec![template],
        };
        assert!(names.iter().all(|name| known(name)), "{template}");
    }
}
