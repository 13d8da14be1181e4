//! The `log` section: where the log is, what its SCTs wait for, and what others may submit.

use ct_log::SctAfter;
use mayfly::log::embedded::{Storage, SubmissionRate};

use crate::settings::{Installation, MINIMAL};

/// The settings with these lines below `log:`.
pub(crate) fn with(lines: &str) -> Installation {
    let rest = MINIMAL.lines().filter(|line| !line.starts_with("log:"));
    let rest: Vec<_> = rest.collect();
    Installation::new(&format!("{}\nlog:\n{lines}", rest.join("\n")))
}

#[test]
fn submissions_of_others_can_be_limited_or_off() {
    let whole = "  directory: log\n  origin: ca.example.com/log\n  key: log-key.pem\n";
    let rate = |line: &str| {
        let installation = with(&format!("{whole}{line}"));
        installation
            .load()
            .map(|settings| settings.log().unwrap().submissions.rate)
    };
    assert_eq!(rate("").unwrap(), SubmissionRate::Default);
    assert_eq!(
        rate("  external-submissions: off\n").unwrap(),
        SubmissionRate::Off
    );
    assert_eq!(
        rate("  external-submissions: 5/minute\n").unwrap(),
        SubmissionRate::Limited("5/minute".parse().unwrap())
    );
    let wrong = with(&format!("{whole}  external-submissions: on\n  accept: ca.pem\n")).problems();
    assert_eq!(
        wrong,
        [
            "8: log.external-submissions: `on` is neither `off` nor a number in a second, minute, hour or day. Write it as \
             20/second",
            "9: log.accept: ca.pem is not one or more certificates in PEM. Name the certificates of CAs that may use this \
             log as well",
        ]
    );
}

#[test]
fn a_place_in_a_bucket_is_read() {
    let log = |s3: &str| {
        with(&format!(
            "  directory: log\n  origin: ca.example.com/log\n  key: log.pem\n  s3: {s3}\n"
        ))
    };
    let installation =
        log("{bucket: a-bucket, prefix: ct/2027, region: eu-central-1, static-partials: true}");
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    let Storage::S3 { directory, place } = &settings.log().unwrap().shards[0].storage else {
        panic!("not in a bucket")
    };
    assert_eq!(*directory, installation.path("log"));
    assert_eq!(place.location(), "s3://a-bucket/ct/2027");

    for (s3, problem) in [
        ("{prefix: a}", "`bucket` is missing"),
        ("{bucket: Not_One}", "a bucket's name has"),
        ("{bucket: a-bucket, prefix: /a}", "a prefix is names"),
        (
            "{bucket: a-bucket, endpoint: \"http://127.0.0.1:9000\"}",
            "needs allow-http",
        ),
        (
            "{bucket: a-bucket, allow-http: true, endpoint: \"http://192.0.2.1\"}",
            "must be a loopback address",
        ),
        ("{bucket: a-bucket, secret-key: abc}", "is not a known key"),
    ] {
        let problems = log(s3).problems();
        assert!(
            problems.iter().any(|found| found.contains(problem)),
            "{s3}: {problems:?}"
        );
    }
}

#[test]
fn a_database_is_read_and_never_with_a_password() {
    let log = |postgres: &str| with(&format!("{WHOLE}  postgres: {postgres}\n"));
    let installation = log("{url: \"postgresql://mayfly@localhost/mayfly\"}");
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    let Storage::Postgres {
        directory,
        database,
        files: None,
    } = &settings.log().unwrap().shards[0].storage
    else {
        panic!("not in a database")
    };
    assert_eq!(*directory, installation.path("log"));
    assert_eq!(database.url, "postgresql://mayfly@localhost/mayfly");

    for (postgres, problem) in [
        ("{ca-cert: no.pem}", "`url` is missing"),
        (
            "{url: \"http://db.example.com\"}",
            "cannot be used: not a PostgreSQL address",
        ),
        (
            "{url: \"postgresql://mayfly@db.example.com/mayfly\"}",
            "would not be encrypted",
        ),
        (
            "{url: \"postgresql://mayfly:not-to-be-seen@localhost/mayfly\"}",
            "has a password in it",
        ),
        (
            "{url: \"postgresql://mayfly@localhost/mayfly\", password-file: no.txt}",
            "cannot be read",
        ),
        (
            "{url: \"postgresql://mayfly@localhost/mayfly\", password: secret}",
            "is not a known key",
        ),
        (
            "{url: \"postgresql://mayfly@localhost/mayfly\"}\n  mirror: other",
            "stands beside `postgres`",
        ),
        (
            "{url: \"postgresql://mayfly@localhost/mayfly\"}\n  high-water: mark",
            "stands beside `postgres`",
        ),
    ] {
        let problems = log(postgres).problems();
        assert!(
            problems.iter().any(|found| found.contains(problem)),
            "{postgres}: {problems:?}"
        );
        assert!(!problems.iter().any(|found| found.contains("not-to-be-seen")));
    }
}

