//! The `log` section: shards, and what others may submit.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use ct_log::SctAfter;
use mayfly::{
    key::KeySettings,
    log::embedded::{ShardKey, Storage, SubmissionRate},
};

use crate::settings::{Installation, MINIMAL};

const DAY: i64 = 24 * 60 * 60;

/// So many days from now, as the file wants it.
fn day(days: i64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let then = now.checked_add_signed(days * DAY).unwrap();
    der::DateTime::from_unix_duration(Duration::from_secs(then))
        .unwrap()
        .to_string()
}

/// The settings with these lines below `log:`.
fn with(lines: &str) -> Installation {
    let rest = MINIMAL.lines().filter(|line| !line.starts_with("log:"));
    let rest: Vec<_> = rest.collect();
    Installation::new(&format!("{}\nlog:\n{lines}", rest.join("\n")))
}

fn shard(name: &str, from: &str, until: &str) -> String {
    format!(
        "    - origin: ca.example.com/{name}
      directory: {name}
      key: {name}.pem
      not-after: {{from: {from}, until: {until}}}
"
    )
}

fn shards(of: &[(&str, &str, &str)]) -> Installation {
    let shards: String = of
        .iter()
        .map(|(name, from, until)| shard(name, from, until))
        .collect();
    with(&format!("  shards:\n{shards}"))
}

fn warnings(installation: &Installation) -> Vec<String> {
    let settings = installation.load().unwrap();
    settings
        .warnings()
        .iter()
        .map(|warning| format!("{}: {}", warning.key(), warning.what()))
        .collect()
}

