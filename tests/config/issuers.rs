//! The issuer file.

use std::path::Path;

use mayfly::{
    config::issuers,
    token::{FetchPolicy, LoopbackHttp},
};

use crate::{lines, policy};

fn issuer_problems(text: &str) -> Vec<String> {
    let file = Path::new("issuers.yaml");
    match issuers::parse(file, text, &policy()) {
        Ok(issuers) => panic!("accepted: {issuers:?}"),
        Err(errors) => lines(&errors, file),
    }
}

fn issuer_url_problem(url: &str) -> Option<String> {
    let text = format!("oidc-issuers:\n  \"{url}\": {{client-id: a, type: email}}\n");
    let errors = issuers::parse(Path::new("issuers.yaml"), &text, &policy()).err()?;
    let [problem] = errors.problems() else {
        panic!("{errors}")
    };
    Some(problem.what().to_owned())
}

#[test]
fn the_normal_form_of_a_url_is_offered_without_a_slash_that_was_not_there() {
    for (url, normal) in [
        ("https://idp.example.com./", "https://idp.example.com/"),
        ("https://IDP.example.com:0443", "https://idp.example.com"),
        ("https://IDP.example.com/a/../b", "https://idp.example.com/b"),
    ] {
        let text = format!("oidc-issuers: {{\"{url}\": {{client-id: a, type: email}}}}\n");
        let problems = issuer_problems(&text);
        assert!(
            problems[0].contains(&format!("Did you mean `{normal}`?")),
            "{problems:?}"
        );
    }
}

#[test]
fn the_example_issuer_file_loads() {
    let issuers = issuers::load(Path::new("config/issuers.yaml"), &policy())
        .unwrap()
        .issuers;
    assert_eq!(issuers.iter().count(), 5);
    let google = &issuers.find("https://accounts.google.com").unwrap()[0];
    assert_eq!(google.audience(), "1234567890-example.apps.googleusercontent.com");
}

#[test]
fn every_problem_of_the_issuer_file_is_reported_at_once() {
    let problems = issuer_problems(
        "oidc-isuers: {}
oidc-issuers:
  https://a.example:
    issuer-url: https://b.example
    client-id: \"\"
    type: emial
  https://c.example:
    clientid: x
    type: ci-provider
    ci-provider: githb
  https://d.example:
    client-id: x
    type: email
    issuer-claim: $.a[*]
    allow: repository_owner == 'a'
    challenge-claim: name
    skip-email-verification: maybe
  https://e.example:
    client-id: x
    type: uri
    subject-domain: https://e.example.org
  https://f.example: {client-id: x, type: username, subject-domain: https://f.example}
  https://g.example: [client-id, x]
  https://h.example: {type: uri, client-id: [x]}
ci-issuer-metadata:
  github:
    extension-templates:
      build-signer-url: a
      issuer: iss
      build-trigger: '{{ .a'
      run-invocation-uri: '{{ nonsense .a }}'
    subject-alternative-name-template: '{{range .a}}{{end}}'
    SubjectTemplate: x
",
    );
    let expected = [
        "1: oidc-isuers: is not a known key. Did you mean `oidc-issuers`?",
        "4: oidc-issuers[https://a.example].issuer-url: differs from the key of its entry, `https://a.example`. \
         Write the same URL in both places",
        "5: oidc-issuers[https://a.example].client-id: is empty. \
         Set it to the audience that tokens are requested for, such as `mayfly.example.com`",
        "6: oidc-issuers[https://a.example].type: `emial` is not a type of issuer. Did you mean `email`?",
        "7: oidc-issuers[https://c.example]: `client-id` is missing. \
         Set it to the audience that tokens are requested for, such as `mayfly.example.com`",
        "8: oidc-issuers[https://c.example].clientid: is not a known key. Did you mean `client-id`?",
        "10: oidc-issuers[https://c.example].ci-provider: `githb` is not an entry of `ci-issuer-metadata`. \
         Did you mean `github`?",
        "14: oidc-issuers[https://d.example].issuer-claim: is not a JSON path to one place: only names are supported, \
         as in $.a.b or $['a']. Write it as $.federated_claims.connector_id",
        "15: oidc-issuers[https://d.example].allow: uses `repository_owner`, which is not known. \
         Did you mean `claims.repository_owner`?",
        "16: oidc-issuers[https://d.example].challenge-claim: must be `email` or `sub`",
        "17: oidc-issuers[https://d.example].skip-email-verification: must be true or false",
        "21: oidc-issuers[https://e.example].subject-domain: must have the same last two labels as the host of \
         issuer-url, so that an issuer vouches for its own domain only",
        "22: oidc-issuers[https://f.example].subject-domain: \
         must not have a scheme: write the host name alone, such as example.com",
        "23: oidc-issuers[https://g.example]: must be a mapping. Write `key: value` lines below it",
        "24: oidc-issuers[https://h.example].client-id: must be a single audience. For several, use `audiences`, with each as a key",
        "24: oidc-issuers[https://h.example]: `subject-domain` is missing. \
         Set it to the domain whose names this issuer gives out",
        "28: ci-issuer-metadata.github.extension-templates.build-signer-url: is not the name of an extension. \
         Did you mean `build-signer-uri`?",
        "30: ci-issuer-metadata.github.extension-templates.build-trigger: is not a valid Go template: ",
        "31: ci-issuer-metadata.github.extension-templates.run-invocation-uri: calls the function `nonsense`, \
         which is not supported (supported: and, eq, index, ne, not, or, print, printf)",
        "32: ci-issuer-metadata.github.subject-alternative-name-template: uses a loop, which is not supported: \
         use fields, `index . \"name\"`, and if/else/end",
        "33: ci-issuer-metadata.github.SubjectTemplate: is not a known key. ",
    ];
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "got  {problem}\nwant {expected}");
    }
    assert_eq!(problems.len(), expected.len());
}

