//! `log`: the embedded log, whole or in shards, and what others may submit to it.

use std::{fs, path::PathBuf};

use ct_log::SctAfter;
use x509_cert::Certificate;

use super::{
    key::{self, Existing},
    log_place::{high_water, origin, storage},
    promise, self_audit, shards,
};
use crate::{
    config::{
        fields::{Fields, Keys, Text},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    log::embedded::{
        EmbeddedLogSettings, ShardKey, ShardSettings, Storage, SubmissionRate, SubmissionSettings,
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
            shards::read((&place, node), folder, problems)
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
        trusted_until: None,
    })
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