#[test]
fn shards_are_read_in_the_order_of_their_windows() {
    let installation = shards(&[
        ("2027", "2027-01-01T00:00:00Z", "2999-01-01T00:00:00Z"),
        ("2026", "2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ]);
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    let [first, second] = &*settings.log().unwrap().shards else {
        panic!("not two shards")
    };
    assert_eq!(
        (&*first.origin, &*second.origin),
        ("ca.example.com/2026", "ca.example.com/2027")
    );
    assert_eq!(first.storage, Storage::Directory(installation.path("2026")));
    assert_eq!(
        first.key,
        ShardKey::Signing(KeySettings::plain_file(installation.path("2026.pem")))
    );
    // 2027-01-01T00:00:00Z.
    let turn = SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600);
    assert_eq!(first.window.unwrap().end(), turn);
    assert_eq!(second.window.unwrap().start(), turn);
    assert!(warnings(&installation).is_empty());
}

#[test]
fn shards_that_contradict_each_other_are_reported_at_once() {
    let same = "    - origin: other.example.com/a
      directory: a
      key: a.pem
      not-after: {from: 2028-01-01T00:00:00Z, until: 2029-01-01T00:00:00Z}
";
    let overlapping = shard("b", "2028-12-31T23:59:59Z", "2030-01-01T00:00:00Z");
    let first = shard("a", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z");
    let problems = with(&format!("  shards:\n{first}{same}{overlapping}")).problems();
    assert_eq!(
        problems,
        [
            "10: log.shards: has the same path in its origin as ca.example.com/a. One server serves them all: give each a \
             path of its own",
            "10: log.shards: has the same directory as ca.example.com/a. Each shard is a log with a directory of its own",
            "10: log.shards: has the same key as ca.example.com/a. Each shard is a log with a key of its own; it is made if \
             the file is not there",
            "14: log.shards: begins at 2028-12-31T23:59:59Z, before other.example.com/a ends at 2029-01-01T00:00:00Z. Let \
             each window begin when the one before ends",
        ]
    );
    let twice = shards(&[("a", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"); 2]).problems();
    assert!(
        twice
            .iter()
            .any(|problem| problem.contains("has the same origin as ca.example.com/a")),
        "{twice:?}"
    );
}

#[test]
fn what_is_wrong_in_a_shard_is_named_with_its_line() {
    let problems = with(
        "  directory: log
  shards:
    - origin: ca.example.com/a
      directory: a
      key: a.pem
      not-after: {from: 2028-01-01T00:00:00Z, until: 2028-01-01T00:00:00Z}
    - origin: ca.example.com/b
      directory: b
      key: b.pem
      not-after: {from: 2028, untill: 2029-01-01T00:00:00Z}
    - origin: ca.example.com/c
      directory: c
      retired: true
",
    )
    .problems();
    let time = "Write it in UTC, as in 2027-01-01T00:00:00Z";
    for expected in [
        "5: log.directory: stands beside `shards`. Move it into one of them".to_owned(),
        "10: log.shards.not-after: ends before it begins. `until` is the first moment that the shard is no longer for"
            .to_owned(),
        format!("14: log.shards.not-after.from: is not a time. {time}"),
        "14: log.shards.not-after.untill: is not a known key. Did you mean `until`?".to_owned(),
        format!("14: log.shards.not-after: `until` is missing. {time}"),
        "15: log.shards: is retired, but its folder c does not exist. Restore the folder: what was logged must stay \
         readable"
            .to_owned(),
        "15: log.shards: `not-after` is missing. Write which notAfter the shard is for, as in {from: \
         2027-01-01T00:00:00Z, until: 2028-01-01T00:00:00Z}"
            .to_owned(),
    ] {
        assert!(problems.contains(&expected), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert_eq!(
        with("  shards: []\n").problems(),
        ["5: log.shards: names no shard. Write at least one below it"]
    );
}

#[test]
fn a_retired_shard_needs_its_folder_and_no_key() {
    let text = format!(
        "  shards:
    - origin: ca.example.com/old
      directory: old
      not-after: {{from: 2020-01-01T00:00:00Z, until: 2021-01-01T00:00:00Z}}
      retired: true
{}",
        shard("new", "2021-01-01T00:00:00Z", "2999-01-01T00:00:00Z")
    );
    let installation = with(&text);
    fs::create_dir(installation.path("old")).unwrap();
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.log().unwrap().shards[0].key, ShardKey::Retired);
}

#[test]
fn an_end_without_a_next_shard_and_gaps_are_warned_of() {
    let ends = "no shard of the log takes certificates that end at";
    let uncovered = "no shard of the log takes certificates that end now";
    let (before, now, soon, late) = (day(-100), day(0), day(29), day(400));
    for (of, expected) in [
        (vec![("a", &before, &late)], vec![]),
        (vec![("a", &before, &soon)], vec![ends]),
        (vec![("a", &before, &soon), ("b", &soon, &late)], vec![]),
        (vec![("a", &soon, &late)], vec![uncovered]),
        (vec![("a", &before, &now)], vec![uncovered]),
        (
            vec![("a", &before, &soon), ("b", &day(30), &late)],
            vec![ends, "begins at"],
        ),
    ] {
        let of: Vec<_> = of
            .iter()
            .map(|(name, from, until)| (*name, from.as_str(), until.as_str()))
            .collect();
        let warnings = warnings(&shards(&of));
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        for what in expected {
            assert!(
                warnings.iter().any(|warning| warning.contains(what)),
                "{what}: {warnings:?}"
            );
        }
    }
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

const DATABASE: &str = "  postgres: {url: \"postgresql://mayfly@localhost/mayfly\"}\n";

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

#[test]
fn shards_in_one_place_of_a_bucket_are_reported() {
    let s3 = "      s3: {bucket: a-bucket, prefix: ct}\n";
    let first = shard("a", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z");
    let second = shard("b", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
    let database = format!("    {DATABASE}");
    for beside in ["", &database] {
        let problems = with(&format!("  shards:\n{first}{s3}{beside}{second}{s3}{beside}")).problems();
        let expected = "has the same bucket and prefix as ca.example.com/a";
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{beside}: {problems:?}"
        );
    }
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