#[test]
fn fulcios_notation_is_understood() {
    let text = "define:
  - &github \"github-workflow\"
oidc-issuers:
  https://ci.example:
    issuer-url: https://ci.example
    client-id: 0123
    type: ci-provider
    ci-provider: *github
    description: \"CI\"
    contact: ci@example.com
    environment: staging
ci-issuer-metadata:
  *github:
    default-template-values:
      url: https://ci.example
      empty:
    extension-templates:
      build-trigger: \"\"
      run-invocation-uri: '{{.url}}/{{(index . \"ci.example/job\")}}'
    subject-alternative-name-template: \"{{ .url }}/{{ .repository }}\"
";
    let issuers = issuers::parse(Path::new("issuers.yaml"), text, &policy())
        .unwrap()
        .issuers;
    let issuer = &issuers.find("https://ci.example").unwrap()[0];
    assert_eq!((issuer.audience(), issuer.issuer_type()), ("0123", "ci-provider"));
}

#[test]
fn an_issuer_given_twice_is_refused() {
    let entry = "{client-id: a, type: email}";
    let text = format!("oidc-issuers:\n  https://a.example: {entry}\n  https://a.example: {entry}\n");
    assert_eq!(
        issuer_problems(&text),
        ["3: oidc-issuers[https://a.example]: is given twice (first on line 2). Keep one of them"]
    );
}

