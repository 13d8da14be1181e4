//! `log.shards`: a log for each interval of notAfter.

use std::{path::Path, time::SystemTime};

use ct_log::Window;
use der::DateTime;

use super::{
    key::{self, Existing},
    log_place::{SHARED, high_water, origin, storage},
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    config::{
        fields::{Fields, Keys, Text},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    log::{
        Outlook,
        embedded::{ShardKey, ShardSettings, Storage},
        path_of, written,
    },
};

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
    "trusted-until",
];
const NOT_AFTER: Keys = &["from", "until"];

/// A shard and where it stands.
struct Placed {
    place: Place,
    shard: ShardSettings,
}

pub(super) fn read(
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
    let trusted_until = time("trusted-until", &fields, problems);
    let shard = ShardSettings {
        origin: origin?,
        storage: storage?,
        high_water: high_water?,
        key: key?,
        window: Some(window?),
        trusted_until: trusted_until?,
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

/// `Some(None)` if it is not said.
pub(super) fn time(key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<Timestamp>> {
    let Some(text) = fields.text(key, problems) else {
        return Some(None);
    };
    let since_epoch = instant(&text, problems)?.duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.ok().map(Timestamp::from_unix).map(Some)
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
