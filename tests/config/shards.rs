//! The shards of the `log` section, and whether their windows follow each other.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use mayfly::{
    key::KeySettings,
    log::embedded::{ShardKey, Storage},
};

use crate::{
    log::{DATABASE, with},
    settings::Installation,
};

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
      trusted-until: 2020-06-01T12:00:00Z
{}",
        shard("new", "2021-01-01T00:00:00Z", "2999-01-01T00:00:00Z")
    );
    let installation = with(&text);
    fs::create_dir(installation.path("old")).unwrap();
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    let shards = &settings.log().unwrap().shards;
    assert_eq!(shards[0].key, ShardKey::Retired);
    let until = shards[0].trusted_until.unwrap().unix_seconds();
    assert_eq!((until, shards[1].trusted_until), (1_591_012_800, None));
}

#[test]
fn an_end_without_a_next_shard_and_gaps_are_warned_of() {
    let ends = "no shard of the log takes certificates that end at";
    let uncovered = "no shard of the log takes certificates that are issued now";
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