#[test]
fn issuer_urls_are_https_and_nothing_but_a_url() {
    for url in [
        "https://accounts.google.com",
        "https://example.com/",
        "https://example.com:8443/realms/staff",
        "http://localhost:8080",
        "http://127.0.0.1:1234/dex",
        "http://[::1]:8080/a",
    ] {
        assert_eq!(issuer_url_problem(url), None, "{url}");
    }
    for (url, what) in [
        ("accounts.google.com", "is not a URL"),
        ("", "is not a URL"),
        ("http://example.com", "must begin with https://"),
        ("http://localhost.example.com", "must begin with https://"),
        ("http://127.0.0.1.example.com", "must begin with https://"),
        ("ftp://example.com", "must begin with https://"),
        ("https://example.com?a=b", "must not have a query or fragment"),
        ("https://example.com/a#", "must not have a query or fragment"),
        (
            "https://user@example.com",
            "must not hold a user name or password",
        ),
        ("https://example.com:0443", "is not in its normal form"),
        ("https://example.com:", "is not in its normal form"),
        ("https://exam\\tple.com", "is not in its normal form"),
        ("https://ex%61mple.com", "is not in its normal form"),
        ("https://b\u{fc}cher.example", "is not in its normal form"),
        ("https://example.com\\\\a", "is not in its normal form"),
        ("https:///example.com", "is not in its normal form"),
        ("https://10.7/a", "is not in its normal form"),
        ("https://example.com/a/../b", "is not in its normal form"),
        (" https://example.com", "is not in its normal form"),
        ("https://example.com/a b", "is not in its normal form"),
        ("https:example.com", "is not in its normal form"),
    ] {
        assert_eq!(issuer_url_problem(url).as_deref(), Some(what), "{url}");
    }
}

#[test]
fn a_key_without_a_value_is_refused() {
    assert_eq!(
        issuer_problems("oidc-issuers:\n  https://a.example:\n    client-id: a\n    type:\n"),
        ["4: oidc-issuers[https://a.example].type: has no value. Give it one, or remove the key"]
    );
    assert_eq!(
        issuer_problems("oidc-issuers: {}\n"),
        [" names no issuer. Name at least one below `oidc-issuers`; config/issuers.yaml is a starting point"]
    );
}

/// What is warned about, without the file's name.
fn warnings(text: &str) -> Vec<String> {
    let file = issuers::parse(Path::new("issuers.yaml"), text, &policy())
        .unwrap_or_else(|errors| panic!("{errors}"));
    let strip = |warning: &mayfly::config::Problem| warning.to_string().replacen("issuers.yaml:", "", 1);
    file.warnings.iter().map(strip).collect()
}

/// An issuer's tokens have whatever it calls itself.
#[test]
fn an_issuer_may_be_spelt_otherwise_than_in_normal_form_with_a_warning() {
    for (url, normal) in [
        ("https://ADFS.corp.example/adfs", "https://adfs.corp.example/adfs"),
        ("HTTPS://adfs.corp.example", "https://adfs.corp.example"),
        ("https://IDP.example.com/", "https://idp.example.com/"),
        (
            "https://idp.corp.example:443/oidc/OP",
            "https://idp.corp.example/oidc/OP",
        ),
        (
            "https://[2620:10A:A001::1085]:30556/dex",
            "https://[2620:10a:a001::1085]:30556/dex",
        ),
        ("https://[2620:010a:0::1]", "https://[2620:10a::1]"),
    ] {
        let text = format!("oidc-issuers: {{\"{url}\": {{client-id: a, type: email}}}}\n");
        let suggestion =
            format!("Keep it if the `iss` of the tokens is that, letter for letter; or use `{normal}`");
        assert_eq!(
            warnings(&text),
            [format!(
                "1: oidc-issuers[{url}]: is not in its normal form. {suggestion}"
            )]
        );
        let file = issuers::parse(Path::new("issuers.yaml"), &text, &policy());
        let issuers = file.unwrap_or_else(|errors| panic!("{errors}")).issuers;
        assert!(issuers.find(url).is_some() && issuers.find(normal).is_none());
    }
}

#[test]
fn every_file_to_start_from_loads_alone() {
    let mut files = 0;
    for entry in std::fs::read_dir("config").unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("mayfly.yaml") || path.extension().is_none_or(|kind| kind != "yaml") {
            continue;
        }
        let file = issuers::load(&path, &policy()).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(file.issuers.iter().count() > 0, "{}", path.display());
        // Those that show how to trust one's own pipelines and people trust nobody else's.
        let open = ["issuers.yaml", "public-good.yaml"];
        let shows_the_open = open.iter().any(|name| path.ends_with(name));
        assert_eq!(
            file.warnings.is_empty(),
            !shows_the_open,
            "{}: {:?}",
            path.display(),
            file.warnings
        );
        files += 1;
    }
    assert!(files >= 11, "{files}");
}