pub(crate) const DATABASE: &str = "  postgres: {url: \"postgresql://mayfly@localhost/mayfly\"}\n";

#[test]
fn a_database_and_a_bucket_are_one_log() {
    let log = |s3: &str| with(&format!("{WHOLE}{DATABASE}  s3: {s3}\n"));
    let installation = log("{bucket: a-bucket, prefix: ct/2027, static-partials: true}");
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    let Storage::Postgres {
        directory,
        database,
        files: Some(files),
    } = &settings.log().unwrap().shards[0].storage
    else {
        panic!("not in a database with its files in a bucket")
    };
    assert_eq!(*directory, installation.path("log"));
    assert_eq!(database.url, "postgresql://mayfly@localhost/mayfly");
    assert_eq!(files.location(), "s3://a-bucket/ct/2027");

    for (s3, problem) in [
        ("{prefix: a}", "`bucket` is missing"),
        ("{bucket: a-bucket}\n  mirror: other", "stands beside `s3`"),
        ("{bucket: a-bucket}\n  high-water: mark", "stands beside `s3`"),
        (
            "{bucket: a-bucket}\n  sct-after: replicated",
            "is `replicated`, but ca.example.com/log has no mirror",
        ),
    ] {
        let problems = log(s3).problems();
        assert!(
            problems.iter().any(|found| found.contains(problem)),
            "{s3}: {problems:?}"
        );
    }
    // Both are read, so both are reported at once.
    let both = with(&format!("{WHOLE}  postgres: {{url: no}}\n  s3: {{bucket: No}}\n")).problems();
    for problem in ["not a PostgreSQL address", "a bucket's name has"] {
        assert!(both.iter().any(|found| found.contains(problem)), "{both:?}");
    }
}

/// C15.
#[test]
fn a_high_water_mark_is_outside_the_log() {
    let log = |path: &str| with(&format!("{WHOLE}  high-water: {path}\n"));
    let installation = log("mark");
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    let shard = &settings.log().unwrap().shards[0];
    assert_eq!(shard.high_water, Some(installation.path("mark")));
    let problems = log("log/mark").problems();
    assert!(
        problems.iter().all(|problem| problem.contains("high-water")),
        "{problems:?}"
    );
    assert!(!problems.is_empty());
}

/// The example of C2SP signed-note.
const VERIFIER_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

const WHOLE: &str = "  directory: log\n  origin: ca.example.com/log\n  key: log.pem\n";

fn witnesses(quorum: &str, list: &str) -> String {
    format!("{WHOLE}  witnesses:\n    note-key: note.pem\n    quorum: {quorum}\n    list:\n{list}")
}

#[test]
fn scts_wait_for_what_the_file_says() {
    let default = with(WHOLE).load().unwrap();
    assert_eq!(default.log().unwrap().promise.sct_after, SctAfter::Durable);
    let one = format!("      - {{url: \"https://w.example/x\", key: \"{VERIFIER_KEY}\"}}\n");
    let witnessed = with(&format!("{}  sct-after: witnessed\n", witnesses("1", &one)));
    let witnessed = witnessed.load().unwrap();
    let promise = &witnessed.log().unwrap().promise;
    assert_eq!(promise.sct_after, SctAfter::Witnessed);
    let settings = promise.witnesses.as_ref().unwrap();
    assert_eq!((settings.quorum, settings.witnesses.len()), (1, 1));
    let mirrored = with(&format!("{WHOLE}  mirror: other\n  sct-after: replicated\n"));
    let mirrored = mirrored.load().unwrap();
    let storage = &mirrored.log().unwrap().shards[0].storage;
    assert!(matches!(storage, Storage::Mirrored { mirror, .. } if mirror.ends_with("other")));
}

#[test]
fn promises_that_cannot_be_kept_are_reported() {
    let one = format!("      - {{url: \"https://w.example\", key: \"{VERIFIER_KEY}\"}}\n");
    for (lines, expected) in [
        (format!("{WHOLE}  sct-after: soon\n"), "not one of durable"),
        (format!("{WHOLE}  sct-after: replicated\n"), "has no mirror"),
        (format!("{WHOLE}  sct-after: witnessed\n"), "no `witnesses`"),
        (
            format!("{WHOLE}  mirror: log/below\n"),
            "in the folder of the log",
        ),
        (witnesses("2", &one), "quorum"),
        (witnesses("one", &one), "not a number"),
        (witnesses("1", &one.repeat(2)), "two witnesses"),
        (witnesses("1", &one.replace("https", "ftp")), "not an http"),
        (
            witnesses("1", &one.replace("530d903a", "00000000")),
            "verifier key",
        ),
    ] {
        let problems = with(&lines).problems();
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected}: {problems:?}"
        );
    }
}
