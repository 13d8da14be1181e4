//! `log`: the embedded log, whole or in shards, and what others may submit to it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use ct_log::{SctAfter, Window};
use der::DateTime;
use url::Url;
use x509_cert::Certificate;

use super::{
    bucket, database,
    key::{self, Existing},
    promise, self_audit,
};
use crate::{
    clock::{Clock, SystemClock},
    config::{
        fields::{Fields, Keys, Text},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    log::{
        Outlook,
        embedded::{
            EmbeddedLogSettings, ShardKey, ShardSettings, Storage, SubmissionRate, SubmissionSettings,
        },
        path_of, written,
    },
};

const LOG: Keys = &[
    "directory",
    "origin",
    "key",
    "passphrase",
    "s3",
    "postgres",
    "high-water",
    "shards",
    "external-submissions",
    "accept",
    "self-audit",
    "self-audit-interval",
    "mirror",
    "sct-after",
    "witnesses",
];
/// Keys of a log that has no shards, which stand in each shard otherwise.
const WHOLE: Keys = &[
    "directory",
    "mirror",
    "origin",
    "key",
    "passphrase",
    "s3",
    "postgres",
    "high-water",
];
const SHARD: Keys = &[
    "origin",
    "directory",
    "mirror",
    "key",
    "passphrase",
    "s3",
    "postgres",
    "high-water",
    "not-after",
    "retired",
];
/// Places that several servers may share; both together are a log in a database with its files in a bucket.
const SHARED: [&str; 2] = ["s3", "postgres"];
const NOT_AFTER: Keys = &["from", "until"];

/// A shard and where it stands.
struct Placed {
    place: Place,
    shard: ShardSettings,
}

pub(super) fn settings(
    place: Place,
    node: &Node,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<EmbeddedLogSettings> {
    let fields = Fields::open(place, node, LOG, problems)?;
    let submissions = submissions(&fields, folder, problems);
    let self_audit = self_audit::read(&fields, problems);
    let promise = promise::promise(&fields, folder, problems);
    let shards = match fields.get("shards") {
        None => Some(vec![whole(&fields, folder, problems)?]),
        Some((place, node)) => {
            for key in WHOLE {
                if let Some((place, _)) = fields.get(key) {
                    problems.report(&place, "stands beside `shards`", "Move it into one of them");
                }
            }
            shards((&place, node), folder, problems)
        }
    };
    let (shards, promise) = (shards?, promise?);
    if promise.sct_after == SctAfter::Replicated {
        report_not_replicated(&fields, &shards, problems);
    }
    Some(EmbeddedLogSettings {
        shards,
        submissions: submissions?,
        self_audit: self_audit?,
        promise,
    })
}

fn report_not_replicated(fields: &Fields<'_>, shards: &[ShardSettings], problems: &mut Problems) {
    let alone = |shard: &&ShardSettings| {
        let alone = matches!(shard.storage, Storage::Directory(_) | Storage::Postgres { .. });
        shard.key != ShardKey::Retired && alone
    };
    if let (Some((place, _)), Some(shard)) = (fields.get("sct-after"), shards.iter().find(alone)) {
        let what = format!("is `replicated`, but {} has no mirror", shard.origin);
        problems.report(&place, what, "Name a folder on another device as its `mirror`");
    }
}

/// One log for all certificates.
fn whole(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<ShardSettings> {
    let storage = storage(fields, folder, problems);
    let origin = origin(fields, problems);
    let key = key::read(fields, Existing::OrNew, folder, problems);
    let high_water = high_water(fields, storage.as_ref(), folder, problems);
    Some(ShardSettings {
        origin: origin?,
        storage: storage?,
        high_water: high_water?,
        key: ShardKey::Signing(key?),
        window: None,
    })
}

fn shards(
    (place, node): (&Place, &Node),
    folder: &Folder,
    problems: &mut Problems,
) -> Option<Vec<ShardSettings>> {
    let items = node.items(place, problems);
    if items.is_empty() && node.is_list() {
        problems.report(place, "names no shard", "Write at least one below it");
    }
    let read: Vec<_> = items
        .iter()
        .map(|item| shard(item.place(place), item, folder, problems))
        .collect();
    let mut shards = read
        .into_iter()
        .collect::<Option<Vec<Placed>>>()
        .filter(|shards| !shards.is_empty())?;
    for (at, later) in shards.iter().enumerate() {
        for earlier in shards.iter().take(at) {
            report_same(earlier, later, problems);
        }
    }
    shards.sort_by_key(|placed| placed.shard.window.map(|window| window.start()));
    for (earlier, later) in shards.iter().zip(shards.iter().skip(1)) {
        report_neighbours(earlier, later, problems);
    }
    let open = shards
        .iter()
        .filter(|placed| placed.shard.key != ShardKey::Retired);
    let windows = open.map(|placed| placed.shard.window.as_ref());
    if let Some((what, suggestion)) = Outlook::of(windows, SystemClock.now()).warning() {
        problems.warn(place, what, suggestion);
    }
    Some(shards.into_iter().map(|placed| placed.shard).collect())
}

fn shard(place: Place, node: &Node, folder: &Folder, problems: &mut Problems) -> Option<Placed> {
    let fields = Fields::open(place.clone(), node, SHARD, problems)?;
    let origin = origin(&fields, problems);
    let storage = storage(&fields, folder, problems);
    let key = match fields.flag("retired", problems) {
        true => {
            for shared in SHARED {
                if let Some((place, _)) = fields.get(shared) {
                    let suggestion = "Keep its `key`: after its window it takes no entries";
                    problems.report(&place, "stands beside `retired`", suggestion);
                }
            }
            let directory = storage.as_ref().map(Storage::directory);
            if let Some(missing) = directory.filter(|directory| !directory.is_dir()) {
                let what = format!("is retired, but its folder {} does not exist", missing.display());
                problems.report(
                    &place,
                    what,
                    "Restore the folder: what was logged must stay readable",
                );
            }
            Some(ShardKey::Retired)
        }
        false => key::read(&fields, Existing::OrNew, folder, problems).map(ShardKey::Signing),
    };
    let window = window(&fields, problems);
    let high_water = high_water(&fields, storage.as_ref(), folder, problems);
    let shard = ShardSettings {
        origin: origin?,
        storage: storage?,
        high_water: high_water?,
        key: key?,
        window: Some(window?),
    };
    Some(Placed { place, shard })
}

fn report_same(earlier: &Placed, later: &Placed, problems: &mut Problems) {
    let (one, other) = (&earlier.shard, &later.shard);
    let mut report = |what: &str, suggestion: &str| {
        problems.report(
            &later.place,
            format!("has the same {what} as {}", one.origin),
            suggestion,
        );
    };
    if one.origin == other.origin {
        report("origin", "Each shard is a log with a name of its own");
    } else if path_of(&one.origin) == path_of(&other.origin) {
        report(
            "path in its origin",
            "One server serves them all: give each a path of its own",
        );
    }
    if let (Some(one), Some(other)) = (one.storage.bucket(), other.storage.bucket())
        && one.location() == other.location()
    {
        report("bucket and prefix", "Each shard is a log with a place of its own");
    }
    if one.high_water.is_some() && one.high_water == other.high_water {
        report("high-water", "Each shard has a mark of its own");
    }
    let folders = |shard: &ShardSettings| shard.storage.folders().map(Path::to_owned).collect::<Vec<_>>();
    if folders(one).iter().any(|folder| folders(other).contains(folder)) {
        report("directory", "Each shard is a log with a directory of its own");
    }
    if one.key == other.key && one.key != ShardKey::Retired {
        report(
            "key",
            "Each shard is a log with a key of its own; it is made if the file is not there",
        );
    }
}

fn report_neighbours(earlier: &Placed, later: &Placed, problems: &mut Problems) {
    let (Some(before), Some(after)) = (earlier.shard.window, later.shard.window) else {
        return;
    };
    let (end, start) = (before.end(), after.start());
    if end > start {
        let what = format!(
            "begins at {}, before {} ends at {}",
            written(start),
            earlier.shard.origin,
            written(end)
        );
        problems.report(
            &later.place,
            what,
            "Let each window begin when the one before ends",
        );
    } else if end < start {
        let what = format!(
            "begins at {}, but {} ends at {}: nothing is issued that would end between",
            written(start),
            earlier.shard.origin,
            written(end)
        );
        problems.warn(
            &later.place,
            what,
            "Let each window begin when the one before ends",
        );
    }
}

fn window(fields: &Fields<'_>, problems: &mut Problems) -> Option<Window> {
    let suggestion = "Write which notAfter the shard is for, as in {from: 2027-01-01T00:00:00Z, until: 2028-01-01T00:00:00Z}";
    let (place, node) = fields.required("not-after", suggestion, problems)?;
    let fields = Fields::open(place, node, NOT_AFTER, problems)?;
    let mut time = |key| {
        let text = fields.required_text(key, "Write it in UTC, as in 2027-01-01T00:00:00Z", problems)?;
        instant(&text, problems)
    };
    let (from, until) = (time("from"), time("until"));
    let window = Window::new(from?, until?);
    if window.is_err() {
        let suggestion = "`until` is the first moment that the shard is no longer for";
        problems.report(fields.place(), "ends before it begins", suggestion);
    }
    window.ok()
}

pub(super) fn instant(text: &Text<'_>, problems: &mut Problems) -> Option<SystemTime> {
    let time = text.value.parse::<DateTime>();
    if time.is_err() {
        problems.report(
            &text.place,
            "is not a time",
            "Write it in UTC, as in 2027-01-01T00:00:00Z",
        );
    }
    SystemTime::UNIX_EPOCH.checked_add(time.ok()?.unix_duration())
}

fn submissions(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<SubmissionSettings> {
    let rate = match fields.text("external-submissions", problems) {
        None => Some(SubmissionRate::Default),
        Some(text) if text.value == "off" => Some(SubmissionRate::Off),
        Some(text) => {
            let rate = text.value.parse().map(SubmissionRate::Limited);
            if rate.is_err() {
                let what = format!(
                    "`{}` is neither `off` nor a number in a second, minute, hour or day",
                    text.value
                );
                problems.report(&text.place, what, "Write it as 20/second");
            }
            rate.ok()
        }
    };
    let accept = match fields.text("accept", problems) {
        None => Some(None),
        Some(text) => certificates(&text, folder, problems).map(Some),
    };
    Some(SubmissionSettings {
        rate: rate?,
        accept: accept?,
    })
}

fn certificates(text: &Text<'_>, folder: &Folder, problems: &mut Problems) -> Option<PathBuf> {
    let path = folder.file(text, problems)?;
    let pem = fs::read(&path).unwrap_or_default();
    if Certificate::load_pem_chain(&pem).is_ok_and(|certificates| !certificates.is_empty()) {
        return Some(path);
    }
    let what = format!("{} is not one or more certificates in PEM", path.display());
    problems.report(
        &text.place,
        what,
        "Name the certificates of CAs that may use this log as well",
    );
    None
}

/// A directory, beside a bucket or a database or both, or alone.
fn storage(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<Storage> {
    let directory = directory(fields, folder, problems);
    report_beside_shared(fields, problems);
    let bucket = fields
        .get("s3")
        .map(|(place, node)| bucket::place(place, node, problems));
    let database = fields
        .get("postgres")
        .map(|(place, node)| database::read(place, node, folder, problems));
    let directory = directory?;
    match (database, bucket) {
        (Some(database), files) => Some(Storage::Postgres {
            directory,
            database: database?,
            files: match files {
                Some(files) => Some(files?),
                None => None,
            },
        }),
        (None, Some(place)) => Some(Storage::S3 {
            directory,
            place: place?,
        }),
        (None, None) => match fields.text("mirror", problems) {
            None => Some(Storage::Directory(directory)),
            Some(text) => mirrored(directory, &text, folder, problems),
        },
    }
}

/// Keys that make no sense beside a place that several servers share.
fn report_beside_shared(fields: &Fields<'_>, problems: &mut Problems) {
    let Some(shared) = SHARED.iter().find(|key| fields.get(key).is_some()) else {
        return;
    };
    for (key, suggestion) in [
        (
            "mirror",
            "Leave it out: replicate the bucket or the database itself",
        ),
        ("high-water", "Leave it out: `directory` holds this server's mark"),
    ] {
        if let Some((place, _)) = fields.get(key) {
            problems.report(&place, format!("stands beside `{shared}`"), suggestion);
        }
    }
}

/// A file outside the directory, on a device that is not restored together with it.
fn high_water(
    fields: &Fields<'_>,
    storage: Option<&Storage>,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<Option<PathBuf>> {
    let Some(text) = fields.text("high-water", problems) else {
        return Some(None);
    };
    let path = folder.new_file(&text, problems)?;
    if storage.is_some_and(|storage| path.starts_with(storage.directory())) {
        let suggestion = "Name a file on another device: it must not go back together with the log";
        problems.report(&text.place, "is in the folder of the log", suggestion);
        return None;
    }
    Some(Some(path))
}

fn mirrored(
    directory: PathBuf,
    text: &Text<'_>,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<Storage> {
    let mirror = folder.new_folder(text, problems)?;
    if mirror.starts_with(&directory) || directory.starts_with(&mirror) {
        let what = "is in the folder of the log";
        problems.report(&text.place, what, "Name one on another device");
        return None;
    }
    Some(Storage::Mirrored { directory, mirror })
}

fn directory(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<PathBuf> {
    let text = fields.required_text("directory", "Name a folder for the log", problems)?;
    folder.new_folder(&text, problems)
}

fn origin(fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    let text = fields.required_text(
        "origin",
        "Name the log for ever, such as ca.example.com/log",
        problems,
    )?;
    origin_text(&text, problems)
}

/// An origin is a schema-less URL without a slash at its end; it stands alone on a line of every checkpoint, and as a
/// key name in its signature, which can hold neither spaces nor `+` (c2sp.org/signed-note). Its path is where the log
/// is served.
fn origin_text(text: &Text<'_>, problems: &mut Problems) -> Option<String> {
    if !is_origin(text.value) {
        let what =
            "must be a URL without its scheme, in normal form, its path made of letters, digits and `-._~`";
        problems.report(&text.place, what, "Write it as ca.example.com/log");
        return None;
    }
    Some(text.value.to_owned())
}

fn is_origin(text: &str) -> bool {
    let address = format!("https://{text}");
    let (host, path) = text
        .split_once('/')
        .map_or((text, None), |(host, path)| (host, Some(path)));
    let is_plain = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !name.is_empty() && name.bytes().all(allowed)
    };
    // The parser changes what is not in normal form: capital letters in the host, dots in the path.
    let is_normal = Url::parse(&address).is_ok_and(|url| url.as_str().trim_end_matches('/') == address);
    !host.contains(['@', '?', '#', '+']) && path.is_none_or(|path| path.split('/').all(is_plain)) && is_normal
}