#[test]
fn an_issuer_of_the_whole_world_is_warned_about_unless_a_condition_narrows_it() {
    let github = "oidc-issuers:\n  https://token.actions.githubusercontent.com:\n    client-id: mine\n    type: github-workflow\n";
    let said = warnings(github);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("2: oidc-issuers[https://token.actions.githubusercontent.com]: every pipeline"),
        "{said:?}"
    );
    assert!(
        said[0].contains("allow: claims.repository_owner_id == \"123456\""),
        "{said:?}"
    );
    assert_eq!(
        warnings(&format!(
            "{github}    allow: claims.repository_owner == \"acme\"\n"
        )),
        [""; 0]
    );
    let own = github.replace(
        "https://token.actions.githubusercontent.com",
        "https://ci.example.com",
    );
    assert_eq!(warnings(&own), [""; 0]);
    let google = "oidc-issuers:\n  https://accounts.google.com: {client-id: mine, type: email}\n";
    let said = warnings(google);
    assert!(said[0].contains("everybody who has an account") && said[0].contains("claims.hd =="));
    let tenants = "meta-issuers:
  https://login.microsoftonline.com/*/v2.0: {client-id: mine, type: email, skip-email-verification: true}
";
    let said = warnings(tenants);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains("Name your own tenant's issuer"), "{said:?}");
    assert!(
        said[0].contains("skip-email-verification: takes every address"),
        "{said:?}"
    );
    let pattern =
        "meta-issuers:\n  https://oidc.eks.*.amazonaws.com/id/*: {client-id: mine, type: kubernetes}\n";
    assert_eq!(warnings(pattern).len(), 1);
}

#[test]
fn the_audience_of_everybody_is_warned_about_once() {
    let entry = |url: &str| format!("  {url}: {{client-id: sigstore, type: email}}\n");
    let text = format!(
        "oidc-issuers:\n{}{}",
        entry("https://a.example.com"),
        entry("https://b.example.com")
    );
    let said = warnings(&text);
    assert!(
        said.len() == 1 && said[0].contains("the audience of every Sigstore instance"),
        "{said:?}"
    );
}

#[test]
fn keys_of_other_types_are_warned_about_as_fulcio_ignores_them() {
    let said = warnings(
        "oidc-issuers:\n  https://a.example.com:\n    client-id: x\n    type: email\n    subject-domain: a.example.com\n    spiffe-trust-domain: a\n",
    );
    assert_eq!(
        said,
        [
            "5: oidc-issuers[https://a.example.com].subject-domain: has no meaning for type `email`, only for uri and username. Remove it",
            "6: oidc-issuers[https://a.example.com].spiffe-trust-domain: has no meaning for type `email`, only for spiffe. Remove it",
        ]
    );
    let problems = issuer_problems(
        "oidc-issuers:\n  https://a.example.com: {client-id: x, type: kubernetes, issuer-claim: $.a}\n",
    );
    assert!(
        problems[0].contains("issuer-claim: has no meaning for type `kubernetes`"),
        "{problems:?}"
    );
}

