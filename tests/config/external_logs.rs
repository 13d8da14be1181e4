//! `external-logs` and `embed-scts` of `mayfly.yaml`.

use std::{fs, time::Duration};

use ct_log::LogSpec;
use mayfly::log::{Embedding, Use};

use crate::settings::{Installation, MINIMAL, log_key};

/// `MINIMAL` without a log of its own.
fn without_log() -> String {
    MINIMAL
        .lines()
        .filter(|line| !line.starts_with("log:"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn entry(name: &str, rest: &str) -> String {
    format!(
        "  - {{name: {name}, url: 'https://ct.example.com/{name}', key: {name}.pem, spec: static-ct-api{rest}}}\n"
    )
}

/// With a key for each of the logs `a` and `b`.
fn installation(text: &str) -> Installation {
    let installation = Installation::new(text);
    for name in ["a.pem", "b.pem"] {
        fs::write(installation.path(name), log_key()).unwrap();
    }
    installation
}

fn warnings(installation: &Installation) -> Vec<String> {
    let settings = installation.load().unwrap();
    settings
        .warnings()
        .iter()
        .map(|warning| warning.what().to_owned())
        .collect()
}

#[test]
fn what_is_left_out_embeds_nothing() {
    let with_one = installation(&format!("{MINIMAL}external-logs:\n{}", entry("a", "")));
    let settings = with_one.load().unwrap();
    let [log] = settings.external_logs() else {
        panic!("not one log")
    };
    assert_eq!(log.url.as_str(), "https://ct.example.com/a");
    assert_eq!(
        (log.purpose, log.spec),
        (Use::Informational, LogSpec::StaticCtApi)
    );
    assert_eq!(log.not_after, Duration::ZERO..Duration::MAX);
    assert!(log.roots.is_none());
    assert_eq!(settings.embedding(), Embedding::Embedded);
}

#[test]
fn without_a_log_of_its_own_an_external_one_must_be_for_embedding() {
    let nothing = "Write a `log` section, or `use: embed` in one of the `external-logs`";
    let no_log = format!(" names no log whose SCT certificates could carry. {nothing}");
    assert_eq!(
        installation(&without_log()).problems(),
        std::slice::from_ref(&no_log)
    );
    let told = format!("{}external-logs:\n{}", without_log(), entry("a", ""));
    assert_eq!(installation(&told).problems(), [no_log]);
    let embed = format!("{}external-logs:\n{}", without_log(), entry("a", ", use: embed"));
    let settings = installation(&embed).load().unwrap();
    assert!(settings.log().is_none());
    assert_eq!(settings.embedding(), Embedding::First);
    assert_eq!(
        installation(&format!("{embed}embed-scts: embedded\n")).problems(),
        [
            "6: embed-scts: is `embedded`, but there is no embedded log. Write a `log` section, or `embed-scts: first`"
        ]
    );
}

#[test]
fn a_log_for_embedding_needs_a_policy_that_embeds_it() {
    let embed = format!("{MINIMAL}external-logs:\n{}", entry("a", ", use: embed"));
    assert_eq!(
        installation(&embed).problems(),
        [
            "6: external-logs: is for certificates, but they carry the embedded log's SCT alone. \
          Write `embed-scts: first` or `embed-scts: all`, or `use: informational` here"
        ]
    );
    for (policy, expected) in [("first", Embedding::First), ("all", Embedding::All)] {
        let settings = installation(&format!("{embed}embed-scts: {policy}\n")).load();
        assert_eq!(settings.unwrap().embedding(), expected);
        let [problem] = installation(&format!("{MINIMAL}embed-scts: {policy}\n"))
            .problems()
            .try_into()
            .unwrap();
        assert!(problem.contains("there is only the embedded one"), "{problem}");
    }
    let [problem] = installation(&format!("{embed}embed-scts: al\n"))
        .problems()
        .try_into()
        .unwrap();
    assert_eq!(
        problem,
        "7: embed-scts: `al` is not a choice. Did you mean `all`?"
    );
}

#[test]
fn what_some_clients_refuse_is_warned_of() {
    let both = format!(
        "{MINIMAL}external-logs:\n{}embed-scts: all\n",
        entry("a", ", use: embed")
    );
    let [warning] = warnings(&installation(&both)).try_into().unwrap();
    assert!(
        warning.contains("up to 2 SCTs, which sigstore-python and sigstore-rs refuse"),
        "{warning}"
    );
    assert!(warnings(&installation(&both.replace("all", "first"))).is_empty());
    for (url, number) in [
        ("http://ct.example.com", 1),
        ("http://127.0.0.1:1", 0),
        ("http://[::1]:1", 0),
    ] {
        let told = format!("{MINIMAL}external-logs:\n{}", entry("a", ""));
        let plain = installation(&told.replace("https://ct.example.com", url));
        assert_eq!(warnings(&plain).len(), number, "{url}");
    }
}

#[test]
fn every_problem_of_the_logs_is_reported_at_once() {
    let installation = installation(&format!(
        "{MINIMAL}external-logs:
  - {{name: embedded, url: 'https://user:secret@ct.example.com', key: ca.pem, spec: rfc9162}}
  - {{name: a, url: ct.example.com, key: none.pem, spec: rfc6962, use: embedd, ca-cert: a.pem}}
  - {{nam: b, url: 'https://ct.example.com/?x', key: b.pem, not-after: {{from: 2027, untill: 2028}}}}
  - {{name: b, url: 'https://ct.example.com', key: b.pem, spec: rfc6962, not-after: {{from: '2028-01-01T00:00:00Z', until: '2027-01-01T00:00:00Z'}}}}
"
    ));
    let prefix = "Write the log's submission prefix alone, such as https://ct.example.com/2027";
    let key = "Get it from the log's operator: it begins with -----BEGIN PUBLIC KEY-----";
    assert_eq!(
        installation.problems(),
        [
            "6: external-logs.name: is what the log in this process is called. Choose another name".to_owned(),
            format!("6: external-logs.url: is not the URL of a log. {prefix}"),
            format!("6: external-logs.key: ca.pem is not one public key (SubjectPublicKeyInfo) in PEM. {key}"),
            "6: external-logs.spec: `rfc9162` is not a specification of logs. Did you mean `rfc6962`?".to_owned(),
            format!("7: external-logs.url: is not the URL of a log. {prefix}"),
            "7: external-logs.key: none.pem cannot be read: No such file or directory (os error 2)".to_owned(),
            "7: external-logs.use: `embedd` is not a use of logs. Did you mean `embed`?".to_owned(),
            "7: external-logs.ca-cert: a.pem is not one or more certificates in PEM. \
             Name the certificate that the log's TLS certificate is below"
                .to_owned(),
            "8: external-logs.nam: is not a known key. Did you mean `name`?".to_owned(),
            "8: external-logs: `name` is missing. Name it for metrics and log lines, such as tesseract-2027".to_owned(),
            format!("8: external-logs.url: is not the URL of a log. {prefix}"),
            "8: external-logs: `spec` is missing. Write `spec: static-ct-api`, or `spec: rfc6962` for Trillian".to_owned(),
            "8: external-logs.not-after.untill: is not a known key. Did you mean `until`?".to_owned(),
            "8: external-logs.not-after.from: is not a time. Write it in UTC, as in 2027-01-01T00:00:00Z".to_owned(),
            "9: external-logs.not-after: ends before it begins. Exchange `from` and `until`".to_owned(),
        ]
    );
}

/// Two SCTs of one log are refused by sigstore-js and sigstore-rs.
#[test]
fn each_log_is_named_once_with_a_key_of_its_own() {
    let text = format!("{MINIMAL}external-logs:\n{}{}", entry("a", ""), entry("a", ""));
    let problems = installation(&text).problems();
    assert_eq!(
        problems,
        [
            "7: external-logs: is the second log that is called `a`. Give each a name of its own",
            "7: external-logs: has the same key as `a`. Name each log once, with its own key",
        ]
    );
}
