//! Claims that have more than one reading: a token is refused for those that are read, and for no
//! others.

use mayfly::{
    admission::{AdmissionRules, Condition, KeyBinding, RateLimits},
    token::unverified_claims,
};

use super::*;

/// Members that parsers disagree about, under this name.
fn ambiguous(claim: &str) -> Vec<(&'static str, Vec<u8>)> {
    let member = |value: &str| format!("\"{claim}\":{value}");
    vec![
        ("twice", format!("{},{}", member("1"), member("1")).into()),
        (
            "twice, once escaped",
            format!(
                "{},\"\\u{:04x}{}\":2",
                member("1"),
                claim.as_bytes()[0],
                &claim[1..]
            )
            .into(),
        ),
        (
            "three times",
            format!("{},{},{}", member("1"), member("2"), member("3")).into(),
        ),
        (
            "twice, the first broken",
            format!("{},{}", member(r#"{"a":1,"a":1}"#), member("1")).into(),
        ),
        (
            "twice inside",
            member(r#"{"a":{"roles":[]},"a":{"roles":[]}}"#).into(),
        ),
        ("twice in depth", member(r#"[{"a":[{"b":1,"b":1}]}]"#).into()),
        ("half a surrogate pair", member(r#""x \ud83d""#).into()),
        ("Latin-1", [member("\"Andr").as_bytes(), b"\xe9\""].concat()),
        ("beyond a double", member("1e400").into()),
        (
            "nested too deeply",
            member(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))).into(),
        ),
    ]
}

/// A token with these members before the good ones, but for those named so.
fn token(fixture: &Fixture, claim: &str, members: &[u8]) -> String {
    let mut claims = fixture.claims();
    claims["email"] = json!("alice@example.com");
    claims["email_verified"] = json!(true);
    claims.as_object_mut().unwrap().remove(claim);
    let payload = [b"{", members, b",", &claims.to_string().as_bytes()[1..]].concat();
    fixture
        .key
        .token_of_bytes(fixture.key.header().to_string(), payload)
}

#[tokio::test]
async fn a_claim_that_nothing_reads_may_have_several_readings() {
    let fixture = Fixture::warm().await;
    for (name, members) in ambiguous("name") {
        let token = token(&fixture, "name", &members);
        let verified = verify(&fixture.verifier, &token).await.unwrap();
        assert_eq!(verified.claims().get("name"), None, "{name}");
        assert_eq!(verified.claims()["email"], "alice@example.com", "{name}");
    }
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
}

#[tokio::test]
async fn what_every_token_needs_has_one_reading() {
    let fixture = Fixture::warm().await;
    let mut rows = Vec::new();
    for claim in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "email",
        "email_verified",
    ] {
        for (name, members) in ambiguous(claim) {
            let token = token(&fixture, claim, &members);
            let told = verify(&fixture.verifier, &token).await.unwrap_err().to_string();
            assert!(
                told.contains(&format!("claim \"{claim}\"")),
                "{claim} {name}: {told}"
            );
            rows.push(Row(name, token, "token_malformed"));
        }
    }
    fixture.refuse_all(rows).await;
}

/// By every kind of rule: a value that was left out must not count as absent.
#[tokio::test]
async fn what_the_rules_of_the_entry_read_has_one_reading() {
    let fixture = Fixture::warm().await;
    let read_by = |claim: &str, rule: Rule, rules: AdmissionRules| {
        let name = IssuerName::exact(fixture.issuer.url()).unwrap();
        let audience = "sigstore".to_owned();
        let entry = TrustedIssuer::new(name, audience, ChallengeClaim::Subject, rule).with_admission(rules);
        (claim.to_owned(), entry)
    };
    let plain = |claim, rule| read_by(claim, rule, AdmissionRules::default());
    let condition = |text| {
        let condition = Condition::compile("ours", text).unwrap();
        AdmissionRules::new(vec![condition], RateLimits::default())
    };
    let bound = |binding| AdmissionRules::default().with_key_binding(Some(binding));
    let template = |text| mayfly::identity::Template::compile(text).unwrap();
    let pipeline = mayfly::identity::CiProvider::new(
        template("https://ci.example/{{ .project }}"),
        vec![(
            mayfly::extension::FulcioExtension::DeploymentEnvironment,
            template("environment"),
        )],
        &[("environment".to_owned(), "none".to_owned())].into(),
    );
    let pipeline = Rule::CiProvider(pipeline.into());
    for (claim, entry) in [
        plain("project", pipeline.clone()),
        plain("environment", pipeline),
        plain("kubernetes.io", Rule::Kubernetes),
        plain("act", Rule::Chainguard),
        read_by("groups", Rule::email(), condition("!('admin' in claims.groups)")),
        read_by("groups", Rule::email(), condition("!has(claims.groups)")),
        read_by("groups", Rule::email(), condition("claims['groups'] == 'a'")),
        read_by("groups", Rule::email(), condition("size(claims) < 100")),
        read_by("cnf", Rule::email(), bound(KeyBinding::Confirmation)),
        read_by("nonce", Rule::email(), bound(KeyBinding::Nonce)),
    ] {
        let issuers = TrustedIssuers::new(vec![entry]);
        let members = ambiguous(&claim);
        let tokens: Vec<_> = members
            .iter()
            .map(|(name, members)| (*name, token(&fixture, &claim, members)))
            .collect();
        for (name, token) in &tokens {
            let explained = unverified_claims(&RawToken::new(token.clone()), &issuers).unwrap_err();
            assert_eq!(explained.reason(), "token_malformed", "{claim} {name}");
        }
        let verifier = TokenVerifier::new(issuers, FetchPolicy::new(LoopbackHttp::Allowed)).unwrap();
        for (name, token) in tokens {
            let refused = verify(&verifier, &token).await.unwrap_err();
            assert_eq!(refused.reason(), "token_malformed", "{claim} {name}");
            assert_tells_nothing(&refused, &token, name);
        }
    }
}

#[tokio::test]
async fn the_refusal_names_the_claim_and_what_is_wrong_with_it() {
    let fixture = Fixture::warm().await;
    for (members, told) in [
        (
            r#""email":"a","email":"b""#,
            "claim \"email\" does not have one reading: it occurs twice;",
        ),
        (
            r#""email":{"x\n":1,"x\n":1}"#,
            "claim \"email\" does not have one reading: the member \"x\\n\" occurs twice at line 1",
        ),
    ] {
        let token = token(&fixture, "email", members.as_bytes());
        let refused = verify(&fixture.verifier, &token).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}