#[test]
fn json_and_the_old_spelling_mean_the_same() {
    let yaml = "oidc-issuers:
  https://ci.example.com:
    issuer-url: https://ci.example.com
    client-id: mine
    type: ci-provider
    ci-provider: example
    challenge-claim: sub
meta-issuers:
  https://*.login.example.com: {client-id: mine, type: email, skip-email-verification: true}
ci-issuer-metadata:
  example:
    default-template-values: {url: https://ci.example.com}
    extension-templates: {build-signer-uri: '{{ .url }}/{{ .job }}', github-workflow-sha: sha}
    subject-alternative-name-template: '{{ .url }}/{{ .job }}'
";
    let json = r#"{
  "OIDCIssuers": {"https://ci.example.com": {
    "IssuerURL": "https://ci.example.com", "ClientID": "mine", "Type": "ci-provider", "CIProvider": "example",
    "ChallengeClaim": "sub"}},
  "MetaIssuers": {"https://*.login.example.com": {
    "ClientID": "mine", "Type": "email", "SkipEmailVerification": true}},
  "CIIssuerMetadata": {"example": {
    "DefaultTemplateValues": {"url": "https://ci.example.com"},
    "ExtensionTemplates": {"BuildSignerURI": "{{ .url }}/{{ .job }}", "GithubWorkflowSHA": "sha"},
    "SubjectAlternativeNameTemplate": "{{ .url }}/{{ .job }}"}}
}"#;
    let claims = serde_json::json!({"job": "build", "sha": "abc", "sub": "1"});
    let described = |text: &str| {
        let trusted = issuers::parse(Path::new("issuers.yaml"), text, &policy())
            .unwrap_or_else(|errors| panic!("{errors}"))
            .issuers;
        let ci = &trusted.find("https://ci.example.com").unwrap()[0];
        let names = ci
            .rule()
            .apply("https://ci.example.com", "1", claims.as_object().unwrap())
            .unwrap();
        let login = &trusted.find("https://a.login.example.com").unwrap()[0];
        (
            names,
            ci.audience().to_owned(),
            login.rule().skips_email_verification(),
        )
    };
    assert_eq!(described(yaml), described(json));
}

#[test]
fn a_key_in_both_spellings_is_given_twice() {
    let problems = issuer_problems(
        "oidc-issuers:\n  https://a.example.com:\n    client-id: x\n    ClientID: y\n    type: email\n",
    );
    assert_eq!(
        problems,
        [
            "4: oidc-issuers[https://a.example.com].ClientID: is given twice (as `client-id` on line 3). Keep one of them"
        ]
    );
}

#[test]
fn patterns_that_trust_too_much_or_nothing_are_refused() {
    for (section, name, what) in [
        (
            "meta-issuers",
            "https://*",
            "has a `*` in the last two labels of its host: anybody could set up an issuer that matches",
        ),
        (
            "meta-issuers",
            "https://*.com/x",
            "has a `*` in the last two labels of its host: anybody could set up an issuer that matches",
        ),
        (
            "meta-issuers",
            "http://*.example.com/x",
            "must begin with https://",
        ),
        (
            "meta-issuers",
            "https://idp.example.com:*/x",
            "has a `*` in its port",
        ),
        (
            "oidc-issuers",
            "https://*.example.com/x",
            "has a `*`, which stands for itself here",
        ),
    ] {
        let problems = issuer_problems(&format!(
            "{section}:\n  \"{name}\": {{client-id: x, type: email}}\n"
        ));
        assert!(
            problems.len() == 1 && problems[0].contains(what),
            "{name}: {problems:?}"
        );
    }
    let spiffe = issuer_problems(
        "meta-issuers:\n  https://*.example.com/x: {client-id: x, type: spiffe, spiffe-trust-domain: a.example}\n",
    );
    assert!(
        spiffe[0].contains("`spiffe` cannot be the type of a pattern"),
        "{spiffe:?}"
    );
    let twice = issuer_problems(
        "oidc-issuers:\n  https://idp.example.com: {client-id: x, type: email}
meta-issuers:\n  https://idp.example.com: {client-id: y, type: email}\n",
    );
    assert_eq!(
        twice,
        ["4: meta-issuers[https://idp.example.com]: stands below `oidc-issuers` as well. Keep one of them"]
    );
    let single = warnings("meta-issuers:\n  https://idp.example.com: {client-id: x, type: email}\n");
    assert!(
        single[0].contains("has no `*`, so it is a single issuer"),
        "{single:?}"
    );
}

