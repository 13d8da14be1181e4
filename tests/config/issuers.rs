//! The issuer file.

use std::path::Path;

use mayfly::config::issuers;

use crate::lines;

fn issuer_problems(text: &str) -> Vec<String> {
    let file = Path::new("issuers.yaml");
    match issuers::parse(file, text) {
        Ok(issuers) => panic!("accepted: {issuers:?}"),
        Err(errors) => lines(&errors, file),
    }
}

fn issuer_url_problem(url: &str) -> Option<String> {
    let text = format!("oidc-issuers:\n  \"{url}\": {{client-id: a, type: email}}\n");
    let errors = issuers::parse(Path::new("issuers.yaml"), &text).err()?;
    let [problem] = errors.problems() else {
        panic!("{errors}")
    };
    Some(problem.what().to_owned())
}

#[test]
fn the_example_issuer_file_loads() {
    let issuers = issuers::load(Path::new("config/issuers.yaml")).unwrap().issuers;
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
         Set it to the audience that tokens are requested for, such as `sigstore`",
        "6: oidc-issuers[https://a.example].type: `emial` is not a type of issuer. Did you mean `email`?",
        "7: oidc-issuers[https://c.example]: `client-id` is missing. \
         Set it to the audience that tokens are requested for, such as `sigstore`",
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
        "24: oidc-issuers[https://h.example].client-id: must be a single value",
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
    let issuers = issuers::parse(Path::new("issuers.yaml"), text).unwrap().issuers;
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
        ("https://Example.com", "is not in its normal form"),
        ("https://example.com:443", "is not in its normal form"),
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