#[test]
fn one_issuer_may_have_several_audiences_each_with_its_rules() {
    let text = "oidc-issuers:
  https://idp.example.com:
    type: email
    allow: claims.a == 1
    audiences:
      people:
      machines: {type: username, subject-domain: example.com, allow: claims.b == 2}
";
    let trusted = issuers::parse(Path::new("issuers.yaml"), text, &policy())
        .unwrap()
        .issuers;
    let entries = trusted.find("https://idp.example.com").unwrap();
    let described: Vec<_> = entries
        .iter()
        .map(|entry| (entry.audience(), entry.issuer_type()))
        .collect();
    assert_eq!(described, [("people", "email"), ("machines", "username")]);
    assert!(
        entries
            .iter()
            .all(|entry| entry.admission().conditions().len() == 1)
    );
    for (lines, what) in [
        (
            "    client-id: x\n    audiences: {y: {type: email}}\n",
            "client-id: stands beside `audiences`",
        ),
        ("    audiences: {}\n", "audiences: names no audience"),
        ("    audiences: {x: {}}\n", "audiences.x: `type` is missing"),
        (
            "    audiences: {x: {type: email, ca-cert: a}}\n",
            "audiences.x.ca-cert: is not a known key",
        ),
    ] {
        let problems = issuer_problems(&format!("oidc-issuers:\n  https://idp.example.com:\n{lines}"));
        assert!(
            problems.iter().any(|problem| problem.contains(what)),
            "{what}: {problems:?}"
        );
    }
}

#[test]
fn mistakes_in_admission_rules_are_found_before_anybody_is_refused() {
    for (line, what) in [
        (
            "allow: email == 'a'",
            "allow: uses `email`, which is not known. Did you mean `claims.email`?",
        ),
        (
            "allow: {ours: claims.a.endswith('b')}",
            "allow.ours: calls `endswith`, which is not known. Did you mean `endsWith`?",
        ),
        ("allow: claims.a ==", "allow: is not a CEL expression: column "),
        (
            "allow: [claims.a]",
            "allow: must be one condition, or conditions with names. Give each condition a name",
        ),
        ("allow: {a: }", "allow.a: has no condition"),
        ("allow: \"'acme'\"", "allow: is neither true nor false"),
        (
            "allow: clams.hd == 'a'",
            "allow: uses `clams.hd`, which is not known. Did you mean `claims.hd`?",
        ),
        (
            "allow: claims.my-claim == 'a'",
            "allow: subtracts: `my-claim` is not one name here. Did you mean `claims[\"my-claim\"]`?",
        ),
        (
            "allow: claims.hd in 'example.com'",
            "allow: looks with `in` into something that is not a list",
        ),
        ("allow: {}", "allow: has no condition"),
        (
            "rate-limit: 5/hour",
            "rate-limit: does not say whose certificates it limits. Write { identity: 60/minute }",
        ),
        (
            "rate-limit: {issuer: 5/fortnight}",
            "rate-limit.issuer: is not a number of certificates",
        ),
        (
            "rate-limit: {person: 5/hour}",
            "rate-limit.person: is not a known key",
        ),
        ("single-use: perhaps", "single-use: must be true or false"),
        (
            "key-binding: jkt",
            "key-binding: `jkt` is not a place where a token can name its key",
        ),
        ("ca-cert: PEM", "ca-cert: is not one or more certificates in PEM"),
        (
            "alow: \"true\"",
            "alow: is not a known key. Did you mean `allow`?",
        ),
    ] {
        let text = format!(
            "oidc-issuers:\n  https://idp.example.com:\n    client-id: x\n    type: email\n    {line}\n"
        );
        let problems = issuer_problems(&text);
        assert!(
            problems.len() == 1 && problems[0].contains(what),
            "{line}: {problems:?}"
        );
        assert!(
            problems[0].starts_with("5: oidc-issuers[https://idp.example.com]."),
            "{problems:?}"
        );
    }
}

/// YAML takes a value that begins with `!` for a tag and what follows: half of this condition would be gone.
#[test]
fn a_condition_that_begins_with_an_exclamation_mark_needs_quotes() {
    let entry = "oidc-issuers:\n  https://idp.example.com:\n    client-id: x\n    type: email\n    allow: ";
    for condition in [
        "!claims.bot && claims.hd == 'a'",
        "!claims.bot",
        "!has(claims.bot)",
    ] {
        let problems = issuer_problems(&format!("{entry}{condition}\n"));
        assert!(
            problems.len() == 1
                && problems[0].starts_with("5: is not valid YAML: ")
                && problems[0].contains("put a value in '…' if it begins with"),
            "{problems:?}"
        );
        assert_eq!(warnings(&format!("{entry}\"{condition}\"\n")), [""; 0]);
    }
}

#[test]
fn entries_that_are_not_indented_are_one_problem_each() {
    let problems = issuer_problems("oidc-issuers:\n  https://idp.example.com:\n  client-id: a\n");
    assert!(
        problems.contains(
            &"3: oidc-issuers.client-id: is a key of an entry. Indent it below its issuer's URL".to_owned()
        ),
        "{problems:?}"
    );
}

#[test]
fn issuers_whose_keys_could_never_be_fetched_are_found_at_once() {
    let text = "oidc-issuers:
  http://127.0.0.1:5556: {client-id: x, type: email}
  https://169.254.169.254: {client-id: x, type: email}
  https://10.0.0.1: {client-id: x, type: email}
";
    let file = Path::new("issuers.yaml");
    let strict = FetchPolicy::new(LoopbackHttp::Refused);
    let errors = issuers::parse(file, text, &strict).unwrap_err();
    assert_eq!(
        lines(&errors, file),
        [
            "2: oidc-issuers[http://127.0.0.1:5556]: is plain http to this machine, which is for development. \
             If it is yours, name its host under private-identity-providers in mayfly.yaml",
            "3: oidc-issuers[https://169.254.169.254]: has a link-local or reserved address, which is never contacted. \
             Use the name or address under which the issuer is reached",
        ]
    );
    let ours = strict.with_private_hosts(["127.0.0.1".to_owned()]);
    assert_eq!(issuers::parse(file, text, &ours).unwrap_err().problems().len(), 1);
}

#[test]
fn a_template_without_braces_that_is_no_claims_name_is_warned_about() {
    let text = |template: &str| {
        format!(
            "oidc-issuers:\n  https://ci.example.com: {{client-id: x, type: ci-provider, ci-provider: ci}}
ci-issuer-metadata:\n  ci:\n    subject-alternative-name-template: \"{template}\"\n"
        )
    };
    let said = warnings(&text("https://ci.example.com/x"));
    assert!(
        said.len() == 1 && said[0].contains("names a claim called `https://ci.example.com/x`"),
        "{said:?}"
    );
    assert_eq!(warnings(&text("workflow_ref")), [""; 0]);
}

#[test]
fn anchors_and_merged_keys_are_understood() {
    let text = "define:
  - &ours {client-id: mine, type: email, allow: 'claims.email.endsWith(\"@example.com\")'}
oidc-issuers:
  https://a.example.com: *ours
  https://b.example.com: *ours
";
    let trusted = issuers::parse(Path::new("issuers.yaml"), text, &policy())
        .unwrap()
        .issuers;
    assert_eq!(
        trusted.iter().filter(|entry| entry.audience() == "mine").count(),
        2
    );
}

/// As tools write them that know every key, for Fulcio.
#[test]
fn empty_values_of_fulcios_keys_are_left_out() {
    let entry = |issuer_type: &str| {
        format!(
            "    issuer-url: https://a.example.com\n    client-id: x\n    type: {issuer_type}\n    issuer-claim: \"\"\n    \
             ci-provider: ''\n    subject-domain:\n    spiffe-trust-domain: \"\"\n    challenge-claim: \"\"\n    ca-cert:\n    \
             skip-email-verification:\n    description: \"\"\n    contact:\n    environment: \"\"\n"
        )
    };
    for issuer_type in ["email", "kubernetes"] {
        let text = format!(
            "oidc-issuers:\n  https://a.example.com:\n{}meta-issuers:\nci-issuer-metadata:\n",
            entry(issuer_type)
        );
        let file = issuers::parse(Path::new("issuers.yaml"), &text, &policy());
        let file = file.unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(file.warnings, [], "{issuer_type}");
        assert_eq!(file.issuers.iter().count(), 1);
    }
    let metadata = "oidc-issuers:\n  https://a.example.com: {client-id: x, type: ci-provider, ci-provider: p}\n\
                    ci-issuer-metadata:\n  p:\n    default-template-values:\n    extension-templates:\n    \
                    subject-alternative-name-template: 'https://ci.example.com/{{ .sub }}'\n";
    assert!(issuers::parse(Path::new("issuers.yaml"), metadata, &policy()).is_ok());
    // For an audience, left out means what the entry says.
    let audience = "oidc-issuers:\n  https://a.example.com:\n    type: username\n    subject-domain: example.com\n    \
                    audiences: {x: {subject-domain: ''}, y: {subject-domain: }}\n";
    let file = issuers::parse(Path::new("issuers.yaml"), audience, &policy());
    let file = file.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(file.issuers.iter().count(), 2);
    assert!(
        file.issuers
            .iter()
            .all(|entry| entry.subject_domain() == Some("example.com"))
    );
}

/// What an entry cannot do without, and what only Mayfly knows: nobody is let in by a rule that got
/// lost.
#[test]
fn other_values_must_not_be_empty() {
    for (line, said) in [
        ("allow:", "allow: has no value"),
        ("allow: ''", "allow: is not a CEL expression"),
        ("rate-limit:", "rate-limit: has no value"),
        ("single-use:", "single-use: has no value"),
        ("single-use: ''", "single-use: must be true or false"),
        ("key-binding:", "key-binding: has no value"),
        ("key-binding: ''", "key-binding: `` is not a place"),
        ("audiences:", "audiences: has no value"),
        ("ca-cert: []", "ca-cert: must be a single value"),
    ] {
        let text = format!(
            "oidc-issuers:\n  https://a.example.com:\n    client-id: x\n    type: email\n    {line}\n"
        );
        let problems = issuer_problems(&text).join("\n");
        assert!(problems.contains(said), "{line}: {problems}");
    }
    for (entry, said) in [
        ("client-id: '', type: email", "client-id: is empty"),
        ("client-id: x, type: ''", "type: is empty"),
        (
            "client-id: x, type: uri, subject-domain: ''",
            "`subject-domain` is missing",
        ),
        (
            "client-id: x, type: ci-provider, ci-provider: ''",
            "`ci-provider` is missing",
        ),
        (
            "client-id: x, type: spiffe, spiffe-trust-domain: ",
            "`spiffe-trust-domain` is missing",
        ),
    ] {
        let problems = issuer_problems(&format!("oidc-issuers:\n  https://a.example.com: {{{entry}}}\n"));
        let problems = problems.join("\n");
        assert!(problems.contains(said), "{entry}: {problems}");
    }
}

/// A claim wins over a default, so that a default decides nothing that names somebody: a token
/// could have a claim by its name. Two providers do name their own platform in the token.
#[test]
fn shipped_files_have_no_defaults_that_a_token_must_not_choose() {
    let said_in_the_token = [
        "platform_url: https://g.codefresh.io",
        "base_url: https://app.buddy.works",
    ];
    let mut sections = 0;
    for entry in std::fs::read_dir("config").unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        while lines
            .by_ref()
            .any(|line| line.trim() == "default-template-values:")
        {
            sections += 1;
            for line in lines.by_ref().take_while(|line| line.starts_with("      ")) {
                let default = line.split(" #").next().unwrap().trim();
                let allowed = default.ends_with(": \"\"") || said_in_the_token.contains(&default);
                assert!(allowed, "{}: {default}", path.display());
            }
        }
    }
    assert!(sections >= 6, "{sections}");
}
